"""Confidence intervals of per-sample means and of pooled scores: percentile and BCa bootstrap, delta method."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import erfc, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.metrics.bootstrap import Resampled, UnitSums, mean_of, resample, sums_of_units
from segscale.tasks.metrics.count_columns import CountColumns, Int64Array
from segscale.tasks.metrics.layout import KEY_COLUMNS, Row, over_classes_together, seed_of, table
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.panel import IMAGE, Panel, Sample, Stratum
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.units import levels
from segscale.tasks.refusal import there_are

MIN_UNITS = 10
"""Below this many units an interval would claim more than they can tell."""
MAX_UNDEFINED = 0.05
"""Share of resamples that may be undefined; they are left out."""

INFINITE = "the mean is infinite"
UNKNOWN_MISSING = "it is not known which of the failed images lack a usable prediction"

COLUMNS: dict[str, str | None] = {
    **KEY_COLUMNS, "aggregation": "str", "method": "str", "low": "float64", "high": "float64", "n_units": "Int64",
    "reason": "str",
}  # fmt: skip

AGGREGATIONS = ("per_sample", "pooled", "per_sample_missing", "pooled_missing")
"""The last two with images that lack a usable prediction: as 0 in the mean, as missed in the sums."""

Interval = tuple[float, float, str]

# Of the standard library: scipy, which has the same to the last digits, takes longer to load than intervals to make.
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Units:
    """What is drawn in a stratum: images, or clusters of them."""

    ok: Int64Array
    """The unit of each ok image."""
    all: Int64Array
    """The unit of each ok image, then of each without a usable prediction."""
    trouble: str
    """Why there can be no intervals over the ok images ("" if there can)."""
    trouble_with_missing: str
    """Why there can be none with the others."""


def intervals(per_image: pd.DataFrame | Panel, settings: ScoreSettings) -> pd.DataFrame:
    """Intervals of each stratum, class, head, metric and aggregation by percentile, bca and delta.

    The aggregations with missing predictions resample these images beside the ok ones; where none is missing they are
    the others.

    Units are ok images, in the rows of a unit of evaluation these units, or clusters of either by `cluster_by`; n_units
    are those with something to be measured. All classes, heads and metrics of a stratum share their resamples, and the
    seed depends on the stratum's name only.
    all_macro is resampled as the mean over the defined classes; a resample that lacks one of them is undefined, since
    the mean over the others would estimate something else. low and high are NaN with a `reason` where fewer than 10
    units count, more than 5 % of the resamples are undefined, bootstrap is 0, or a cluster is unknown.

    Delta intervals are symmetric and may leave the range of the score. Percentile and BCa follow Efron and Tibshirani
    (1993), with the jackknife over units for the acceleration of BCa; a resample equal to the estimate counts half.
    """
    rows = [
        row
        for panel in levels(per_image, settings)
        for stratum in panel.strata(settings.group_by)
        for row in _rows_of_stratum(panel, stratum, settings)
    ]
    return table(rows, COLUMNS)


def _rows_of_stratum(panel: Panel, stratum: Stratum, settings: ScoreSettings) -> Iterator[Row]:
    units = _units(panel, stratum, settings.cluster_by)
    seed = seed_of(stratum, settings.seed)
    estimate = partial(_resample_classes, metrics=panel.metrics, units=units, settings=settings, seed=seed)
    names = [(metric, aggregation) for metric in panel.metrics for aggregation in AGGREGATIONS]
    combine = partial(mean_of, names=panel.foreground)
    told: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for keys, found in over_classes_together(panel, stratum, estimate, combine):
        for (metric, aggregation), resampled in zip(names, found, strict=True):
            if metric.is_averaged and aggregation.startswith("pooled"):
                continue
            trouble = _trouble(metric, aggregation, units)
            # What has the same sums is the same record, and has the same intervals.
            same = (id(resampled), trouble)
            told[same] = told.get(same) or by_method(resampled, settings, trouble)
            of_metric = {"metric": metric.name, "aggregation": aggregation, "n_units": resampled.n_units}
            for row in told[same]:
                yield {**keys, **of_metric, **row}


def _trouble(metric: Metric, aggregation: str, units: Units) -> str:
    if not aggregation.endswith("_missing"):
        return units.trouble
    if aggregation == "per_sample_missing" and not (metric.has_worst_score_zero or metric.is_averaged):
        return "0 is its best value, not its worst"
    return units.trouble_with_missing


def _units(panel: Panel, stratum: Stratum, cluster_by: str) -> Units:
    n_ok, missing = stratum.images.size, stratum.missing
    unknown = UNKNOWN_MISSING if missing is None else ""
    places = np.empty(0, np.int64) if missing is None else missing
    if not cluster_by:
        return Units(np.arange(n_ok), np.arange(n_ok + places.size), "", unknown)
    if cluster_by not in panel.images.columns:
        raise ArgumentError(
            f"cluster_by: expected a column of per_image, got {cluster_by!r}; {there_are(panel.images.columns)}"
        )
    ok = panel.images[cluster_by].iloc[stratum.images]
    every = pd.concat([ok, panel.missing[cluster_by].iloc[places]]) if places.size else ok
    codes, troubles = [], []
    what = "images" if panel.unit == IMAGE else "units"
    for column in (ok, every):
        n_unnamed = int(column.isna().sum())
        codes.append(pd.factorize(column, use_na_sentinel=False)[0].astype(np.int64))
        troubles.append(f"{cluster_by} is missing for {n_unnamed} {what}" if n_unnamed else "")
    return Units(codes[0], codes[1], troubles[0], unknown or troubles[1])


def sums_of_metric(
    metric: Metric, counts: CountColumns, units: Int64Array, settings: ScoreSettings
) -> tuple[UnitSums, UnitSums]:
    """What a metric is resampled from, per unit (U,): scores and how many are defined; numerators and denominators.

    units: (n,) the unit of each image, 0..U-1. The ratio of the first sums is the per-sample mean, of the second, after
    smoothing, the pooled score. Soft sums that are unknown (NaN) count as 0.
    """
    scores, ratio = metric.score(counts, settings), metric.ratio(counts, settings)
    n_units, defined = int(units.max(initial=-1)) + 1, ~np.isnan(scores)
    if metric.is_averaged and np.isinf(scores).any():
        # The mean is infinite, whatever is drawn: NaN in all sums, which `by_method` gives its reason.
        of_units = sums_of_units(defined.astype(np.float64), units, n_units)
        nothing = UnitSums(np.full(n_units, np.nan), of_units, 0.0)
        return nothing, nothing
    numerator, denominator = (
        sums_of_units(np.where(np.isnan(side), 0.0, side), units, n_units)
        for side in (ratio.numerator, ratio.denominator)
    )
    per_sample = UnitSums(
        sums_of_units(np.where(defined, scores, 0.0), units, n_units),
        sums_of_units(defined.astype(np.float64), units, n_units),
        0.0,
    )
    return per_sample, UnitSums(numerator, denominator, metric.smooth(settings))


def _resample_classes(
    samples: Iterator[Sample], metrics: tuple[Metric, ...], units: Units, settings: ScoreSettings, seed: list[int]
) -> list[list[Resampled]]:
    """Of each class, and in it of each metric, its `AGGREGATIONS`."""
    ok: list[UnitSums] = []
    every: list[UnitSums] = []
    has_missing = False
    for sample in samples:
        of_class = _sums_of_class(sample.counts, metrics, units.ok, settings)
        ok += of_class
        # Units that lack some of their images may lack none of a class.
        every += _sums_of_class(sample.with_missing, metrics, units.all, settings) if sample.has_missing else of_class
        has_missing = has_missing or sample.has_missing
    of_ok = resample(ok, settings.bootstrap, seed)
    of_all = resample(every, settings.bootstrap, seed) if has_missing else of_ok
    both = [one for place in range(0, len(ok), 2) for one in (*of_ok[place : place + 2], *of_all[place : place + 2])]
    size = len(metrics) * len(AGGREGATIONS)
    return [both[start : start + size] for start in range(0, len(both), size)]


def _sums_of_class(
    counts: CountColumns, metrics: tuple[Metric, ...], units: Int64Array, settings: ScoreSettings
) -> list[UnitSums]:
    return [sums for metric in metrics for sums in sums_of_metric(metric, counts, units, settings)]


def percentile_interval(resampled: Resampled, settings: ScoreSettings, trouble: str = "") -> Interval:
    """The percentile interval of an estimate: low, high, ""; or NaN, NaN and why. `trouble` is why there can be none.

    As in `intervals`: fewer than 10 units have none, nor has what more than 5 % of the resamples leave undefined.
    """
    trouble = _trouble_of(resampled, trouble)
    return (np.nan, np.nan, trouble) if trouble else _percentile(resampled, settings)


def _trouble_of(resampled: Resampled, trouble: str) -> str:
    if not trouble and resampled.n_units < MIN_UNITS:
        trouble = f"{resampled.n_units} units to be measured, fewer than {MIN_UNITS}{_of_scarcest(resampled)}"
    if not trouble and np.isnan(resampled.estimate):
        trouble = INFINITE
    return trouble


def by_method(resampled: Resampled, settings: ScoreSettings, trouble: str = "") -> list[dict[str, Any]]:
    """method, low, high and reason of each method; trouble: why there is none of them ("" if there may be)."""
    trouble = _trouble_of(resampled, trouble)
    rows = []
    for method, interval in (("percentile", _percentile), ("bca", _bca), ("delta", _delta)):
        low, high, reason = (np.nan, np.nan, trouble) if trouble else interval(resampled, settings)
        rows.append({"method": method, "low": low, "high": high, "reason": reason})
    return rows


def _percentile(resampled: Resampled, settings: ScoreSettings) -> Interval:
    tail = (1 - settings.confidence) / 2
    return _quantiles(resampled, tail, 1 - tail)


def _bca(resampled: Resampled, settings: ScoreSettings) -> Interval:
    replicates = resampled.replicates[~np.isnan(resampled.replicates)]
    if replicates.size == 0:
        return _quantiles(resampled, 0.0, 1.0)
    tolerance = 1e-12 * max(1.0, abs(resampled.estimate))
    below = np.mean(replicates < resampled.estimate - tolerance)
    equal = np.mean(np.abs(replicates - resampled.estimate) <= tolerance)
    share = float(below + equal / 2)
    if not 0 < share < 1:
        return np.nan, np.nan, "all resamples lie on one side of the estimate"
    bias = _NORMAL.inv_cdf(share)
    left_out = resampled.leave_one_out()
    left_out = left_out[~np.isnan(left_out)]
    deviation = left_out.mean() - left_out
    squared = deviation * deviation
    squares = float(squared.sum())
    acceleration = float((squared * deviation).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    normal = _NORMAL.inv_cdf((1 + settings.confidence) / 2)
    low, high = (_below(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in (-normal, normal))
    return _quantiles(resampled, low, high)


def _below(z: float) -> float:
    """The share of a normal distribution below z, without the digits that `NormalDist.cdf` loses in its lower tail."""
    return erfc(-z / sqrt(2)) / 2


def _delta(resampled: Resampled, settings: ScoreSettings) -> Interval:
    """estimate ± z sd(influence) / sqrt(U), with n - 1 in the standard deviation."""
    influence = resampled.influence()
    standard_error = float(influence.std(ddof=1)) / np.sqrt(influence.size)
    half = _NORMAL.inv_cdf((1 + settings.confidence) / 2) * standard_error
    return resampled.estimate - half, resampled.estimate + half, ""


def _quantiles(resampled: Resampled, low: float, high: float) -> Interval:
    replicates = resampled.replicates
    if replicates.size == 0:
        return np.nan, np.nan, "bootstrap is 0"
    undefined = np.isnan(replicates)
    if undefined.mean() > MAX_UNDEFINED:
        return np.nan, np.nan, f"{undefined.mean():.0%} of the resamples are undefined{_of_scarcest(resampled)}"
    lower, upper = np.quantile(replicates[~undefined], [low, high])
    return float(lower), float(upper), ""


def _of_scarcest(resampled: Resampled) -> str:
    return f" (class {resampled.scarcest})" if resampled.scarcest else ""
