"""The headline: both aggregations of every class side by side, with intervals and with the images that do not count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.tasks.metrics.panel import CHANNELS, IMAGE, MACRO, MICRO, OVER_CLASSES

METRICS = {"dice": "Dice", "tversky": "Tversky"}
"""Metrics of the headline with their names."""
OVER_CLASSES_NAMES = {
    MACRO: "mean over foreground classes",
    MICRO: "foreground classes summed",
    CHANNELS: "all classes summed, background included",
}
METHODS = ("bca", "percentile", "delta")
"""Of the intervals the first of these that is defined is shown."""

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score of the whole set with its interval."""

    value: float
    low: float = np.nan
    high: float = np.nan
    """NaN, like `low`, where there is no interval."""
    method: str = ""
    """One of METHODS, or "" where there is no interval."""


@dataclass(frozen=True, slots=True)
class BatchScore:
    """The batch-summed score of one batch size."""

    mean: float
    n_batches: int
    n_undefined: int
    """Batches without a score; 0 over classes, where it is not known."""


@dataclass(frozen=True, slots=True)
class HeadlineRow:
    """One class, head and metric."""

    class_name: str
    """As configured, or in words for what is said over classes."""
    head: str
    metric: str
    per_sample: Estimate
    per_unit: Estimate | None
    """The mean over units of evaluation; None without units."""
    of_folds: float | None
    """The mean of folds; None without folds."""
    failed_as_zero: float
    missing_as_zero: Estimate
    """The per-sample mean with missing predictions as 0."""
    batches: tuple[BatchScore | None, ...]
    """For each batch size of the headline."""
    pooled: Estimate
    pooled_missing: Estimate
    """With missing predictions as missed."""
    n_undefined: int | None
    """Ok images without a score; None for a mean over classes."""
    n_failed: int


@dataclass(frozen=True, slots=True)
class Headline:
    """The rows: foreground classes, regions, what is over classes, then the background; heads and metrics as in the
    tables.
    """

    batch_sizes: tuple[int, ...]
    unit: str
    """The column of the units of evaluation, or ""."""
    has_folds: bool
    rows: tuple[HeadlineRow, ...]
    reasons: tuple[str, ...]
    """Why intervals are missing, each reason once."""


def headline_of(tables: Tables) -> Headline:
    """The headline of the tables per_sample, batch_summed and intervals, for the whole set and every head."""
    of_units = {name: _of_headline(tables[name], units=True) for name in ("per_sample", "intervals")}
    per_sample, batch_summed, intervals = (
        _of_headline(tables[name]) for name in ("per_sample", "batch_summed", "intervals")
    )
    has_folds = bool(per_sample["n_folds"].notna().any())
    fixed = batch_summed[~batch_summed["pooled"].to_numpy(bool)]
    sizes = tuple(int(size) for size in fixed["batch_size"].drop_duplicates())
    if not per_sample["n_missing"].fillna(0).any():
        intervals = intervals[intervals["aggregation"].isin(["per_sample", "pooled"]).to_numpy(bool)]
    shown = pd.concat([intervals, rows_of(of_units["intervals"], aggregation="per_sample")])
    missing = shown.loc[shown["low"].isna().to_numpy() & (shown["reason"] != "").to_numpy(), "reason"]
    return Headline(
        batch_sizes=sizes,
        unit="".join(of_units["per_sample"]["unit"].unique()),
        has_folds=has_folds,
        rows=tuple(_row(keys, batch_summed, intervals, sizes, of_units, has_folds) for keys in _ordered(per_sample)),
        reasons=tuple(dict.fromkeys(map(str, missing))),
    )


def whole_set(table: pd.DataFrame, *, units: bool = False) -> pd.DataFrame:
    """The rows of an aggregate table that are about all images; with `units` those about all units of evaluation."""
    return table[((table["stratum"] == "") & ((table["unit"] != IMAGE) == units)).to_numpy(bool)]


