"""Verify: everything that a store holds against its ledger, and the run of a configuration against its files."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from typing import Any, TypeVar

import pandas as pd

from segscale.errors import ConfigError, StoreError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import is_scored
from segscale.flows.progress import StageProgress
from segscale.flows.report import content_of, find_counted, report_of
from segscale.flows.reports.tables import tables_as_json
from segscale.flows.run import Run
from segscale.storage import verification
from segscale.storage.catalog import catalog_path, read_catalog, rows_by_shard
from segscale.storage.enumeration import counted
from segscale.storage.ledger import Entry, Ledger, record_path
from segscale.storage.objects import ObjectInfo, ObjectStore
from segscale.storage.reports import RUN, Report
from segscale.storage.sources import ROLES
from segscale.storage.store_paths import StorePath, judge
from segscale.storage.verification import Finding
from segscale.tasks.shard_plan import STAGE as INGEST

logger = logging.getLogger("segscale")
T = TypeVar("T")
R = TypeVar("R")
THREADS = min(8, 4 + (os.cpu_count() or 1))
LARGE_BYTES = 256 * 1000 * 1000
"""A shard of more is checked by itself: with several at once memory would have no bound that is worth the name."""
SOURCES_AT_ONCE = 64


@dataclass(slots=True)
class Inspection:
    """What was looked at, and what is wrong with it."""

    findings: list[Finding] = field(default_factory=list)
    """What has to be done something about."""
    notes: list[Finding] = field(default_factory=list)
    """What a reader should know, and need not act on: leftovers of dead attempts, work that is not done yet."""
    checked: dict[str, int] = field(default_factory=dict)
    """How many of each thing were looked at."""

    def note(self, kind: str, place: str, found: str, remedy: str, expected: str = "") -> None:
        self.notes.append(Finding(kind, place, expected, found, remedy))


def inspect(config: EvaluationConfig, *, full: bool) -> Inspection:
    """Look at the whole store of a configuration, at its catalog and its report; with `full` at every byte.

    `full` hashes and decodes every committed object, and hashes the source files of the catalog again. Nothing is
    written. Raises ConfigError where the store holds nothing of this data set, OSError where it cannot be read.
    """
    store = config.store.open()
    run = kept_run(config)
    path = catalog_path(run.catalog_name)
    inspection = Inspection()
    # The ledger first: what is committed while the rest is listed may then be missed, and is never taken for lost.
    ledger = store.listing("ledger")
    listed = {item.path: item for item in store.listing()}
    if not ledger and path not in listed:
        job = "score" if run.scored else "ingest"
        raise ConfigError(f"store.path: {store.url} holds no catalog of {config.dataset.name!r}; run {job} first")
    paths = [judge(name) for name in listed if not is_named(config, store, name)]
    entries = _check_ledger(store, [judge(item.path) for item in ledger], inspection)
    _check_shards(store, entries, listed, inspection, full)
    _check_tables(store, paths, inspection, full)
    inspection.findings += verification.strangers(paths, entries)
    _note_leftovers(paths, listed, entries, inspection)
    _check_run(run, path, inspection, full)
    return inspection


def kept_run(config: EvaluationConfig) -> Run:
    """The run whose catalog the store keeps: of a set that is scored that one, unless it was only ever ingested."""
    scored, ingested = Run(config, scored=True), Run(config, scored=False)
    if not is_scored(config):
        return ingested
    store = scored.store
    paths = (catalog_path(run.catalog_name) for run in (scored, ingested))
    has_scored, has_ingested = (store.exists(path) for path in paths)
    return ingested if has_ingested and not has_scored else scored


def is_named(config: EvaluationConfig, store: ObjectStore, path: str) -> bool:
    """Whether a file in the store's folder is there because the configuration says so: its reports, its training."""
    names = (config.report.path, config.train.output, config.train.output.removesuffix(".keras") + ".training")
    place = f"{store.url.rstrip('/')}/{path}"
    return any(place == name or place.startswith(f"{name.rstrip('/')}/") for name in names)


