"""The rows of an ingested shard: where each image lies in the arrays, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.storage import shards, tables
from segscale.storage.failures import Failure, from_columns, to_columns
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.tasks.normalize import Recipe


@dataclass(frozen=True, slots=True)
class ShardRow:
    """One image of a shard."""

    image_id: str
    start: int
    """Its first slice in the arrays of the shard."""
    depth: int
    """How many slices it has; 1 for an image, and for one that failed."""
    height: int
    """True size in pixels; the arrays are padded at the bottom and right. 0 where the file could not be read."""
    width: int
    image_sha256: str
    reference_sha256: str
    clip_low: float
    clip_high: float
    offset: float
    scale: float
    coloured: bool
    """Whether its three channels differ anywhere."""
    failure: Failure | None
    """Why it has no pixels; None where it has."""

    @property
    def is_sound(self) -> bool:
        return self.failure is None

    @property
    def stop(self) -> int:
        """One past its last slice."""
        return self.start + self.depth

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.clip_low, self.clip_high, self.offset, self.scale)

    def crop(self, array: shards.ZarrArray) -> npt.NDArray[Any]:
        """Its slices of an array of the shard, without the padding."""
        return shards.as_numpy(array, self.start, self.stop)[:, : self.height, : self.width]


_NAMES = tuple(field.name for field in fields(ShardRow) if field.name != "failure")


def encode_shard_rows(rows: Sequence[ShardRow]) -> bytes:
    """The table that is committed with a shard."""
    return tables.encode_frame(pd.DataFrame([_columns(row) for row in rows]))


def _columns(row: ShardRow) -> dict[str, Any]:
    columns = {name: getattr(row, name) for name in _NAMES} | to_columns(row.failure)
    # All rows of this table are of one stage.
    del columns["stage"]
    return columns


def read_shard_rows(store: ObjectStore, entry: Entry) -> list[ShardRow]:
    """The rows of a committed shard, in their order, checked against the ledger."""
    return [_row(values, entry.stage) for values in shards.read_rows(store, entry).to_dict("records")]


def _row(values: Mapping[Any, Any], stage: str) -> ShardRow:
    plain = {str(name): value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return ShardRow(**{name: plain[name] for name in _NAMES}, failure=from_columns(plain, stage))


def sound(rows: Iterable[ShardRow]) -> list[ShardRow]:
    """The rows that have pixels."""
    return [row for row in rows if row.is_sound]
