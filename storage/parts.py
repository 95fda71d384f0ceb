"""Parts: the counts of one shard as a worker commits them, with all bins of the probability histograms."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from segscale.errors import ArgumentError, DamagedStoreError
from segscale.storage import failures, shards, tables
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore

SCHEMA_VERSION = "2"
BINS = 256

COUNTS = (
    "n_pixels",
    "n_ignored",
    "true_positive",
    "false_positive",
    "false_negative",
    "true_negative",
    "reference_sum",
)
REFERENCE_PIXELS = "reference_pixels"
SOFT_SUMS = ("soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum")
HISTOGRAMS = ("histogram_foreground", "histogram_background")

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("head", pa.string(), nullable=False),
        pa.field("class_index", pa.int32(), nullable=False),
        *(pa.field(name, pa.int64()) for name in COUNTS),
        *(pa.field(name, pa.float64()) for name in SOFT_SUMS),
        *(pa.field(name, pa.list_(pa.int64(), BINS)) for name in HISTOGRAMS),
        *(pa.field(name, pa.string(), nullable=False) for name in failures.COLUMNS),
        pa.field(REFERENCE_PIXELS, pa.int64()),
    ]
)
"""A row per image, head and class. Counts are null for a failed image; soft sums are NaN where the prediction was a
label map; histograms are null where there are none: label maps, and the background of two classes. Reference pixels are
those of the class, ignored ones left out, as `reference_sum` has them. They stand for a failed image too whose image
and reference are sound, and are null for any other."""

# A part is small and there are thousands: what is set up for each column costs more than its bytes. Texts repeat, so
# they are listed once; only the histograms, nearly all of a part where there are any, are worth the better compression.
_TEXTS = tuple(field.name for field in SCHEMA if pa.types.is_string(field.type))
_COMPRESSION = {field.name: "snappy" for field in SCHEMA} | {f"{name}.list.element": "zstd" for name in HISTOGRAMS}


def encode_part(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The Parquet file of a part. Each row has the names of `SCHEMA`; None is null."""
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return tables.encode_table(
        table, metadata={"schema_version": SCHEMA_VERSION}, dictionary=_TEXTS, compression=_COMPRESSION
    )


def read_part(store: ObjectStore, entry: Entry) -> pa.Table:
    """The part of a committed shard, checked against the ledger and the schema."""
    table = pq.read_table(io.BytesIO(shards.read_object(store, entry, shards.ROWS)))
    if not table.schema.equals(SCHEMA):
        raise DamagedStoreError(
            f"part {entry.stage}/{entry.key[:12]}: expected the columns {SCHEMA.names}, got {table.schema.names}"
        )
    return table


def histogram(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """A histogram column as (rows, 256) int64; rows without a histogram must have been filtered out."""
    column = table.column(name).combine_chunks()
    if column.null_count:
        raise ArgumentError(
            f"{name}: expected rows with a histogram only, {column.null_count} of {len(column)} have none"
        )
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.int64).reshape(len(column), BINS)
