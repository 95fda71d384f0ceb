"""What the plots show, as arrays: of one class and head of the tables."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.per_image import is_ok
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import EmptyPolicy
from segscale.tasks.report_html.headline import matches, rows_of, whole_set

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]


_OF_IMAGES = (
    "image_id", "class_index", "head", "status", "true_positive", "false_positive", "false_negative", "reference_sum",
    "dice", "gap_contribution_dice",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Columns (n,) of the ok images of one class, in catalog order."""

    image_id: NDArray[np.object_]
    reference_pixels: Int64Array
    dice: Float64Array
    """As reported, NaN where undefined."""
    true_positive: Int64Array
    weight: Int64Array
    """2 TP + FP + FN, the denominator of Dice: what the image weighs in the pooled score."""
    contribution: Float64Array
    """To the covariance term of the gap; NaN where weight is 0."""

    @property
    def pooled_without(self) -> Float64Array:
        """(n,) pooled Dice, unsmoothed, of all images but this; NaN where nothing is left."""
        numerator = 2.0 * (self.true_positive.sum() - self.true_positive)
        weight = (self.weight.sum() - self.weight).astype(np.float64)
        pooled: Float64Array = scores.divide(Ratio(numerator, weight))
        return pooled


@dataclass(frozen=True, slots=True)
class ThresholdCurve:
    """Dice at each kept threshold, both ways."""

    thresholds: Float64Array
    per_sample: Float64Array
    pooled: Float64Array
    n_images: int
    """Images with probabilities."""


@dataclass(frozen=True, slots=True)
class BatchCurve:
    """Batch-summed Dice by batch size; the last is all images at once."""

    sizes: Int64Array
    means: Float64Array
    """In catalog order."""
    shuffle_means: Float64Array
    shuffle_stds: Float64Array


def image_scores(per_image: pd.DataFrame, class_index: int, head: object) -> ImageScores:
    """The ok images of a class and head."""
    # Of a million images a copy of all columns would be gigabytes.
    rows = rows_of(per_image[list(_OF_IMAGES)], class_index=class_index, head=head)
    rows = rows[is_ok(rows)]
    true_positive, false_positive, false_negative, reference = (
        rows[name].to_numpy(np.int64) for name in ("true_positive", "false_positive", "false_negative", "reference_sum")
    )
    return ImageScores(
        image_id=rows["image_id"].to_numpy(object),
        reference_pixels=reference,
        dice=rows["dice"].to_numpy(np.float64),
        true_positive=true_positive,
        weight=2 * true_positive + false_positive + false_negative,
        contribution=rows["gap_contribution_dice"].to_numpy(np.float64),
    )


def threshold_curve(
    thresholds: pd.DataFrame, class_index: int, head: object, smooth: float, empty: EmptyPolicy
) -> ThresholdCurve | None:
    """Per-sample and pooled Dice at every kept threshold; None where no image of the class has probabilities.

    Of several classes each is one against the rest. Smoothing and the empty policy are applied at each threshold.
    """
    chosen = matches(thresholds, class_index=class_index, head=head) & thresholds["predicted_001"].notna().to_numpy()
    if not chosen.any():
        return None

    def column(name: str) -> Int64Array:
        # A column at a time: of a million rows, a copy of all of them would be a gigabyte.
        return thresholds[name].to_numpy(np.int64, na_value=0)[chosen]

    reference = column("reference_sum")
    names = (str(name) for name in thresholds)
    numbers = sorted(int(name.removeprefix("predicted_")) for name in names if name.startswith("predicted_"))
    per_sample, pooled = np.empty((2, len(numbers)))
    for place, k in enumerate(numbers):
        true_positive, predicted = column(f"true_positive_{k:03d}"), column(f"predicted_{k:03d}")
        dice = _dice(true_positive, predicted, reference, smooth, empty)
        per_sample[place] = np.nanmean(dice) if np.isfinite(dice).any() else np.nan
        pooled[place] = _dice(true_positive.sum(), predicted.sum(), reference.sum(), smooth, empty)
    return ThresholdCurve(np.array(numbers) / (numbers[-1] + 1), per_sample, pooled, reference.size)


def batch_curve(batch_summed: pd.DataFrame, class_index: int, head: object) -> BatchCurve | None:
    """Dice by batch size, small to large; None without a defined score. Sizes of the whole set or more are left out."""
    rows = rows_of(whole_set(batch_summed), class_index=class_index, head=head, metric="dice")
    pooled = rows["pooled"].to_numpy(bool)
    n_images = int(rows.loc[pooled, "batch_size"].item())
    size = rows["batch_size"].to_numpy(np.int64)
    rows = rows[(pooled | (size < n_images)) & rows["mean"].notna().to_numpy()].sort_values("batch_size", kind="stable")
    if rows.empty:
        return None
    means, shuffle_means, shuffle_stds = (
        rows[name].to_numpy(np.float64) for name in ("mean", "shuffle_mean", "shuffle_std")
    )
    return BatchCurve(rows["batch_size"].to_numpy(np.int64), means, shuffle_means, shuffle_stds)


def largest(values: Float64Array, count: int) -> Int64Array:
    """Places of the values largest in size, largest first, equal ones in order; NaN and 0 are left out."""
    size = np.abs(np.nan_to_num(values))
    order = np.argsort(-size, kind="stable")[:count]
    return order[size[order] > 0].astype(np.int64)


def spaced(n: int, limit: int, ends: int = 0) -> Int64Array:
    """At most `limit` of the places 0..n-1, evenly spaced, with the first and last `ends` all kept."""
    if n <= limit:
        return np.arange(n, dtype=np.int64)
    middle = np.linspace(ends, n - 1 - ends, limit - 2 * ends).round().astype(np.int64)
    return np.concatenate([np.arange(ends), middle, np.arange(n - ends, n)]).astype(np.int64)


def _dice(true_positive: Any, predicted: Any, reference: Any, smooth: float, empty: EmptyPolicy) -> Any:
    score = scores.dice(true_positive, predicted - true_positive, reference - true_positive, smooth=smooth)
    return scores.with_empty_policy(score, (predicted == 0) & (reference == 0), empty, smooth)
