"""Scan: files of a listing that were not seen before, looked at by the workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from segscale.errors import ClusterLostError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import volumes
from segscale.flows.progress import StageProgress
from segscale.flows.run import Run
from segscale.flows.shards.bisection import ending_of, find_poison
from segscale.flows.shards.retry import LEAST_SECONDS, Finished, Limits, Lost
from segscale.flows.worker import work
from segscale.flows.worker.work import ScanJob
from segscale.storage.enumeration import SHOWN, counted, first_of
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import Held, quarantine, quarantined
from segscale.storage.source_memory import MEMORY_COLUMNS, SourceMemory, places_among, source_keys
from segscale.storage.sources import ROLES, file_name
from segscale.tasks import scan
from segscale.tasks.readers import Choice
from segscale.tasks.scan import SourceFacts

logger = logging.getLogger("segscale")
SCAN_FILES = 64
SECONDS_PER_FILE = 30.0
"""So much longer may a worker look at files for each of them, where nothing is configured: they may be far away."""


def scan_seconds(config: EvaluationConfig, job: ScanJob) -> float:
    """The time limit of looking at some files."""
    return config.cluster.shard_seconds or LEAST_SECONDS + SECONDS_PER_FILE * len(job.files)


def look_at_files(run: Run, listing: pd.DataFrame) -> pd.DataFrame:
    """`MEMORY_COLUMNS` of every file of a listing: remembered where it is unchanged, else looked at by the workers."""
    memory = SourceMemory(run.store, scan.CODE_VERSION)
    remembered, held = memory.recall(), _held_files(run.store)
    # What a run is to look at again it does not know, but for what ended its workers.
    known = remembered.iloc[:0] if run.config.dataset.rescan else remembered
    if len(held):
        known = pd.concat([known, held], ignore_index=True)
    jobs = list(_scan_jobs(listing, known, volumes(run.config).choice))
    if not jobs:
        logger.info("scan: all %d images are unchanged, no file was read", len(listing))
        return known
    total = sum(len(job.files) for job in jobs)
    logger.info("scan: %d files to look at", total)
    found: list[SourceFacts] = []
    with StageProgress("scan", total, run.observer, unit="files") as progress:
        for facts in _look_at(run, jobs):
            found += facts
            progress.advance(len(facts))
    looked_at = _frame(found).sort_values(["role", "url", "version"], ignore_index=True)
    # What could not be fetched says nothing about the file; it is looked at again next time.
    remember_files(memory, remembered, looked_at[looked_at["sha256"] != ""])
    return pd.concat([known, looked_at], ignore_index=True)


def remember_files(memory: SourceMemory, remembered: pd.DataFrame, looked_at: pd.DataFrame) -> None:
    """Add what is new; of files with other bytes under the size and times of before, forget what was known."""
    places = places_among(_memory_keys(looked_at), _memory_keys(remembered))
    is_known = places >= 0
    before = remembered["sha256"].to_numpy()[places[is_known]]
    is_other = is_known.copy()
    is_other[is_known] = looked_at["sha256"].to_numpy()[is_known] != before
    changed = looked_at["url"][is_other]
    if len(changed):
        names = first_of([file_name(url) for url in changed[:SHOWN]], len(changed))
        logger.warning(
            "scan: %s with other bytes, though of equal size and times: %s", counted(len(changed), "file"), names
        )
        memory.forget(changed)
        # With a URL all of its roles and versions were forgotten.
        is_other |= looked_at["url"].isin(set(changed)).to_numpy()
    new = looked_at[~is_known | is_other]
    if len(new):
        memory.remember(new)


def _memory_keys(files: pd.DataFrame) -> pd.Series[str]:
    return source_keys(files["url"], files["version"] + "\0" + files["role"])


def _look_at(run: Run, jobs: Sequence[ScanJob]) -> Iterator[list[SourceFacts]]:
    """The facts of all files; of one at which workers end it is said that they do."""
    suspects: list[ScanJob] = []
    by_key = {job.key: job for job in jobs}
    limits = Limits(lambda key: scan_seconds(run.config, by_key[key]))
    for outcome in run.workers.stream(work.scan_files, jobs, limits=limits):
        if isinstance(outcome, Finished):
            yield outcome.result
        elif outcome.deadly:
            suspects.append(by_key[outcome.key])
        else:
            raise ClusterLostError(f"scan: files could not be looked at: {outcome.error}; run again to resume")
    for job in suspects:
        yield from _look_one_by_one(run, job)


def _look_one_by_one(run: Run, job: ScanJob) -> Iterator[list[SourceFacts]]:
    def attempt(urls: Sequence[str]) -> Finished | Lost:
        some = replace(job, files=tuple(file for file in job.files if file[0] in urls))
        limit = scan_seconds(run.config, some)
        return run.workers.try_alone(work.scan_files, some, seconds=lambda _: limit)

    versions = dict(job.files)
    poison = find_poison(list(versions), lambda urls: ending_of(attempt(urls)))
    for url, ending in poison.items():
        held = Held(url, (job.role, versions[url]), "scan", ending)
        logger.warning("scan: quarantined %s", held.error)
        quarantine(run.store, held)
    outcome = attempt([url for url in versions if url not in poison])
    if isinstance(outcome, Lost):
        raise ClusterLostError(f"scan: files could not be looked at: {outcome.error}; run again to resume")
    yield [*outcome.result, *(_facts(held) for held in quarantined(run.store).values() if held.name in poison)]


def _held_files(store: ObjectStore) -> pd.DataFrame:
    return _frame([_facts(held) for held in quarantined(store).values() if held.stage == "scan"])


def _facts(held: Held) -> SourceFacts:
    role, version = held.content
    error = held.error.replace(held.name, file_name(held.name))
    return SourceFacts(role, held.name, version, "", error_type=held.error_type, error=error)


def _frame(facts: Sequence[SourceFacts]) -> pd.DataFrame:
    return pd.DataFrame(facts, columns=list(MEMORY_COLUMNS))


def _scan_jobs(listing: pd.DataFrame, known: pd.DataFrame, choice: Choice) -> Iterator[ScanJob]:
    for role in ROLES:
        if role not in listing:
            continue
        looked_at = known[known["role"] == role]
        urls, versions = listing[role], listing[f"{role}_version"]
        places = places_among(source_keys(urls, versions), source_keys(looked_at["url"], looked_at["version"]))
        asked = (places < 0) & (urls != "") & (versions != "")
        new = list(dict.fromkeys(zip(urls[asked], versions[asked], strict=True)))
        for start in range(0, len(new), SCAN_FILES):
            yield ScanJob(f"{role}-{start}", role, tuple(new[start : start + SCAN_FILES]), choice)
