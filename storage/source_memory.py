"""Source memory: what files told when they were looked at, so that an unchanged file is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segscale.errors import ArgumentError
from segscale.storage import tables
from segscale.storage.failures import REASON
from segscale.storage.objects import ObjectStore

logger = logging.getLogger("segscale")
MEMORY_COLUMNS = (
    "role",
    "url",
    "version",
    "sha256",
    "depth",
    "height",
    "width",
    "channels",
    "dtype",
    "orientation",
    "stated_maximum",
    "place",
    *REASON,
)


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """What is known of source files that were read before, so that an unchanged file is not read again.

    Fragments in a folder, a file for each scan that found something new; all that is in them follows from a file's
    bytes and from how they are looked at, so fragments of one version do not contradict each other. Where other bytes
    are found under the same `version` of a file, it is forgotten before it is remembered anew.
    """

    store: ObjectStore
    version: int
    """Of the code that looks at files; another version has looked differently and is not believed."""

    @property
    def _folder(self) -> str:
        return f"catalog/sources-{self.version}"

    def recall(self) -> pd.DataFrame:
        """Every file known, `MEMORY_COLUMNS`, one row for each role, url and version.

        A fragment whose bytes are not those of its name is forgotten, with a warning: its files are looked at again,
        and what is found then replaces it.
        """
        fragments = []
        for path, data in self._fragments():
            if is_of_its_name(path, data):
                fragments.append(tables.decode_frame(data))
            else:
                logger.warning("%s/%s is damaged: the files it is about are looked at again", self.store.url, path)
        if not fragments:
            return pd.DataFrame({name: pd.Series(dtype=object) for name in MEMORY_COLUMNS})
        if len(fragments) == 1:
            # One scan looks at no file twice, and of millions of files the search for those would take seconds.
            return fragments[0]
        return pd.concat(fragments, ignore_index=True).drop_duplicates(["role", "url", "version"], keep="last")

    def _fragments(self) -> Iterator[tuple[str, bytes]]:
        for path in (f"{self._folder}/{name}" for name in self.store.names(self._folder)):
            # Gone, where another driver forgets some of it just now.
            with contextlib.suppress(FileNotFoundError):
                yield path, self.store.read(path)

    def names(self) -> list[str]:
        """Of its fragments, which follow from what is in them."""
        return sorted(self.store.names(self._folder))

    def forget(self, urls: Iterable[str]) -> int:
        """Drop files of these URLs, in every role and version, so that they are looked at again; returns how many."""
        gone, forgotten = pa.array(sorted(set(urls)), pa.large_string()), 0
        for path, data in self._fragments():
            if not is_of_its_name(path, data):
                continue
            known = tables.decode_frame(data)
            among = pc.is_in(pa.array(known["url"], pa.large_string()), value_set=gone)
            is_gone = among.to_numpy(zero_copy_only=False)
            if is_gone.any():
                # First the rest, then away with all: cut short in between, nothing is forgotten and nothing lost.
                if not is_gone.all():
                    self.remember(known[~is_gone])
                self.store.remove(path)
                forgotten += int(is_gone.sum())
        return forgotten

    def remember(self, files: pd.DataFrame) -> None:
        """Add files just read. Raises ValueError where columns are missing."""
        missing = sorted(set(MEMORY_COLUMNS) - set(files.columns))
        if missing:
            raise ArgumentError(f"source memory: expected the columns {MEMORY_COLUMNS}, {missing} are missing")
        data = tables.encode_frame(files[list(MEMORY_COLUMNS)])
        self.store.write(f"{self._folder}/{hashlib.sha256(data).hexdigest()[:32]}.parquet", data)


def is_of_its_name(path: str, data: bytes) -> bool:
    """Whether the bytes of a fragment of the source memory are those that it is named by."""
    name = path.rsplit("/", 1)[-1].removesuffix(".parquet")
    return hashlib.sha256(data).hexdigest()[:32] == name


def source_keys(urls: pd.Series[str], versions: pd.Series[str]) -> pd.Series[str]:
    """One text for each file in one version: of millions they are found many times faster than pairs of texts."""
    # No version holds a NUL, so that no two files share a key.
    return versions.astype("str") + "\0" + urls.astype("str")


def places_among(keys: pd.Series[str], known: pd.Series[str]) -> npt.NDArray[np.int64]:
    """Of each key its first place among the known ones, int64, -1 for none; pandas would need ten times as long."""
    found = pc.index_in(pa.array(keys, pa.large_string()), value_set=pa.array(known, pa.large_string()))
    return np.asarray(found.fill_null(-1), np.int64)
