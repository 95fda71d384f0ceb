"""The counts of a run: the committed parts of all shards, row by row in the order of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from segscale.errors import DamagedStoreError, DataError
from segscale.storage import failures, parts
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.tasks.metrics.thresholds import cumulate

_FETCHED_AT_ONCE = 8
_PARTS_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of the per-image tables: images in catalog order, then heads, then classes, then regions."""

    classes: tuple[str, ...]
    heads: tuple[str, ...]
    threshold: float
    threshold_count: int
    regions: tuple[str, ...] = ()
    """Their class indices go on behind those of the classes."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of classes and regions, by class index."""
        return (*self.classes, *self.regions)

    @property
    def rows_per_image(self) -> int:
        return len(self.heads) * len(self.names)


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of a whole run, by row of `Layout`."""

    frame: pd.DataFrame
    """image_id, class_index, head, the counts (Int64), the soft sums, status, stage, error_type, error, and
    reference_pixels (Int64), which an image has too of which the prediction alone failed."""
    true_positive: npt.NDArray[np.int32]
    """(rows, threshold_count - 1) reference-foreground pixels with p >= k/threshold_count, k from 1."""
    predicted: npt.NDArray[np.int32]
    """(rows, threshold_count - 1) all counted pixels with it."""
    has_histogram: npt.NDArray[np.bool_]
    """(rows,) whether the two arrays above say anything about the row."""


def collect(store: ObjectStore, entries: Iterable[Entry], catalog: pd.DataFrame, layout: Layout) -> Counted:
    """Read every part once and put each row where the catalog wants it.

    Raises ValueError naming the first image where a part holds an unknown image or head, or an image twice, or where an
    image of the catalog is in no part.
    """
    n_rows = len(catalog) * layout.rows_per_image
    images = pd.Index(catalog["image_id"])
    heads = pd.Index(layout.heads)
    columns = _empty_columns(n_rows)
    thresholds = layout.threshold_count - 1
    true_positive, predicted = (np.zeros((n_rows, thresholds), np.int32) for _ in range(2))
    has_histogram = np.zeros(n_rows, np.bool_)
    seen = np.zeros(n_rows, np.int64)
    for several in _read_together(store, entries, layout.threshold_count):
        table = pa.concat_tables(part.table for part in several)
        image = images.get_indexer(table.column("image_id").to_pandas())
        head = heads.get_indexer(table.column("head").to_pandas())
        class_index = table.column("class_index").to_numpy()
        strange = (image < 0) | (head < 0) | (class_index < 0) | (class_index >= len(layout.names))
        if strange.any():
            raise _unknown(several, int(np.argmax(strange)))
        rows = (image * len(heads) + head) * len(layout.names) + class_index
        np.add.at(seen, rows, 1)
        _place(columns, rows, table)
        counted = rows[np.concatenate([part.has_histogram for part in several])]
        has_histogram[counted] = True
        true_positive[counted] = np.concatenate([part.true_positive for part in several])
        predicted[counted] = np.concatenate([part.predicted for part in several])
    if (seen != 1).any():
        image_id = images[int(np.argmax(seen != 1)) // layout.rows_per_image]
        raise DamagedStoreError(f"image {image_id}: expected in one part, found {int(seen[seen != 1][0])} times")
    return Counted(_frame(columns, catalog, layout), true_positive, predicted, has_histogram)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is taken of a part."""

    key: str
    table: pa.Table
    """Its rows without the histograms, which are nearly all of it where there are any."""
    has_histogram: npt.NDArray[np.bool_]
    true_positive: npt.NDArray[np.int32]
    """As in `Counted`, of the rows with a histogram."""
    predicted: npt.NDArray[np.int32]


