"""Rescore: other scores from the counts that a report keeps, without images and without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError, DataError
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.count_columns import COUNTS
from segscale.tasks.metrics.folds import fold_codes, mean_of_folds
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.headline import OF_FOLDS, PER_UNIT
from segscale.tasks.metrics.kept_thresholds import aggregate, counts_at, kept_index, pair_names
from segscale.tasks.metrics.layout import over_classes
from segscale.tasks.metrics.measures import with_measures
from segscale.tasks.metrics.metric_table import DICE, TVERSKY
from segscale.tasks.metrics.panel import OVER_CLASSES, Panel, Sample, panel_of
from segscale.tasks.metrics.per_image import IS_REGION, PREDICTION_MISSING, REFERENCE_PIXELS, n_classes_of
from segscale.tasks.metrics.per_unit import per_unit
from segscale.tasks.metrics.settings import EmptyPolicy, MissedDistance, ScoreSettings
from segscale.tasks.metrics.statistics import mean, mean_with_zeros
from segscale.tasks.metrics.units import levels, tears, with_units
from segscale.tasks.refusal import there_are

KEYS = ("image_id", "class_index", "head")
ABOUT_MISSING = (PREDICTION_MISSING, REFERENCE_PIXELS)
"""Columns of per_image without which nothing is known of missing predictions."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is scored otherwise than in the run; None keeps what the run had."""

    threshold: float | None = None
    """A kept one, k/threshold_count. Several classes are then each scored against the rest instead of by argmax."""
    tversky_alpha: float | None = None
    """Weight of false positives."""
    tversky_beta: float | None = None
    """Weight of false negatives."""
    smooth: float | None = None
    batch_sizes: tuple[int, ...] | None = None
    empty: EmptyPolicy | None = None
    group_by: tuple[str, ...] | None = None
    """Group columns of per_image whose values become strata, and bins of sizes (`reference_volume:0,100,1000`)."""
    unit: str | None = None
    """Group column of per_image whose values become units of evaluation; "" for images alone."""
    folds: str | None = None
    """Group column of per_image whose values are folds; "" for none."""
    missed_distance: MissedDistance | None = None
    """Distance of a structure that one side alone has."""
    nsd_tolerances: tuple[float, ...] = ()
    """Of surfaces, beside those of the run, in the unit of its distances; of three digits at most."""
    percentiles: tuple[float, ...] = ()
    """Of distances, beside the 95th."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rescore computes, and which columns it reads for it."""

    settings: ScoreSettings
    index: int | None
    """k of the threshold k/threshold_count that was asked for; None for the counts of the run itself."""
    threshold: float | None
    per_image_columns: tuple[str, ...]
    thresholds_columns: tuple[str, ...]
    """Empty where thresholds.parquet is not needed."""
    left_out: tuple[str, ...] = ()
    """Strata of the run that cut a unit asked for apart."""


def plan_rescore(own: ScoreSettings, threshold_count: int | None, columns: Sequence[str], changes: Changes) -> Plan:
    """The plan for the report of a run with these settings, which kept k/threshold_count.

    threshold_count: None will do where no threshold is asked for. columns: the names of the columns of its per_image
    table, in order.

    Raises ValueError naming the setting, what was expected and what came: a threshold that was not kept (with its kept
    neighbours), a column that is no group, a value out of its range.
    """
    names = ScoreSettings.model_fields
    asked = {name: value for name in names if (value := getattr(changes, name, None)) is not None}
    # Clusters are for intervals, which are not made here: other units may lie across them.
    settings = own.changed(**asked) if changes.unit is None else own.changed(cluster_by="", **asked)
    needed = {*KEYS, "class_name", "status", *COUNTS}
    if not needed <= set(columns):
        raise ArgumentError(
            f"per_image: expected the columns of a report, got none called {', '.join(sorted(needed - set(columns)))}"
        )
    groups = list(columns[columns.index("image_id") + 1 : columns.index("class_index")])
    for key, asked_for in (
        ("group_by", settings.group_columns),
        ("unit", (settings.unit,)),
        ("folds", (settings.folds,)),
    ):
        unknown = [column for column in asked_for if column and column not in groups]
        if unknown:
            raise ArgumentError(
                f"{key}: expected a group column of this report, got {unknown[0]!r}; {there_are(groups)}"
            )
    index = None
    if changes.threshold is not None:
        assert threshold_count is not None
        index = kept_index(changes.threshold, threshold_count)
    named = settings if settings.unit else settings.changed(cluster_by="")
    read = {*needed, IS_REGION, *ABOUT_MISSING, *named.columns}
    return Plan(
        settings=settings,
        index=index,
        threshold=changes.threshold,
        per_image_columns=tuple(column for column in columns if column in read),
        thresholds_columns=() if index is None else (*KEYS, "reference_sum", *pair_names(index)),
    )


