"""The gap between the pooled score and the per-sample mean, explained.

With w the unsmoothed denominator of an image's score D, and means over the n images with w > 0, pooled - mean is
Cov(w, D) / mean(w): large images score better, or worse, than small ones. Smoothing, and images with nothing to be
scored, make the rest.

Where units of evaluation lie between the two, the gap is taken in two steps. From units to pooled it is the same, over
units. From images to units, with n_u images of w > 0 in unit u, m_u their mean and D_u the unit's score, the mean over
units minus that over images is mean_u(D_u - m_u), the same covariance within each unit, and -Cov(n, m) / mean(n): a
unit of many images weighs no more than another.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.batches import batch
from segscale.tasks.metrics.count_columns import CountColumns, Float64Array, Int64Array
from segscale.tasks.metrics.layout import KEY_COLUMNS, Row, over_classes, table
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.panel import OVER_CLASSES, Panel, Sample, Stratum, panel_of
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean, means_within
from segscale.tasks.metrics.units import Units, levels

IMAGE_TO_POOLED, IMAGE_TO_UNIT, UNIT_TO_POOLED = "image_to_pooled", "image_to_unit", "unit_to_pooled"
"""Values of `step`: the whole way, or its two parts."""
VALUES = ("per_sample_mean", "unit_mean", "pooled")
TERMS = (*VALUES, "gap", "covariance_term", "smoothing_term", "undefined_term", "count_term")
COLUMNS: dict[str, str | None] = {
    **KEY_COLUMNS, "step": "str", **dict.fromkeys(TERMS, "float64"), "n_classes_defined": "Int64",
}  # fmt: skip
LEAVE_ONE_OUT_COLUMNS: dict[str, str | None] = {
    "image_id": None, **{name: kind for name, kind in KEY_COLUMNS.items() if name not in ("unit", "stratum")},
    "pooled_change": "float64",
}  # fmt: skip


def gap(per_image: pd.DataFrame | Panel, settings: ScoreSettings) -> pd.DataFrame:
    """pooled - per_sample_mean of Dice and Tversky with its terms: a row per stratum, class, head, metric and step.

    M0, P0: mean and pooled over images with w > 0, unsmoothed; M0e: the mean with the values of the empty policy
    ("smooth" as "nan"); Ms, Ps: mean and pooled as reported. covariance_term = P0 - M0, undefined_term = M0 - M0e,
    smoothing_term = (Ps - P0) - (Ms - M0e); together Ps - Ms. Where no image has w > 0, all terms are 0, or NaN if the
    scores are. all_macro is the mean over foreground classes with a defined gap.

    Rows of images have the step image_to_pooled, in which unit_mean is per_sample_mean and count_term 0. Rows of a unit
    have two: unit_to_pooled is the same over units, gap = pooled - unit_mean; image_to_unit has
    gap = unit_mean - per_sample_mean, with undefined_term and smoothing_term those of the units' mean less those of the
    images', the covariance within units, and count_term. All images of the stratum's units enter, also where a stratum
    is of sizes, of units as of images. The two gaps of a class sum to pooled - per_sample_mean.
    """
    panel, *_ = levels(per_image, settings)
    rows = [
        row for stratum in panel.strata(settings.group_by) for row in _rows(panel, stratum, settings, IMAGE_TO_POOLED)
    ]
    if panel.units is not None:
        for stratum in panel.units.panel.strata(settings.group_by):
            rows += _rows_of_units(panel, panel.units, stratum, settings)
    return table(rows, COLUMNS)


def _rows(panel: Panel, stratum: Stratum, settings: ScoreSettings, step: str) -> Iterator[Row]:
    estimate = partial(_terms_of_metrics, metrics=panel.explained, settings=settings)
    for keys, found in over_classes(panel, stratum, estimate, _mean_over_classes):
        yield from ({**keys, "step": step, **row} for row in found)


def _rows_of_units(panel: Panel, units: Units, stratum: Stratum, settings: ScoreSettings) -> list[Row]:
    """Both steps of a stratum of units."""
    place = np.full(len(units.panel.images), -1, np.int64)
    place[stratum.images] = np.arange(stratum.images.size)
    members = place[units.members]
    images = np.flatnonzero(members >= 0)
    of_images = Stratum(stratum.name, images, 0, np.empty(0, np.int64))
    estimate = partial(_terms_to_units, metrics=panel.explained, members=members[images], settings=settings)
    first = [
        {**keys, "unit": units.panel.unit, "step": IMAGE_TO_UNIT, **row}
        for keys, found in over_classes(panel, of_images, estimate, _mean_over_classes)
        for row in found
    ]
    second = list(_rows(units.panel, stratum, settings, UNIT_TO_POOLED))
    # Each step knows two of the three values, and both the one between them.
    for before, after in zip(first, second, strict=True):
        before["pooled"], after["per_sample_mean"] = after["pooled"], before["per_sample_mean"]
    return [row for pair in zip(first, second, strict=True) for row in pair]


def leave_one_out(per_image: pd.DataFrame | Panel, settings: ScoreSettings) -> pd.DataFrame:
    """How far the pooled score moves when one image is left out: a row per image, class and head, Dice and Tversky.

    pooled_change = (P - D) w / (W - w), unsmoothed: positive where the image pulls the pooled score down. It is 0 for
    images with w = 0 and NaN where nothing is left.
    """
    panel = panel_of(per_image)
    tables = [
        pd.DataFrame(
            {
                "image_id": panel.images["image_id"],
                "class_index": one.class_index,
                "class_name": one.class_name,
                "head": head,
                "metric": metric.name,
                "pooled_change": _pooled_changes(one.counts, metric, settings),
            }
        )
        for head in panel.heads
        for one in panel.classes[head]
        if one.class_index != OVER_CLASSES
        for metric in panel.explained
    ]
    return pd.concat(tables, ignore_index=True) if tables else table([], LEAVE_ONE_OUT_COLUMNS)


def _terms_of_metrics(sample: Sample, metrics: tuple[Metric, ...], settings: ScoreSettings) -> list[Row]:
    return [_terms(sample.counts, metric, settings) for metric in metrics]


def _terms(counts: CountColumns, metric: Metric, settings: ScoreSettings) -> Row:
    pooled_counts = batch(counts, max(counts.size, 1)).counts
    unsmoothed = _unsmoothed(settings)
    per_sample, pooled = mean(metric.score(counts, settings)), mean(metric.score(pooled_counts, settings))
    plain = settings.changed(smooth=0.0, empty="nan")
    plain_mean, plain_pooled = mean(metric.score(counts, plain)), mean(metric.score(pooled_counts, plain))
    filled_mean = mean(metric.score(counts, unsmoothed))
    if np.isnan(plain_mean) and not np.isnan(per_sample):
        plain_mean = plain_pooled = filled_mean = per_sample
    return {
        "metric": metric.name,
        "per_sample_mean": per_sample,
        "unit_mean": per_sample,
        "pooled": pooled,
        "gap": pooled - per_sample,
        "covariance_term": plain_pooled - plain_mean,
        "smoothing_term": (pooled - plain_pooled) - (per_sample - filled_mean),
        "undefined_term": plain_mean - filled_mean,
        "count_term": np.nan if np.isnan(pooled - per_sample) else 0.0,
    }


def _terms_to_units(
    sample: Sample, metrics: tuple[Metric, ...], members: Int64Array, settings: ScoreSettings
) -> list[Row]:
    return [_terms_to_unit(sample.counts, members, metric, settings) for metric in metrics]


def _terms_to_unit(counts: CountColumns, members: Int64Array, metric: Metric, settings: ScoreSettings) -> Row:
    """From the mean over images to the mean over the units that they are members of, 0..U-1."""
    of_units = counts.sum_by(members)
    unsmoothed, plain = _unsmoothed(settings), settings.changed(smooth=0.0, empty="nan")
    image_mean, unit_mean = (mean(metric.score(one, settings)) for one in (counts, of_units))
    image_filled, unit_filled = (mean(metric.score(one, unsmoothed)) for one in (counts, of_units))
    image_scores = metric.score(counts, plain)
    image_plain, unit_plain = mean(image_scores), mean(metric.score(of_units, plain))
    within = mean(means_within(image_scores, members))
    if np.isnan(image_plain):
        image_plain = unit_plain = image_filled = unit_filled = within = image_mean
    return {
        "metric": metric.name,
        "per_sample_mean": image_mean,
        "unit_mean": unit_mean,
        "gap": unit_mean - image_mean,
        "covariance_term": unit_plain - within,
        "smoothing_term": (unit_mean - unit_filled) - (image_mean - image_filled),
        "undefined_term": (unit_filled - unit_plain) - (image_filled - image_plain),
        "count_term": within - image_plain,
    }


def _unsmoothed(settings: ScoreSettings) -> ScoreSettings:
    return settings.changed(smooth=0.0, empty="nan" if settings.empty == "smooth" else settings.empty)


def _mean_over_classes(rows: list[Row]) -> Row:
    defined = [row for row in rows if not np.isnan(row["gap"])]
    terms = [term for term in TERMS if term in rows[0]]
    means = {term: mean([row[term] for row in defined]) for term in terms}
    return {"metric": rows[0]["metric"], **means, "n_classes_defined": len(defined)}


def _pooled_changes(counts: CountColumns, metric: Metric, settings: ScoreSettings) -> Float64Array:
    ratio = metric.ratio(counts, settings)
    numerator, weight = (np.asarray(side, np.float64) for side in ratio)
    pooled = scores.divide(Ratio(numerator.sum(), weight.sum()))
    change: Float64Array = scores.divide(Ratio(numerator.sum() - numerator, weight.sum() - weight)) - pooled
    return change
