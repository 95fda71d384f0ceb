"""Parts: the counts of one shard as a worker commits them, with all bins of the probability histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from segscale.errors import ArgumentError, DamagedStoreError
from segscale.storage import failures, shards, tables
from segscale.storage.failures import Failure
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
label map, and of classes without a channel; histograms are null where soft sums are NaN, and of the background of two
classes. Reference pixels are those of the class, ignored ones left out, as `reference_sum` has them. They stand for a
failed image too whose image and reference are sound, and are null for any other."""

# A part is small and there are thousands: what is set up for each column costs more than its bytes. Texts repeat, so
# they are listed once; only the histograms, nearly all of a part where there are any, are worth the better compression.
_TEXTS = tuple(field.name for field in SCHEMA if pa.types.is_string(field.type))
_COMPRESSION = {field.name: "snappy" for field in SCHEMA} | {f"{name}.list.element": "zstd" for name in HISTOGRAMS}


def encode_part(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The Parquet file of a part. Each row has the names of `SCHEMA`; None is null."""
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return _encode(table)


@dataclass(frozen=True, slots=True)
class FailedImage:
    """An image of which nothing was counted."""

    failure: Failure
    reference_pixels: Sequence[int] | None = None
    """(C,) of each class, where image and reference are sound and the prediction alone is not."""


def encode_counts(
    image_ids: Sequence[str],
    head: str,
    counts: Mapping[str, npt.NDArray[np.int64]],
    *,
    soft_sums: Mapping[str, npt.NDArray[np.float64]] | None = None,
    histograms: Mapping[str, npt.NDArray[np.int64]] | None = None,
    failed: Mapping[int, FailedImage] | None = None,
) -> bytes:
    """The Parquet file of a part of one head, from columns: the bytes of `encode_part` without a dict for each row.

    image_ids: N of them, in the order of the rows; the classes of an image follow each other.
    counts: `COUNTS`, each (N, C), or (N, 1) of what is the same for all classes.
    soft_sums: `SOFT_SUMS`, each (N, C), NaN in images whose prediction is a label map. None: all are.
    histograms: `HISTOGRAMS`, each (N, H, 256), of the last H of the classes; read where there are soft sums.
    failed: by place in `image_ids`; whatever the arrays hold there is not read.
    """
    failed = failed or {}
    n_images, n_classes = counts["true_positive"].shape
    is_ok = np.ones(n_images, np.bool_)
    is_ok[list(failed)] = False
    sums = {name: _soft_sums(None if soft_sums is None else soft_sums[name], is_ok, n_classes) for name in SOFT_SUMS}
    has_soft_sums = ~np.isnan(sums[SOFT_SUMS[0]])
    texts = [failures.to_columns(failed[place].failure if place in failed else None) for place in range(n_images)]
    columns: dict[str, pa.Array] = {
        "image_id": _repeated(image_ids, n_classes),
        "head": pa.repeat(pa.scalar(head, pa.string()), n_images * n_classes),
        "class_index": pa.array(np.tile(np.arange(n_classes, dtype=np.int32), n_images)),
        **{name: _counts(counts[name], is_ok, n_classes) for name in COUNTS},
        **{name: pa.array(values.ravel()) for name, values in sums.items()},
        **{name: _histograms(None if histograms is None else histograms[name], has_soft_sums) for name in HISTOGRAMS},
        **{name: _repeated([text[name] for text in texts], n_classes) for name in failures.COLUMNS},
        REFERENCE_PIXELS: _reference_pixels(counts["reference_sum"], failed),
    }
    return _encode(pa.table(columns, schema=SCHEMA))


def _counts(values: npt.NDArray[np.int64], is_ok: npt.NDArray[np.bool_], n_classes: int) -> pa.Array:
    return pa.array(np.broadcast_to(values, (is_ok.size, n_classes)).ravel(), mask=np.repeat(~is_ok, n_classes))


def _soft_sums(
    values: npt.NDArray[np.float64] | None, is_ok: npt.NDArray[np.bool_], n_classes: int
) -> npt.NDArray[np.float64]:
    sums = np.full((is_ok.size, n_classes), np.nan)
    if values is not None:
        sums[is_ok] = values[is_ok]
    return sums


def _repeated(texts: Sequence[str], times: int) -> pa.Array:
    return pa.array(np.repeat(np.array(texts, dtype=object), times), pa.string())


def _histograms(values: npt.NDArray[np.int64] | None, known: npt.NDArray[np.bool_]) -> pa.Array:
    """(N, H, 256) as a column of N x C rows; null in classes before the last H and where nothing is known (N, C)."""
    kind = pa.list_(pa.int64(), BINS)
    if values is None or not known.any():
        return pa.nulls(known.size, kind)
    rows, has_histogram = np.zeros((*known.shape, BINS), np.int64), np.zeros(known.shape, np.bool_)
    first = known.shape[1] - values.shape[1]
    rows[:, first:], has_histogram[:, first:] = values, known[:, first:]
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), type=kind, mask=pa.array(~has_histogram.ravel()))


def _reference_pixels(reference_sum: npt.NDArray[np.int64], failed: Mapping[int, FailedImage]) -> pa.Array:
    pixels, unknown = reference_sum.copy(), np.zeros(reference_sum.shape, np.bool_)
    for place, image in failed.items():
        if image.reference_pixels is None:
            unknown[place] = True
        else:
            pixels[place] = image.reference_pixels
    return pa.array(pixels.ravel(), mask=unknown.ravel())


def _encode(table: pa.Table) -> bytes:
    return tables.encode_table(
        table, metadata={"schema_version": SCHEMA_VERSION}, dictionary=_TEXTS, compression=_COMPRESSION
    )


def read_part(store: ObjectStore, entry: Entry) -> pa.Table:
    """The part of a committed shard, checked against the ledger and the schema."""
    # A thread for each of so few columns, and the plan of a data set of files, cost ten times what is read.
    table = pq.ParquetFile(pa.BufferReader(shards.read_object(store, entry, shards.ROWS))).read(use_threads=False)
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
