"""Slice parts: the counts of each slice of the images of a shard, beside its rows, where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segscale.errors import DamagedStoreError
from segscale.storage import shards, tables
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.parts import COUNTS, SOFT_SUMS

SCHEMA_VERSION = "1"
SLICES = "slices.parquet"
"""The object of a shard."""
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("head", pa.string(), nullable=False),
        pa.field("slice_index", pa.int32(), nullable=False),
        pa.field("class_index", pa.int32(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in COUNTS),
        *(pa.field(name, pa.float64(), nullable=False) for name in SOFT_SUMS),
    ]
)
"""A row per image, head, slice and class, of images that were counted alone. Soft sums are NaN of label maps."""
_TEXTS = tuple(field.name for field in SCHEMA if pa.types.is_string(field.type))


def encode_slices(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The Parquet file of some rows, which have the names of `SCHEMA`."""
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    compression = {field.name: "snappy" for field in SCHEMA}
    return tables.encode_table(
        table, metadata={"schema_version": SCHEMA_VERSION}, dictionary=_TEXTS, compression=compression
    )


def read_slices(store: ObjectStore, entry: Entry) -> pa.Table:
    """The slices of a committed shard, checked against the ledger and the schema."""
    table = pq.ParquetFile(pa.BufferReader(shards.read_object(store, entry, SLICES))).read(use_threads=False)
    if not table.schema.equals(SCHEMA):
        raise DamagedStoreError(
            f"slices {entry.stage}/{entry.key[:12]}: expected the columns {SCHEMA.names}, got {table.schema.names}"
        )
    return table
