"""Lesion metrics: lesions counted as pixels are, image by image, so that every aggregation of pixels is one of lesions.

True positives and false negatives are lesions of the reference, false positives of the prediction. A panel of lesions
holds them in the columns of pixels; beside them the sums of Dice and IoU over the lesions of the reference that are
matched.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.metrics import scores
from segscale.tasks.metrics.count_columns import BoolArray, CountColumns, Float64Array, Int64Array
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.panel import MICRO, OVER_CLASSES, ClassCounts, Panel
from segscale.tasks.metrics.per_image import PREDICTION_MISSING
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.size_strata import LESION_COLUMNS, UNKNOWN, SizeStrata, is_lesion_size

REFERENCE, PREDICTION = "reference", "prediction"
"""Values of `side`."""


def _sum(counts: CountColumns, place: int) -> Float64Array:
    assert counts.sums is not None, "counts of pixels alone"
    return counts.sums[:, place]


def _all(counts: CountColumns) -> Int64Array:
    return counts.true_positive + counts.false_positive + counts.false_negative


F1 = Metric("lesion_f1", lambda c, _: scores.dice.ratio(c.true_positive, c.false_positive, c.false_negative))
LESION_DICE = Metric("lesion_dice", lambda c, _: Ratio(_sum(c, 0), _all(c)))
PANOPTIC_QUALITY = Metric("panoptic_quality", lambda c, _: Ratio(2 * _sum(c, 1), _all(c) + c.true_positive))
LESION_METRICS: tuple[Metric, ...] = (
    F1,
    Metric("lesion_sensitivity", lambda c, _: scores.sensitivity.ratio(c.true_positive, c.false_negative)),
    Metric("lesion_precision", lambda c, _: scores.precision.ratio(c.true_positive, c.false_positive)),
    LESION_DICE,
    PANOPTIC_QUALITY,
)
"""All of them, in the order of the reports."""
SUMS = ("dice_sum", "iou_sum")
COUNTS = ("true_positive", "false_positive", "false_negative")
N_REFERENCE = "reference_lesions"


def lesion_panels(panel: Panel, lesions: pd.DataFrame, settings: ScoreSettings) -> Iterator[tuple[str, Panel]]:
    """The panel of all lesions, beside that of the pixels over the same images, called "", then one of each bin of the
    sizes that `group_by` names, called by its stratum.

    lesions: a row for each with image_id, head, class_index, side, matched, dice, iou and what tells its size (voxels,
    area_mm2, volume_mm3). A lesion of the reference belongs to the bin of its own size, whatever was found of it; a
    false positive to that of its own.
    """
    yield "", lesion_panel(panel, lesions)
    for stratum, (of_size,) in lesions_by_size((lesions,), settings.group_by):
        yield stratum, lesion_panel(panel, of_size)


def lesions_by_size(
    tables: Sequence[pd.DataFrame], group_by: Iterable[str]
) -> Iterator[tuple[str, tuple[pd.DataFrame, ...]]]:
    """The lesions of each bin of the sizes that `group_by` names, by its stratum: of one run, or of several over the
    same images. Bins without a lesion in any run are left out.

    Raises ArgumentError where sizes are told in another unit in one run than in another.
    """
    columns = sorted({size_column(table) for table in tables if len(table)})
    for entry in filter(is_lesion_size, group_by):
        bins = SizeStrata.parse(entry)
        if len(columns) > 1:
            raise ArgumentError(
                f"group_by: {entry!r} needs sizes in one unit, got {' and '.join(columns)}: score the run without a "
                "spacing again, with dataset.spacing_mm"
            )
        for column in columns:
            places = [bins.places(table[column].fillna(UNKNOWN).to_numpy(np.float64)) for table in tables]
            for place, of_bin in enumerate(bins.names):
                if any((of_table == place).any() for of_table in places):
                    of_size = (table[of_table == place] for table, of_table in zip(tables, places, strict=True))
                    yield f"{LESION_COLUMNS[column]}={of_bin}", tuple(of_size)


def size_column(lesions: pd.DataFrame) -> str:
    """The column that tells how large lesions are: in mm3 or mm2 where any has a spacing, else in pixels."""
    return next((column for column in LESION_COLUMNS if lesions[column].notna().any()), "voxels")


def lesion_panel(panel: Panel, lesions: pd.DataFrame) -> Panel:
    """The panel of some lesions, beside that of the pixels over the same images."""
    made = partial(_class, panel=panel, lesions=lesions)
    classes = {}
    for head, of_head in panel.classes.items():
        found = [made(one, head) for one in of_head if one.is_foreground or one.is_region]
        first, *others = [one for one in found if one.is_foreground]
        counts = sum((one.counts for one in others), start=first.counts)
        missed = sum((one.missed for one in others), start=first.missed)
        classes[head] = (*found, ClassCounts(OVER_CLASSES, MICRO, counts, missed))
    return replace(
        panel, classes=classes, metrics=LESION_METRICS, explained=(F1, LESION_DICE, PANOPTIC_QUALITY), of_pixels=panel,
        units=None,
    )  # fmt: skip


def _class(one: ClassCounts, head: Hashable, panel: Panel, lesions: pd.DataFrame) -> ClassCounts:
    rows = lesions[((lesions["head"] == head) & (lesions["class_index"] == one.class_index)).to_numpy(bool)]
    counts = _columns(lesion_counts(rows, panel.images["image_id"]))
    n_missed = lesion_counts(rows, panel.missing["image_id"])["false_negative"].to_numpy(np.int64)
    missed = CountColumns.of_missing(n_missed, sums=np.zeros((n_missed.size, len(SUMS))))
    return replace(one, counts=counts, missed=missed)


def lesion_counts(rows: pd.DataFrame, image_ids: pd.Series) -> pd.DataFrame:
    """COUNTS (int64) and SUMS of these images, in their order, of the lesions of one class and head."""
    places = pd.Index(image_ids).get_indexer(rows["image_id"])
    is_reference = (rows["side"] == REFERENCE).to_numpy(bool)
    matched = rows["matched"].to_numpy(bool)

    def counted(chosen: BoolArray, weights: Any = None) -> Any:
        chosen = chosen & (places >= 0)
        return np.bincount(places[chosen], None if weights is None else weights[chosen], len(image_ids))

    of_matched = {
        f"{name}_sum": counted(is_reference & matched, rows[name].to_numpy(np.float64)) for name in ("dice", "iou")
    }
    counts = {
        "true_positive": counted(is_reference & matched),
        "false_positive": counted(~is_reference & ~matched),
        "false_negative": counted(is_reference & ~matched),
    }
    return pd.DataFrame({**counts, **of_matched})


def score_lesions(images: pd.DataFrame, lesions: pd.DataFrame, settings: ScoreSettings) -> pd.DataFrame:
    """The counts and scores of each image: N_REFERENCE, COUNTS (Int64), SUMS, and a column per metric (float64).

    images: rows with image_id, head, class_index, status and PREDICTION_MISSING. Of those that failed counts are null
    and scores NaN; of a missing prediction N_REFERENCE is known.
    """
    found = pd.DataFrame(0.0, images.index, [*COUNTS, *SUMS])
    for (head, index), rows in images.groupby(["head", "class_index"], sort=False):
        of_class = ((lesions["head"] == head) & (lesions["class_index"] == index)).to_numpy(bool)
        found.loc[rows.index] = lesion_counts(lesions[of_class], rows["image_id"]).to_numpy(np.float64)
    columns = _columns(found)
    failed = (images["status"] == "failed").to_numpy(bool)
    unknown = failed & ~images[PREDICTION_MISSING].fillna(False).to_numpy(bool)
    return pd.DataFrame(
        {
            N_REFERENCE: pd.arrays.IntegerArray(columns.reference_sum, unknown),
            **{name: pd.arrays.IntegerArray(getattr(columns, name), failed) for name in COUNTS},
            **{name: found[name].mask(failed) for name in SUMS},
            **{one.name: np.where(failed, np.nan, one.score(columns, settings)) for one in LESION_METRICS},
        },
        index=images.index,
    )


def _columns(found: pd.DataFrame) -> CountColumns:
    tp, fp, fn = (found[name].to_numpy(np.int64) for name in COUNTS)
    nothing, no_sums = np.zeros_like(tp), np.zeros(tp.size)
    sums = found[list(SUMS)].to_numpy(np.float64)
    return CountColumns(tp, fp, fn, nothing, tp + fn, no_sums, no_sums, no_sums, sums=sums)