def _check_ledger(store: ObjectStore, paths: Sequence[StorePath], inspection: Inspection) -> list[Entry]:
    records = [path for path in paths if path.kind == "record"]

    def check(path: StorePath) -> Entry | Finding | None:
        try:
            return verification.check_record(path, store.read(path.path))
        except FileNotFoundError:
            # Somebody has set it aside since the listing.
            return None

    found = list(in_threads(check, records))
    inspection.findings += [item for item in found if isinstance(item, Finding)]
    inspection.checked["records"] = len(records)
    return [item for item in found if isinstance(item, Entry)]


def _check_shards(
    store: ObjectStore, entries: Sequence[Entry], listed: dict[str, ObjectInfo], inspection: Inspection, full: bool
) -> None:
    committed = [entry for entry in entries if entry.objects]
    inspection.checked["objects"] = sum(len(entry.objects) for entry in committed)
    inspection.checked["bytes"] = sum(map(_size, committed))

    def check(entry: Entry) -> list[Finding]:
        if full:
            return verification.check_shard(store, entry)
        found = verification.check_sizes(entry, listed)
        return verification.check_sizes(entry, _listed(store, entry)) if found else []

    small = [entry for entry in committed if _size(entry) <= LARGE_BYTES]
    large = [entry for entry in committed if _size(entry) > LARGE_BYTES]
    with StageProgress("verify", len(committed), unit="shards") as progress:
        for findings in (*in_threads(check, small), *map(check, large)):
            inspection.findings += findings
            progress.advance(1)


def _listed(store: ObjectStore, entry: Entry) -> dict[str, ObjectInfo]:
    """The objects of a commit as they are now: the listing of the whole store is some time old."""
    return {item.path: item for item in store.listing(entry.path)}


def _size(entry: Entry) -> int:
    return sum(digest.size_bytes for digest in entry.objects.values())


def _check_tables(store: ObjectStore, paths: Sequence[StorePath], inspection: Inspection, full: bool) -> None:
    """Catalogs of all data sets in the store, and what is remembered of source files."""
    catalogs = [path.path for path in paths if path.kind == "catalog"]
    memory = [path.path for path in paths if path.kind == "source memory"] if full else []
    checks = [(verification.check_catalog, path) for path in catalogs]
    checks += [(verification.check_reading, path.path) for path in paths if path.kind == "reading"]
    checks += [(verification.check_source_memory, path) for path in memory]

    def look(check: tuple[Callable[[str, bytes], Finding | None], str]) -> Finding | None:
        try:
            return check[0](check[1], store.read(check[1]))
        except FileNotFoundError:
            # Forgotten or replaced by a driver at work since the listing.
            return None

    inspection.findings += [finding for finding in in_threads(look, checks) if finding]
    inspection.checked["catalogs"] = len(catalogs)


def _note_leftovers(
    paths: Sequence[StorePath], listed: dict[str, ObjectInfo], entries: Sequence[Entry], inspection: Inspection
) -> None:
    committed = {entry.path for entry in entries}
    damaged = {(finding.stage, finding.key) for finding in inspection.findings}
    groups: dict[tuple[str, str], list[int]] = {}
    for path in paths:
        size = listed[path.path].size_bytes
        if path.kind == "attempt" and path.attempt not in committed and (path.stage, path.key) not in damaged:
            groups.setdefault(("attempt", path.attempt), []).append(size)
        elif path.kind == "unfinished":
            groups.setdefault(("unfinished write", path.path), []).append(size)
        elif path.kind == "set aside":
            groups.setdefault(("set aside", "/".join(path.path.split("/")[:2])), []).append(size)
    for (kind, place), sizes in groups.items():
        found = f"{counted(len(sizes), 'file')} of {sum(sizes)} bytes that nobody committed"
        inspection.note(kind, place, found, "segscale clean removes it once it is old enough")


