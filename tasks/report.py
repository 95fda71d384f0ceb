"""Report: the committed counts of all shards become the tables of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from segscale.errors import DamagedStoreError, DataError
from segscale.storage import catalog as catalogs
from segscale.storage import failures, parts
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import encode_report_table
from segscale.storage.sources import file_name
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.diagnose import diagnose
from segscale.tasks.metrics.equal_files import equal_files
from segscale.tasks.metrics.findings import Finding, by_severity
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.panel import PREDICTION_MISSING, panel_of
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.per_unit import per_unit
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.thresholds import cumulate
from segscale.tasks.metrics.units import with_units

CODE_VERSION = 6
"""Of the tables and of the statistics in them; raised when equal counts would give other bytes."""


_FETCHED_AT_ONCE = 8
_PARTS_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """What every row of every table says of its run."""

    run_id: str
    dataset: str
    model: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of the per-image tables: images in catalog order, then heads, then classes."""

    classes: tuple[str, ...]
    heads: tuple[str, ...]
    threshold: float
    threshold_count: int

    @property
    def rows_per_image(self) -> int:
        return len(self.heads) * len(self.classes)


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
        strange = (image < 0) | (head < 0) | (class_index < 0) | (class_index >= len(layout.classes))
        if strange.any():
            raise _unknown(several, int(np.argmax(strange)))
        rows = (image * len(heads) + head) * len(layout.classes) + class_index
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
    n_images, n_heads, n_classes = len(catalog), len(layout.heads), len(layout.classes)
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


@dataclass(frozen=True, slots=True)
class ReportTables:
    """The tables of a run, made once: to be written, drawn and told."""

    frames: dict[str, pd.DataFrame]
    """By name. `thresholds` is left out where everything is a label map."""
    findings: list[Finding]
    """What they say against the run."""

    def encode(self) -> dict[str, bytes]:
        """The Parquet files of the report, by file name."""
        return {f"{name}.parquet": encode_report_table(_encodable(name, frame)) for name, frame in self.frames.items()}


def build_tables(
    counted: Counted, catalog: pd.DataFrame, layout: Layout, settings: ScoreSettings, identity: Identity
) -> ReportTables:
    """All tables of a report; every row begins with the identity of its run."""
    per_image = _per_image(counted, catalog, layout, settings)
    aggregates, findings = _aggregated(per_image, settings)
    frames = {"per_image": per_image, **aggregates, "failures": _failures(counted, catalog)}
    if counted.has_histogram.any():
        frames["thresholds"] = _thresholds(counted, layout)
    return ReportTables({name: _identified(frame, identity) for name, frame in frames.items()}, findings)


def _aggregated(per_image: pd.DataFrame, settings: ScoreSettings) -> tuple[dict[str, pd.DataFrame], list[Finding]]:
    # A function of its own, so that the panel, large where there are many images, ends before the thresholds begin.
    panel = with_units(panel_of(per_image), settings)
    judged = {
        "per_sample": per_sample(panel, settings),
        "batch_summed": batch_summed(panel, settings),
        "gap": gap(panel, settings),
    }
    findings = by_severity([*diagnose(panel, **judged, settings=settings), *equal_files(per_image)])
    of_units = {} if panel.units is None else {"per_unit": per_unit(panel.units, settings)}
    return {**judged, "intervals": intervals(panel, settings), **of_units}, findings


def _encodable(name: str, frame: pd.DataFrame) -> pd.DataFrame | pa.Table:
    # Of an Arrow table the bytes of each number are laid apart: worth it for many columns of counts that hardly differ.
    return pa.Table.from_pandas(frame, preserve_index=False) if name == "thresholds" else frame


def _per_image(counted: Counted, catalog: pd.DataFrame, layout: Layout, settings: ScoreSettings) -> pd.DataFrame:
    repeats, frame = layout.rows_per_image, counted.frame
    of_image = catalog.loc[catalog.index.repeat(repeats)].reset_index(drop=True)
    # A label map was thresholded by whoever made it; what failed would have been compared as the others were.
    compared = frame["soft_intersection"].notna() | ((frame["status"] == "failed") & bool(counted.has_histogram.any()))
    is_missing = (frame["status"] == "failed") & frame[parts.REFERENCE_PIXELS].notna()
    sizes = {name: of_image[name].astype("Int64").mask(of_image[name] == 0) for name in ("depth", "height", "width")}
    table = pd.DataFrame(
        {
            "image_id": frame["image_id"],
            **{name: of_image[name] for name in catalogs.group_columns(catalog)},
            "class_index": frame["class_index"],
            "class_name": np.array(layout.classes, dtype=object)[frame["class_index"]],
            "head": frame["head"],
            **sizes,
            "n_pixels": frame["n_pixels"],
            "n_ignored": frame["n_ignored"],
            "threshold": np.where(compared & (len(layout.classes) == 2), layout.threshold, np.nan),
            **{name: frame[name] for name in parts.COUNTS[2:-1]},
            **{name: frame[name] for name in parts.SOFT_SUMS},
            "reference_sum": frame["reference_sum"],
            # A set that names no images has no hashes of them either.
            "image_sha256": of_image["image_sha256"] if (catalog["image"] != "").any() else _no_text(len(of_image)),
            "reference_sha256": of_image["reference_sha256"],
            "prediction_sha256": of_image["prediction_sha256"],
            "status": frame["status"],
            "error": frame["error"],
            PREDICTION_MISSING: is_missing.astype("boolean"),
            parts.REFERENCE_PIXELS: frame[parts.REFERENCE_PIXELS],
        }
    )
    return score_images(table, settings)


def _no_text(n_rows: int) -> pd.Series[str]:
    return pd.Series(None, range(n_rows), dtype="str")


def _failures(counted: Counted, catalog: pd.DataFrame) -> pd.DataFrame:
    frame = counted.frame
    first = frame[(frame["status"] == "failed") & (frame["image_id"] != frame["image_id"].shift())]
    # Where no images are named the reference stands for the image.
    sources = catalog["image"].where(catalog["image"] != "", catalog["reference"])
    source = sources.iloc[pd.Index(catalog["image_id"]).get_indexer(first["image_id"])]
    return pd.DataFrame(
        {
            "image_id": first["image_id"],
            "source": pd.array([file_name(url) for url in source], dtype="str"),
            "stage": first["stage"],
            "error_type": first["error_type"],
            "message": first["error"],
        }
    ).reset_index(drop=True)


def _identified(frame: pd.DataFrame, identity: Identity) -> pd.DataFrame:
    return pd.concat([pd.DataFrame(asdict(identity), index=frame.index, dtype="str"), frame], axis=1)


def _thresholds(counted: Counted, layout: Layout) -> pd.DataFrame:
    """A row per image and class that has a histogram (of two classes the foreground), a pair of columns a threshold."""
    first = 1 if len(layout.classes) == 2 else 0
    chosen = (counted.frame["class_index"] >= first).to_numpy()
    frame, missing = counted.frame[chosen].reset_index(drop=True), ~counted.has_histogram[chosen]
    pairs: dict[str, pd.arrays.IntegerArray] = {}
    for k in range(1, layout.threshold_count):
        for name, counts in (("true_positive", counted.true_positive), ("predicted", counted.predicted)):
            pairs[f"{name}_{k:03d}"] = pd.arrays.IntegerArray(counts[chosen, k - 1], missing)
    keys = frame[["image_id", "class_index", "head", "reference_sum"]]
    return pd.concat([keys, pd.DataFrame(pairs)], axis=1)
