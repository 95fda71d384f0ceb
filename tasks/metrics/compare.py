"""Two runs over the same images, compared image by image: per-sample means and pooled scores alike.

Differences are run b minus run a. Means are over images that have a score in both runs, pooled scores over images that
are ok in both. Where a run lacks usable predictions, both stand a second time with these images: as 0, and as missed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.metrics import scores
from segscale.tasks.metrics.count_columns import CountColumns, Float64Array
from segscale.tasks.metrics.intervals import MAX_UNDEFINED, MIN_UNITS
from segscale.tasks.metrics.layout import Row, seed_of, table
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.paired_estimates import PairedEstimate, Units, estimate_pair, mean_over_classes
from segscale.tasks.metrics.paired_tests import holm, permutation_test, wilcoxon_test
from segscale.tasks.metrics.pairing import (
    BothBeside,
    PairedClass,
    Pairs,
    by_unit,
    pair_images,
    refuse_different_settings,
)
from segscale.tasks.metrics.panel import IMAGE, MACRO, OVER_CLASSES, Panel, Stratum
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import ScoreSettings

KEYS: dict[str, str | None] = {
    "class_index": "Int64", "class_name": "str", "head_a": None, "head_b": None, "metric": "str",
}  # fmt: skip
DIFFERENCE_COLUMNS: dict[str, str | None] = {
    "unit": "str", "stratum": "str", **KEYS, "aggregation": "str",
    **dict.fromkeys(["value_a", "value_b", "difference", "low", "high"], "float64"), "interval_reason": "str",
    **dict.fromkeys(["n_pairs", "n_units", "n_defined_only_a", "n_defined_only_b"], "Int64"),
    "wilcoxon_p": "float64", "wilcoxon_holm": "float64", "wilcoxon_family": "Int64", "wilcoxon_reason": "str",
    "permutation_p": "float64", "permutation_holm": "float64", "permutation_family": "Int64",
    "permutation_reason": "str", "n_permutations": "Int64",
}  # fmt: skip
CHANGED_COLUMNS: dict[str, str | None] = {
    **KEYS, "rank": "Int64", "image_id": None,
    **dict.fromkeys(["score_a", "score_b", "difference", "pooled_effect"], "float64"),
}  # fmt: skip
MOST_CHANGED = 10
"""Images listed per class, head and metric."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs differ in."""

    differences: pd.DataFrame
    """A row per unit, stratum, class, head, metric and aggregation; those with missing predictions where a run lacks
    any."""
    images: pd.DataFrame
    """The images of the whole set whose Dice and Tversky changed most, a row per class, head, metric and rank; below
    them those whose HD95, lesion F1, lesion Dice and panoptic quality did, where both runs measured them."""
    unpaired: pd.DataFrame
    """image_id, status_a, status_b of images that failed in a run; they enter no difference."""


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    settings_a: ScoreSettings,
    settings_b: ScoreSettings,
    by: tuple[str, ...] = (),
    beside: Sequence[BothBeside] = (),
) -> Comparison:
    """Compare the `per_image` tables of two runs; `by` are columns of a whose values become strata.

    beside: what both runs measured beside pixels, of which the rows follow; of distances means alone. Lesions of some
    size are a stratum of the whole set.

    bootstrap, confidence, cluster_by, unit and seed are those of settings_a. With cluster_by, clusters are drawn and
    swapped as a whole, and signed ranks are of their mean differences. With `unit` the rows of images are followed by
    those of units, each the sum of its images that are paired. Intervals are percentiles of the paired bootstrap, NaN
    with a reason as in `intervals`. Permutation swaps the runs' counts of a unit: for means that flips the sign of its
    differences. Holm's family is every p-value of one test in one unit, stratum and aggregation: all its classes, heads
    and metrics.

    Raises ValueError where the runs are over other images, references or classes, where their settings score equal
    counts differently, or where units cannot be made (`check_units`).
    """
    refuse_different_settings(settings_a, settings_b)
    settings = settings_a.changed(group_by=by, folds="")
    pairs = pair_images(a, b)
    differences, images = [_differences(pairs, settings)], [_most_changed(pairs, settings_a)]
    for one in beside:
        measured = pair_images(a, b, one)
        if one.stratum:
            of_size = _differences(measured, settings.changed(group_by=()), one.stratum)
            differences.append(of_size)
        else:
            differences.append(_differences(measured, settings))
            images.append(_most_changed(measured, settings_a))
    return Comparison(_below(differences), _below(images), pairs.unpaired)


