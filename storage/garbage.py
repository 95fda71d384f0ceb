"""Litter: what in a store and in its reports nobody needs, old enough for nobody to be at it any more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from segscale.storage.ledger import record_path
from segscale.storage.objects import ObjectInfo, ObjectStore
from segscale.storage.store_paths import StorePath, judge
from segscale.storage.verification import Finding, check_record

PASSED_OVER = frozenset({"record", "catalog", "reading", "source memory"})
# What a local folder leaves of a report's file where its writer was killed; other hidden files are somebody else's.
_TORN_REPORT = re.compile(r"[^/]+/\.(?:\w+\.parquet|run\.json|report\.html)\.[0-9a-f]{32}\.partial")


@dataclass(frozen=True, slots=True)
class Litter:
    """Files that go together or not at all: of one attempt, of one setting aside, or a single one."""

    place: str
    """The folder of the attempt or of what was set aside, or the path of the file."""
    stage: str
    """Of an attempt, else ""."""
    key: str
    files: tuple[ObjectInfo, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def modified(self) -> float:
        """When the last of the files was written, in seconds since 1970."""
        return max(file.modified.timestamp() for file in self.files)


@dataclass(frozen=True, slots=True)
class Sorted:
    """The files of a store that are no part of what is committed."""

    old: tuple[Litter, ...]
    """What may go, unless it is committed by now."""
    young: tuple[Litter, ...]
    foreign: tuple[str, ...]


def sort_files(listed: Sequence[ObjectInfo], now: float, older_than_seconds: float) -> Sorted:
    """What of a listing may be litter, by age. `now` is the time by the clock of the store."""
    groups: dict[tuple[str, str, str], list[ObjectInfo]] = {}
    foreign = []
    for item in listed:
        path = judge(item.path)
        if path.kind == "foreign":
            foreign.append(item.path)
        elif path.kind not in PASSED_OVER:
            groups.setdefault((_place(path), path.stage, path.key), []).append(item)
    litter = [Litter(*names, tuple(files)) for names, files in groups.items()]
    return Sorted(*by_age(litter, now, older_than_seconds), tuple(foreign))


def torn_reports(listed: Sequence[ObjectInfo]) -> tuple[Litter, ...]:
    """The unfinished writes in a listing of the reports of one data set; whatever else lies there is passed over."""
    return tuple(Litter(item.path, "", "", (item,)) for item in listed if _TORN_REPORT.fullmatch(item.path))


def by_age(
    litter: Sequence[Litter], now: float, older_than_seconds: float
) -> tuple[tuple[Litter, ...], tuple[Litter, ...]]:
    """What is old enough, and what is not; `now` is the time by the clock of whoever keeps it."""
    is_old = {item.place: now - item.modified >= older_than_seconds for item in litter}
    old = tuple(item for item in litter if is_old[item.place])
    return old, tuple(item for item in litter if not is_old[item.place])


def _place(path: StorePath) -> str:
    if path.kind == "set aside":
        return "/".join(path.path.split("/")[:2])
    return path.attempt or path.path


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger says of what may be litter."""

    reason: str = ""
    """Why it may not go; "" where it may."""
    foreign: tuple[str, ...] = ()
    """Files of a committed attempt that its record does not name: somebody else gave them names such as we give."""


COMMITTED = "committed"


def committed_in(store: ObjectStore, litter: Litter) -> Standing:
    """Whether an attempt may go: as long as nobody committed it, as far as the ledger says now."""
    if not litter.key:
        return Standing()
    path = judge(record_path(litter.stage, litter.key))
    try:
        entry = check_record(path, store.read(path.path))
    except FileNotFoundError:
        return Standing()
    if isinstance(entry, Finding):
        return Standing("its record is damaged and does not say which attempt it means; run segscale repair")
    if entry.path != litter.place:
        return Standing()
    named = {f"{entry.path}/{name}" for name in entry.objects}
    return Standing(COMMITTED, tuple(file.path for file in litter.files if file.path not in named))


def remove(store: ObjectStore, litter: Litter) -> Standing:
    """Remove litter file by file; says why it was kept, where it was.

    The ledger is asked right before, and again afterwards: a worker that was stopped for longer than the age asked for
    may have committed in between, and that must not pass in silence.
    """
    before = committed_in(store, litter)
    if before.reason:
        return before
    for file in litter.files:
        store.remove(file.path)
    if not store.listing(litter.place):
        # On a disk the folders are left; nobody else writes to this one.
        store.remove(litter.place)
    late = committed_in(store, litter).reason
    return Standing(f"{late} while it was being removed; run segscale repair" if late else "")
