"""Store paths: what each path in a store is, judged by its name alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["record", "attempt", "catalog", "reading", "source memory", "set aside", "unfinished", "foreign"]

SET_ASIDE = "set-aside"
_KEY = "[0-9a-f]{64}"
_STAGE = r"[a-z][a-z0-9_-]*"
# What a shard consists of; anything else in its folder was put there by somebody else.
_TABLE = r"(?:rows|slices|surfaces|lesions)\.parquet"
_OBJECT = rf"{_TABLE}|arrays\.zarr/zarr\.json|arrays\.zarr/\w+/(?:zarr\.json|c(?:/\d+)*)"
_PARTIAL = r"\.[^/]+\.[0-9a-f]{32}\.partial"
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("set aside", re.compile(f"{SET_ASIDE}/.+")),
    # A write that a kill cut short, or a look whether the store can be written.
    ("unfinished", re.compile(rf"(?:(?:ledger|shards|catalog)/(?:[^/]+/)*)?{_PARTIAL}|\.probe-[0-9a-f]{{32}}(?:/.+)?")),
    ("record", re.compile(rf"ledger/(?P<stage>{_STAGE})/(?P<key>{_KEY})\.json")),
    (
        "attempt",
        re.compile(
            rf"(?P<attempt>shards/(?P<stage>{_STAGE})/(?P<start>[0-9a-f]{{2}})/(?P<key>(?P=start)[0-9a-f]{{62}})/"
            rf"[0-9a-f]{{16}})/(?:{_OBJECT})"
        ),
    ),
    ("catalog", re.compile(r"catalog/[A-Za-z0-9._-]+-[0-9a-f]{12}\.parquet")),
    ("reading", re.compile(r"catalog/[A-Za-z0-9._-]+-[0-9a-f]{12}\.json")),
    ("source memory", re.compile(r"catalog/sources-\d+/[0-9a-f]{32}\.parquet")),
)


@dataclass(frozen=True, slots=True)
class StorePath:
    """A path and what it names."""

    path: str
    kind: Kind
    stage: str = ""
    """Of a record, or of an object of an attempt."""
    key: str = ""
    attempt: str = ""
    """The folder of the attempt that an object belongs to."""


def judge(path: str) -> StorePath:
    """What a path, relative to the store, is; `foreign` where Segscale never writes such a name."""
    for kind, pattern in _PATTERNS:
        found = pattern.fullmatch(path)
        if found:
            named = found.groupdict()
            return StorePath(path, kind, named.get("stage", ""), named.get("key", ""), named.get("attempt", ""))
    return StorePath(path, "foreign")