def without_torn_strata(plan: Plan, changes: Changes, per_image: pd.DataFrame) -> Plan:
    """The plan without strata of the run that cut a unit apart, where units were asked for and no strata."""
    if not changes.unit or changes.group_by is not None:
        return plan
    settings = plan.settings
    torn = tuple(name for name in settings.group_columns if tears(per_image, settings.unit, name))
    kept = tuple(entry for entry in settings.group_by if entry not in torn)
    return replace(plan, settings=settings.changed(group_by=kept), left_out=torn)


def at_threshold(per_image: pd.DataFrame, thresholds: pd.DataFrame, index: int) -> pd.DataFrame:
    """The per_image table with the counts at threshold k of `thresholds`, whose other columns stay as they are.

    Soft sums do not depend on a threshold. Of two classes the background is what is not foreground; of more, each class
    and each region is scored against the rest. Scores and `empty`, if they are among the columns, are those of before.

    Raises ValueError where the tables are not of the same images, or an image that did not fail has no histogram.
    """
    background = (per_image["class_index"] == 0).to_numpy(bool)
    is_binary = n_classes_of(per_image) == 2
    chosen = ~background if is_binary else np.ones(len(per_image), bool)
    rows = per_image[chosen]
    _expect_same_rows(rows, thresholds)
    ok = (rows["status"] == "ok").to_numpy(bool)
    _expect_kept(rows[ok], thresholds[ok], index)
    counts = counts_at(thresholds[ok], index)
    if not np.array_equal(counts.reference_sum, rows["reference_sum"][ok].to_numpy(np.int64)):
        raise DataError("thresholds and per_image: reference_sum differs, they are not of one run")
    tp, fp, fn = counts.true_positive, counts.false_positive, counts.false_negative
    tn = rows.loc[ok, list(COUNTS[:4])].to_numpy(np.int64).sum(axis=1) - tp - fp - fn
    if tn.min(initial=0) < 0:
        raise DataError("thresholds: more pixels than the image has, the table is not of this run")
    placed = _place(per_image, chosen, ok, (tp, fp, fn, tn))
    if is_binary:
        is_class = (rows["class_index"] == 1).to_numpy(bool)
        _expect_same_rows(per_image[background].assign(class_index=1), thresholds[is_class])
        turned = (tn, fn, fp, tp)
        placed = _place(placed, background, ok[is_class], tuple(one[is_class[ok]] for one in turned))
    return placed


def rescore(
    per_image: pd.DataFrame, settings: ScoreSettings, measures: Mapping[str, pd.DataFrame] = MappingProxyType({})
) -> dict[str, pd.DataFrame]:
    """The tables per_sample, batch_summed and gap, and per_unit of units, as a run with these settings writes them.

    measures: of surface and lesions what their scores are made of.
    """
    panel = with_units(panel_of(per_image), settings)
    tables = {
        "per_sample": per_sample(panel, settings),
        "batch_summed": batch_summed(panel, settings),
        "gap": gap(panel, settings),
        **({} if panel.units is None else {"per_unit": per_unit(panel.units, settings)}),
    }
    return with_measures(tables, panel, measures, settings)


