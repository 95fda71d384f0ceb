"""The first images of a run: where every one of them fails alike, the run ends before it costs more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from segscale.errors import DamagedStoreError, FirstImagesError
from segscale.storage import shards
from segscale.storage.failures import Failure
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.tasks.reasons import one_line

FIRST = 32
"""So many images of the catalog, or all where it has fewer."""


@dataclass(frozen=True, slots=True)
class FirstImages:
    """Which images these are, and where they are worked on."""

    n_images: int
    """Of the whole catalog."""
    image_ids: tuple[str, ...]
    """In its order."""
    by_shard: Mapping[str, tuple[str, ...]]
    """Their ids, by the key of the shard of the stage."""


NONE = FirstImages(0, (), {})
"""Nobody looks."""


class Watch:
    """What has become of the first images, as their shards come in.

    They are the first of the catalog and not the first that are done, so that a run that goes on where it stopped ends
    as it did.
    """

    def __init__(self, stage: str, first: FirstImages, store: ObjectStore) -> None:
        self._stage, self._first, self._store = stage, first, store
        self.keys = tuple(first.by_shard)
        """Of the shards that hold them, those of the earliest images first."""
        self._open = dict(first.by_shard)
        self._failures: dict[str, Failure] = {}

    def look(self, key: str, committed: str = "") -> None:
        """Take in a shard, `committed` under its own key or another. Raises FirstImagesError where all first images
        failed with one type of error."""
        ids = self._open.pop(key, ())
        if not ids:
            return
        found = self._failed(committed or key, ids)
        self._failures |= found
        if len(found) < len(ids) or len({failure.error_type for failure in self._failures.values()}) > 1:
            self._open.clear()
        elif not self._open:
            raise FirstImagesError(self._message())

    def _failed(self, key: str, ids: tuple[str, ...]) -> dict[str, Failure]:
        try:
            entry = Ledger(self._store).read(self._stage, key)
            # Of a sound set this one record is all that is read.
            if entry.facts["n_failed"] < len(ids):
                return {}
            return _failures(shards.read_rows(self._store, entry), ids)
        except (DamagedStoreError, FileNotFoundError):
            # Whoever needs it says so; a run with nothing to do does not.
            return {}

    def _message(self) -> str:
        image_id = self._first.image_ids[0]
        failure = self._failures[image_id]
        n_first = len(self._failures)
        which = f"all of the first {n_first} of {self._first.n_images} images"
        if n_first == self._first.n_images:
            which = "the only image" if n_first == 1 else f"all {n_first} images"
        return (
            f"{self._stage}: {which} failed with {failure.error_type}, e.g. {one_line(image_id)}: {failure.error}; no "
            "report was written; mend the files or the configuration and run again, or set report.max_failure_rate = 1 "
            "to go on all the same"
        )


def first_images(catalog: pd.DataFrame, key_of: Mapping[str, str] | None = None) -> FirstImages:
    """The first images of a catalog, by their ingested shards, or by the shards that `key_of` leads to from these."""
    by_shard: dict[str, tuple[str, ...]] = {}
    head = catalog[["image_id", "shard"]].head(FIRST)
    for image_id, shard in head.itertuples(index=False, name=None):
        key = key_of[shard] if key_of else str(shard)
        by_shard[key] = (*by_shard.get(key, ()), image_id)
    return FirstImages(len(catalog), tuple(head["image_id"]), by_shard)


def _failures(rows: pd.DataFrame, ids: tuple[str, ...]) -> dict[str, Failure]:
    """Of these images those that failed. `rows` are those of an ingested shard or of a part."""
    failed = rows[rows["image_id"].isin(ids) & (rows["error_type"] != "")].drop_duplicates("image_id")
    return {
        image_id: Failure("", error_type, error)
        for image_id, error_type, error in failed[["image_id", "error_type", "error"]].itertuples(index=False)
    }