def _differences(pairs: Pairs, settings: ScoreSettings, stratum: str = "") -> pd.DataFrame:
    """The rows of all levels and strata; stratum: what the whole set is called."""
    rows = [{**row, "stratum": row["stratum"] or stratum} for row in _rows_of_levels(pairs, settings)]
    return _with_holm(table(rows, DIFFERENCE_COLUMNS))


def _below(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


def _rows_of_levels(pairs: Pairs, settings: ScoreSettings) -> list[Row]:
    """The rows of images, then of units; each with missing predictions too, where there are any."""
    rows = [*_rows_of(pairs, settings), *_rows_of(pairs.with_missing, settings, suffix="_missing")]
    if settings.unit:
        of_units = (None if one is None else by_unit(one, settings) for one in (pairs, pairs.with_missing))
        rows += [row for one, suffix in zip(of_units, ("", "_missing"), strict=True)
                 for row in _rows_of(one, settings, suffix)]  # fmt: skip
    return rows


def _rows_of(pairs: Pairs | None, settings: ScoreSettings, suffix: str = "") -> list[Row]:
    """The rows of all strata; `suffix` is what the aggregations are called beside."""
    if pairs is None:
        return []
    return [
        {"unit": pairs.panel.unit, **row, "aggregation": row["aggregation"] + suffix}
        for stratum in pairs.strata(settings.group_by)
        for row in _rows_of_stratum(pairs, stratum, settings)
    ]


def _rows_of_stratum(pairs: Pairs, stratum: Stratum, settings: ScoreSettings) -> Iterator[Row]:
    units, trouble = clusters_of(pairs, stratum, settings.cluster_by)
    seed = seed_of(stratum, settings.seed)
    for heads, of_head in groupby(pairs.classes, key=lambda pair: (pair.head_a, pair.head_b)):
        foreground: list[list[PairedEstimate]] = []
        for pair in of_head:
            a, b = pair.a.take(stratum.images), pair.b.take(stratum.images)
            estimates = estimate_pair(a, b, units, settings, seed, pairs.panel.metrics)
            yield from (_row(stratum, pair.class_index, pair.class_name, heads, one, settings, trouble, units)
                        for one in estimates)  # fmt: skip
            if pair.is_foreground:
                foreground.append(estimates)
        if len(foreground) > 1:
            for same in zip(*foreground, strict=True):
                one = mean_over_classes(list(same))
                yield _row(stratum, OVER_CLASSES, MACRO, heads, one, settings, trouble, units)


def clusters_of(pairs: Pairs, stratum: Stratum, cluster_by: str) -> tuple[Units, str]:
    """What of a stratum is drawn and swapped as a whole, and why nothing can be said of it ("" if it can).

    Raises ArgumentError where cluster_by is no column.
    """
    n_images = stratum.images.size
    if not cluster_by:
        return Units(np.arange(n_images), n_images), ""
    if cluster_by not in pairs.panel.images.columns:
        raise ArgumentError(f"cluster_by: expected a column of per_image, got {cluster_by!r}")
    column = pairs.panel.images[cluster_by].iloc[stratum.images]
    codes, names = pd.factorize(column, use_na_sentinel=False)
    n_missing = int(column.isna().sum())
    what = "images" if pairs.panel.unit == IMAGE else "units"
    trouble = f"{cluster_by} is missing for {n_missing} {what}" if n_missing else ""
    return Units(codes.astype(np.int64), len(names)), trouble


def _row(
    stratum: Stratum, class_index: int, class_name: str, heads: tuple[object, ...], one: PairedEstimate,
    settings: ScoreSettings, trouble: str, units: Units,
) -> Row:  # fmt: skip
    why_none = one.no_value or trouble
    low, high, interval_reason = (np.nan, np.nan, why_none) if why_none else _percentile(one, settings.confidence)
    no_ranks = why_none or one.no_ranks
    wilcoxon_p, wilcoxon_reason = (np.nan, no_ranks) if no_ranks else wilcoxon_test(one.unit_differences)
    permutation_p, permutation_reason = (
        (np.nan, why_none) if why_none else permutation_test(one.difference, one.permuted, units.count)
    )
    return {
        "stratum": stratum.name, "class_index": class_index, "class_name": class_name,
        "head_a": heads[0], "head_b": heads[1], "metric": one.metric, "aggregation": one.aggregation,
        "value_a": one.value_a, "value_b": one.value_b, "difference": one.difference,
        "low": low, "high": high, "interval_reason": interval_reason,
        "n_pairs": one.n_pairs, "n_units": one.n_units,
        "n_defined_only_a": one.n_defined_only_a, "n_defined_only_b": one.n_defined_only_b,
        "wilcoxon_p": wilcoxon_p, "wilcoxon_reason": wilcoxon_reason,
        "permutation_p": permutation_p, "permutation_reason": permutation_reason,
        "n_permutations": one.permuted.size,
    }  # fmt: skip


def _percentile(one: PairedEstimate, confidence: float) -> tuple[float, float, str]:
    if one.n_units < MIN_UNITS:
        return np.nan, np.nan, f"{one.n_units} units to be measured, fewer than {MIN_UNITS}"
    if one.replicates.size == 0:
        return np.nan, np.nan, "bootstrap is 0"
    undefined = np.isnan(one.replicates)
    if undefined.mean() > MAX_UNDEFINED:
        return np.nan, np.nan, f"{undefined.mean():.0%} of the resamples are undefined"
    tail = (1 - confidence) / 2
    low, high = np.quantile(one.replicates[~undefined], [tail, 1 - tail])
    return float(low), float(high), ""


def _with_holm(differences: pd.DataFrame) -> pd.DataFrame:
    """The adjusted p-values of each unit, stratum and aggregation, and how many stood together."""
    families = differences.groupby(["unit", "stratum", "aggregation"], sort=False)
    for test in ("wilcoxon", "permutation"):
        p_values = families[f"{test}_p"]
        differences[f"{test}_holm"] = p_values.transform(lambda family: holm(family.to_numpy(np.float64)))
        differences[f"{test}_family"] = p_values.transform("count").astype("Int64")
    return differences


def _most_changed(pairs: Pairs, settings: ScoreSettings) -> pd.DataFrame:
    tables = [
        _changed_images(pairs, pair, metric, settings)
        for pair in pairs.classes
        if pair.class_index != OVER_CLASSES
        for metric in _listed(pairs.panel)
    ]
    return table([row for rows in tables for row in rows], CHANGED_COLUMNS)


def _listed(panel: Panel) -> tuple[Metric, ...]:
    """By which metrics images are listed: of distances, whose gap needs no words, by one."""
    return panel.explained or tuple(metric for metric in panel.metrics if metric.name == "hd95")


def _changed_images(pairs: Pairs, pair: PairedClass, metric: Metric, settings: ScoreSettings) -> list[Row]:
    score_a, score_b = metric.score(pair.a, settings), metric.score(pair.b, settings)
    difference = score_b - score_a
    size = np.nan_to_num(np.abs(difference))
    largest = np.argsort(-size, kind="stable")[:MOST_CHANGED]
    effect = np.full(size.size, np.nan)
    if not metric.is_averaged:
        effect = _pulls(pair.b, metric, settings) - _pulls(pair.a, metric, settings)
    image_ids = pairs.panel.images["image_id"].to_numpy(object)
    keys = {name: getattr(pair, name) for name in KEYS if name != "metric"}
    return [
        {
            **keys, "metric": metric.name, "rank": rank, "image_id": image_ids[place], "score_a": score_a[place],
            "score_b": score_b[place], "difference": difference[place], "pooled_effect": effect[place],
        }
        for rank, place in enumerate(largest, 1)
        if size[place] > 0
    ]  # fmt: skip


def _pulls(counts: CountColumns, metric: Metric, settings: ScoreSettings) -> Float64Array:
    """(n,) the pooled score minus what it would be without each image."""
    smooth = metric.smooth(settings)
    numerator, denominator = (np.asarray(side, np.float64) for side in metric.ratio(counts, settings))
    pooled = scores.divide(Ratio(numerator.sum(), denominator.sum()), smooth)
    without = scores.divide(Ratio(numerator.sum() - numerator, denominator.sum() - denominator), smooth)
    pulls: Float64Array = pooled - without
    return pulls