def headline(per_image: pd.DataFrame, settings: ScoreSettings) -> pd.DataFrame:
    """Dice and Tversky of each stratum, foreground class and head: the per-sample mean beside every batch size, pooled.

    The values are those of the tables of `rescore`, without the spread and the shuffled orders, which take far longer.
    Columns: stratum, class, head, metric, per-sample, of units ``per UNIT``, with folds their mean, failed as 0,
    missing as 0, ``batch N`` for each size, pooled, pooled, missed; n_failed, n_missing (null where it is not known).
    """
    panel, *units = levels(per_image, settings)
    of_units = {key: value for one in units for key, value in _means_of_units(one, settings)}
    # Of two classes, what is summed or averaged over the foreground is the foreground.
    n_classes = n_classes_of(per_image)
    left_out = (0, OVER_CLASSES) if n_classes == 2 else (0,)
    rows = []
    for stratum in panel.strata(settings.group_by):
        folds = fold_codes(panel, stratum, settings.folds)
        estimate = partial(_means, n_failed=stratum.n_failed, folds=folds, settings=settings)
        for keys, found in over_classes(panel, stratum, estimate, _mean_over_classes):
            if keys["class_index"] in left_out:
                continue
            place = {"stratum": keys["stratum"], "class": keys["class_name"], "head": keys["head"]}
            for metric, means in zip((DICE, TVERSKY), found, strict=True):
                counted = {"n_failed": stratum.n_failed, "n_missing": stratum.n_missing}
                first = {"per-sample": means.pop("per-sample")}
                for one in units:
                    key = (*place.values(), metric.name)
                    first[PER_UNIT.format(one.unit)] = of_units.get(key, np.nan)
                rows.append({**place, "metric": metric.name, **first, **means, **counted})
    return pd.DataFrame(rows).astype({"n_missing": "Int64"})


def _means_of_units(panel: Panel, settings: ScoreSettings) -> Iterator[tuple[tuple[Any, ...], float]]:
    """By stratum, class, head and metric the mean over units."""

    def estimate(sample: Sample) -> list[float]:
        return [mean(metric.score(sample.counts, settings)) for metric in (DICE, TVERSKY)]

    for stratum in panel.strata(settings.group_by):
        for keys, found in over_classes(panel, stratum, estimate, mean):
            for metric, value in zip((DICE, TVERSKY), found, strict=True):
                yield (stratum.name, keys["class_name"], keys["head"], metric.name), value


def _means(
    sample: Sample, n_failed: int, folds: NDArray[np.int64] | None, settings: ScoreSettings
) -> list[dict[str, float]]:
    found, counts = [], sample.counts
    for metric in (DICE, TVERSKY):
        aggregated = aggregate(counts, metric, settings)
        scores = metric.score(counts, settings)
        defined = scores[~np.isnan(scores)]
        missed = np.nan if sample.missed is None else metric.pooled(sample.with_missing, settings)
        found.append(
            {
                "per-sample": aggregated.pop("per_sample"),
                **({} if folds is None else {OF_FOLDS: mean_of_folds(scores, folds)[0]}),
                "failed as 0": mean_with_zeros(defined, n_failed),
                "missing as 0": mean_with_zeros(defined, sample.n_missing),
                **aggregated,
                "pooled, missed": missed,
            }
        )
    return found


def _mean_over_classes(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: mean([means[name] for means in found]) for name in found[0]}


def _expect_same_rows(rows: pd.DataFrame, thresholds: pd.DataFrame) -> None:
    same = len(rows) == len(thresholds) and all(
        np.array_equal(rows[key].to_numpy(), thresholds[key].to_numpy()) for key in KEYS
    )
    if not same:
        raise DataError("thresholds and per_image: expected the same images, classes and heads in the same order")


def _expect_kept(rows: pd.DataFrame, thresholds: pd.DataFrame, index: int) -> None:
    lacking = thresholds[pair_names(index)[0]].isna().to_numpy()
    if lacking.any():
        first = rows["image_id"].to_numpy()[lacking][0]
        raise ArgumentError(
            f"threshold: {int(lacking.sum())} of {len(rows)} rows come from label maps, or are of classes without a "
            f"channel, which have no thresholds (the first: image {first}); leave the threshold out to score them as "
            "they are"
        )


def _place(
    per_image: pd.DataFrame,
    chosen: NDArray[np.bool_],
    ok: NDArray[np.bool_],
    counts: tuple[NDArray[np.int64], ...],
) -> pd.DataFrame:
    places = np.flatnonzero(chosen)[ok]
    columns = {}
    for name, values in zip(COUNTS[:4], counts, strict=True):
        column = per_image[name].astype("Int64")
        unknown = column.isna().to_numpy()
        filled = column.to_numpy(np.int64, na_value=0)
        filled[places] = values
        columns[name] = pd.array(np.ma.array(filled, mask=unknown), dtype="Int64")
    return per_image.assign(**columns)