def _check_run(run: Run, path: str, inspection: Inspection, full: bool) -> None:
    """The catalog, the sources, the plan and the report of the one run that the configuration names."""
    config, store = run.config, run.store
    if any(finding.place == path for finding in inspection.findings):
        return inspection.note(
            "report", config.report.path, "nothing looked at: the catalog is damaged", "repair first"
        )
    catalog = read_catalog(store, run.catalog_name)
    if catalog is None:
        remedy = "segscale repair plans again from the files of the data set"
        inspection.findings.append(Finding("missing catalog", path, "the catalog of this data set", "none", remedy))
        return None
    if full:
        _check_sources(catalog, inspection)
    run.renew_catalog(lambda: catalog)
    try:
        counted = find_counted(run)
        content = content_of(run, counted)
    except (ConfigError, StoreError) as error:
        found = f"nothing looked at: {' '.join(str(error).split())}"
        return inspection.note("report", config.report.path, found, "segscale run does what is missing")
    report = report_of(config, content)
    findings = verification.check_report(report)
    inspection.findings += findings
    made = {} if run.scored else {INGEST: tuple(rows_by_shard(catalog))}
    _check_plan(store, {**made, counted.stage: counted.keys}, report, inspection)
    return None


def _check_plan(
    store: ObjectStore, planned: dict[str, tuple[str, ...]], report: Report, inspection: Inspection
) -> None:
    """Shards that are planned and not committed: lost where there is a report of them, else not done yet."""
    is_finished = report.store.exists(RUN)
    broken = {(finding.stage, finding.key) for finding in inspection.findings}
    for stage, keys in planned.items():
        missing = [key for key in keys if (stage, key) not in broken]
        missing = sorted(set(missing) - Ledger(store).done(stage))
        if is_finished:
            inspection.findings += [verification.missing_record(stage, key, record_path(stage, key)) for key in missing]
        elif missing:
            found = f"{len(keys) - len(missing)} of {len(keys)} shards"
            inspection.note("not done yet", f"ledger/{stage}", found, "segscale run does the others")
    if is_finished:
        inspection.checked["report files"] = len(report.store.names(""))
    else:
        inspection.note("no report", report.path, f"no {RUN}", "segscale run or segscale report writes it")


def _check_sources(catalog: pd.DataFrame, inspection: Inspection) -> None:
    named = dict.fromkeys(
        (str(url), str(sha256))
        for role in ROLES
        for url, sha256 in zip(catalog[role], catalog[f"{role}_sha256"], strict=True)
        if sha256
    )
    files = list(named)
    batches = [files[start : start + SOURCES_AT_ONCE] for start in range(0, len(files), SOURCES_AT_ONCE)]
    inspection.checked["source files"] = len(files)
    with StageProgress("sources", len(files), unit="files") as progress:
        for batch, found in zip(batches, in_threads(_check_batch, batches), strict=True):
            inspection.findings += found
            progress.advance(len(batch))


def _check_batch(files: Sequence[tuple[str, str]]) -> list[Finding]:
    found = (verification.check_source(url, sha256) for url, sha256 in files)
    return [finding for finding in found if finding]


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``map(work, items)`` on a few threads: hashing and reading leave Python to the others. Little is held ahead."""
    source = iter(items)
    with ThreadPoolExecutor(THREADS) as pool:
        under_way: deque[Future[R]] = deque(pool.submit(work, item) for item in islice(source, 2 * THREADS))
        while under_way:
            result = under_way.popleft().result()
            under_way.extend(pool.submit(work, item) for item in islice(source, 1))
            yield result


def describe(inspection: Inspection) -> str:
    """A line for each finding and note, and one that says what was looked at."""
    looked_at = ", ".join(counted(count, name.removesuffix("s")) for name, count in inspection.checked.items())
    lines = [*map(str, inspection.findings), *(f"note: {_as_note(note)}" for note in inspection.notes)]
    return "\n".join([*lines, f"{counted(len(inspection.findings), 'finding')}; looked at {looked_at}"])


def _as_note(note: Finding) -> str:
    return f"{note.kind}: {note.place}: {note.found}; {note.remedy}"


def as_json(inspection: Inspection) -> str:
    """The tables findings, notes and checked as one JSON object."""
    columns = [column.name for column in fields(Finding)]
    tables: dict[str, Any] = {
        name: pd.DataFrame([asdict(finding) for finding in findings], columns=columns)
        for name, findings in (("findings", inspection.findings), ("notes", inspection.notes))
    }
    checked = pd.DataFrame(list(inspection.checked.items()), columns=["what", "count"])
    return tables_as_json({**tables, "checked": checked})