def matches(table: pd.DataFrame, **keys: Any) -> NDArray[np.bool_]:
    """(rows,) whether the columns have these values."""
    chosen = np.ones(len(table), np.bool_)
    for column, value in keys.items():
        chosen &= (table[column] == value).to_numpy(bool)
    return chosen


def rows_of(table: pd.DataFrame, **keys: Any) -> pd.DataFrame:
    """The rows whose columns have these values."""
    return table[matches(table, **keys)]


def _of_headline(table: pd.DataFrame, *, units: bool = False) -> pd.DataFrame:
    rows = whole_set(table, units=units)
    return rows[rows["metric"].isin(list(METRICS)).to_numpy(bool)]


def _ordered(per_sample: pd.DataFrame) -> list[Any]:
    """The rows of per_sample in the order of the headline.

    With one foreground class, its rows over foreground classes would repeat it.
    """
    rows: list[Any] = list(per_sample.itertuples(index=False))
    single = len({row.class_index for row in rows if row.class_index > 0}) == 1
    foreground = [row for row in rows if row.class_index > 0]
    over = [
        row for row in rows if row.class_index == OVER_CLASSES and not (single and row.class_name in (MACRO, MICRO))
    ]
    return [*foreground, *over, *(row for row in rows if row.class_index == 0)]


def _row(
    keys: Any,
    batch_summed: pd.DataFrame,
    intervals: pd.DataFrame,
    sizes: tuple[int, ...],
    of_units: Tables,
    has_folds: bool,
) -> HeadlineRow:
    same = {name: getattr(keys, name) for name in ("class_index", "class_name", "head", "metric")}
    batches, ranges = rows_of(batch_summed, **same), rows_of(intervals, **same)
    by_size = {row.batch_size: row for row in batches.itertuples() if not row.pooled}
    whole = rows_of(batches, pooled=True)
    over = keys.class_index == OVER_CLASSES
    return HeadlineRow(
        class_name=OVER_CLASSES_NAMES[keys.class_name] if over else str(keys.class_name),
        head=str(keys.head),
        metric=METRICS[keys.metric],
        per_sample=estimate(float(keys.mean), rows_of(ranges, aggregation="per_sample")),
        per_unit=_of_units(of_units, same),
        of_folds=float(keys.mean_of_folds) if has_folds else None,
        failed_as_zero=float(keys.mean_failed_as_zero),
        missing_as_zero=estimate(float(keys.mean_missing_as_zero), rows_of(ranges, aggregation="per_sample_missing")),
        batches=tuple(_batch_score(by_size.get(size)) for size in sizes),
        pooled=estimate(float(whole["mean"].item()), rows_of(ranges, aggregation="pooled")),
        pooled_missing=estimate(
            float(whole["pooled_missing_as_missed"].item()), rows_of(ranges, aggregation="pooled_missing")
        ),
        n_undefined=None if pd.isna(keys.n_defined) else int(keys.n_images - keys.n_failed - keys.n_defined),
        n_failed=int(keys.n_failed),
    )


def _of_units(tables: Tables, same: Mapping[str, Any]) -> Estimate | None:
    means = rows_of(tables["per_sample"], **same)["mean"]
    if means.empty:
        return None
    return estimate(float(means.item()), rows_of(tables["intervals"], **same, aggregation="per_sample"))


def estimate(value: float, ranges: pd.DataFrame) -> Estimate:
    """A value with the first of its intervals, by METHODS, that is defined."""
    by_method = {str(row.method): row for row in ranges.itertuples()}
    for method in METHODS:
        found: Any = by_method.get(method)
        if found is not None and np.isfinite(found.low):
            return Estimate(value, float(found.low), float(found.high), method)
    return Estimate(value)


def _batch_score(row: Any) -> BatchScore | None:
    if row is None:
        return None
    undefined = 0 if pd.isna(row.n_undefined) else int(row.n_undefined)
    return BatchScore(float(row.mean), int(row.n_batches), undefined)
