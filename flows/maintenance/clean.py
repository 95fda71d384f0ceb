"""Clean: remove from a store and its reports what nobody committed and nobody is at any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.maintenance.verify import in_threads, is_named
from segscale.flows.report import reports_folder
from segscale.storage.enumeration import counted
from segscale.storage.garbage import COMMITTED, Litter, by_age, committed_in, remove, sort_files, torn_reports
from segscale.storage.objects import ObjectStore
from segscale.storage.set_aside import store_clock

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What a store was rid of."""

    removed: tuple[Litter, ...]
    """Or what would be, in a dry run."""
    kept: tuple[tuple[str, str], ...]
    """(path, why) of attempts that are old and stay."""
    n_young: int
    """Attempts and files that may still be at work."""
    foreign: tuple[str, ...]
    """Files that Segscale has not written, left where they are."""
    dry_run: bool

    @property
    def removed_bytes(self) -> int:
        return sum(litter.size_bytes for litter in self.removed)


def clean_store(config: EvaluationConfig, older_than_hours: float, *, dry_run: bool = False) -> Cleaning:
    """Remove attempts without a commit, unfinished writes and what was set aside, if older than `older_than_hours`.

    Unfinished writes beside the reports of the data set go as well. Ages go by the clock of the store, not of this
    machine; even a dry run writes an object to read it, and removes that again. What is committed, younger, or not
    Segscale's stays. Raises ConfigError where there is no store.
    """
    store = config.store.open()
    if not store.exists(""):
        raise ConfigError(f"store.path: expected a store, found none at {store.url}")
    older_than_seconds = older_than_hours * SECONDS_PER_HOUR
    # Listed before the ledger is asked: an attempt that is listed and has no record then was not committed when listed.
    listed = store.listing()
    found = sort_files(listed, store_clock(store), older_than_seconds)
    torn, n_young_torn = _clean_reports(ObjectStore(reports_folder(config)), older_than_seconds, dry_run)
    decide = committed_in if dry_run else remove
    standings = list(in_threads(lambda litter: decide(store, litter), found.old))
    removed = [litter for litter, standing in zip(found.old, standings, strict=True) if not standing.reason]
    kept = [
        (litter.place, standing.reason)
        for litter, standing in zip(found.old, standings, strict=True)
        if standing.reason not in ("", COMMITTED)
    ]
    young = list(in_threads(lambda litter: committed_in(store, litter), found.young))
    n_young = sum(standing.reason != COMMITTED for standing in young)
    foreign = [path for path in found.foreign if not is_named(config, store, path)]
    foreign += [path for standing in (*standings, *young) for path in standing.foreign]
    return Cleaning((*removed, *torn), tuple(kept), n_young + n_young_torn, tuple(foreign), dry_run)


def _clean_reports(reports: ObjectStore, older_than_seconds: float, dry_run: bool) -> tuple[list[Litter], int]:
    """The unfinished writes beside the reports of a data set that are old, removed, and how many are not old yet."""
    torn = torn_reports(reports.listing())
    if not torn:
        return [], 0
    # The clock of their own disk or server: reports need not lie where the store does.
    old, young = by_age(torn, store_clock(reports), older_than_seconds)
    if not dry_run:
        for litter in old:
            remove(reports, litter)
    return [replace(litter, place=f"{reports.url}/{litter.place}") for litter in old], len(young)


def describe(cleaning: Cleaning) -> str:
    """A line for each thing removed, kept for a reason, or foreign, and one for all."""
    return "\n".join(_lines(cleaning))


def _lines(cleaning: Cleaning) -> Iterator[str]:
    verb = "would remove" if cleaning.dry_run else "removed"
    for litter in cleaning.removed:
        yield f"{verb} {litter.place}: {counted(len(litter.files), 'file')}, {litter.size_bytes} bytes"
    for path, reason in cleaning.kept:
        yield f"kept {path}: {reason}"
    for path in cleaning.foreign:
        yield f"foreign file {path}: left where it is"
    removed = f"{counted(len(cleaning.removed), 'leftover')} of {cleaning.removed_bytes} bytes"
    yield f"{verb} {removed}, kept {cleaning.n_young} younger"