def _read_together(store: ObjectStore, entries: Iterable[Entry], threshold_count: int) -> Iterator[list[_Part]]:
    """Some parts at a time, fetched side by side: what each call costs is paid for all of them."""

    def read(entry: Entry) -> _Part:
        table = parts.read_part(store, entry)
        counted = np.asarray(table.column(parts.HISTOGRAMS[0]).is_valid())
        pixels = _cumulate(table.filter(pa.array(counted)), threshold_count)
        return _Part(entry.key, table.drop_columns(list(parts.HISTOGRAMS)), counted, *pixels)

    waiting = iter(entries)
    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
        while several := list(pool.map(read, islice(waiting, _PARTS_TOGETHER))):
            yield several


def _unknown(several: Sequence[_Part], row: int) -> DamagedStoreError:
    """What is wrong with a row of some parts, one below the other."""
    ends = np.cumsum([part.table.num_rows for part in several])
    place = int(np.searchsorted(ends, row, side="right"))
    part = several[place]
    of_part = part.table.slice(row - int(ends[place]) + part.table.num_rows, 1)
    values = of_part.select(["image_id", "head", "class_index"]).to_pylist()[0]
    return DamagedStoreError(f"part {part.key[:12]}: holds {values}, which this run does not know")


def _empty_columns(n_rows: int) -> dict[str, npt.NDArray[Any]]:
    return {
        "known": np.zeros(n_rows, np.bool_),
        **{name: np.zeros(n_rows, np.int64) for name in (*parts.COUNTS, parts.REFERENCE_PIXELS)},
        "has_reference": np.zeros(n_rows, np.bool_),
        **{name: np.full(n_rows, np.nan) for name in parts.SOFT_SUMS},
        **{name: np.full(n_rows, "", dtype=object) for name in failures.COLUMNS},
    }


def _place(columns: dict[str, npt.NDArray[Any]], rows: npt.NDArray[np.int64], table: pa.Table) -> None:
    columns["known"][rows] = np.asarray(table.column("n_pixels").is_valid())
    columns["has_reference"][rows] = np.asarray(table.column(parts.REFERENCE_PIXELS).is_valid())
    for name in (*parts.COUNTS, parts.REFERENCE_PIXELS):
        columns[name][rows] = table.column(name).fill_null(0).to_numpy()
    for name in parts.SOFT_SUMS:
        columns[name][rows] = table.column(name).to_numpy()
    for name in failures.COLUMNS:
        columns[name][rows] = table.column(name).to_pandas()


def _cumulate(table: pa.Table, threshold_count: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Pixels at or above each threshold k/threshold_count, k from 1: of the reference foreground, and of all."""
    if not table.num_rows:
        return np.zeros((0, threshold_count - 1), np.int32), np.zeros((0, threshold_count - 1), np.int32)
    foreground, background = (parts.histogram(table, name) for name in parts.HISTOGRAMS)
    true_positive, predicted = cumulate(foreground, background, threshold_count)
    largest = int(predicted.max(initial=0))
    if largest > np.iinfo(np.int32).max:
        raise DataError(f"an image has {largest} pixels above a threshold; thresholds.parquet holds up to 2^31 - 1")
    return true_positive.astype(np.int32), predicted.astype(np.int32)


def _frame(columns: Mapping[str, npt.NDArray[Any]], catalog: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    n_images, n_heads, n_classes = len(catalog), len(layout.heads), len(layout.names)
    unknown = ~columns["known"]
    return pd.DataFrame(
        {
            "image_id": np.repeat(catalog["image_id"].to_numpy(), n_heads * n_classes),
            "class_index": np.tile(np.arange(n_classes), n_images * n_heads),
            "head": np.tile(np.repeat(np.array(layout.heads, dtype=object), n_classes), n_images),
            **{name: pd.array(np.ma.array(columns[name], mask=unknown), dtype="Int64") for name in parts.COUNTS},
            **{name: columns[name] for name in (*parts.SOFT_SUMS, *failures.COLUMNS)},
            parts.REFERENCE_PIXELS: pd.array(
                np.ma.array(columns[parts.REFERENCE_PIXELS], mask=~columns["has_reference"]), dtype="Int64"
            ),
        }
    )
