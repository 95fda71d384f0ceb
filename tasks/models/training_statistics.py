"""What a training's history says beside the overlap scores, as serialisable Keras metrics.

They count what `tasks.models.training_metrics` counts, as exactly, and take `n_classes`, `threshold` and `reference` as
described there. Results are dicts of scalars, except that of `SparseCategoricalAccuracy`. NaN is undefined.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from segscale.errors import ArgumentError
from segscale.tasks.metrics import scores
from segscale.tasks.models.reference_encoding import Encoding
from segscale.tasks.models.segmentation_metric import (
    Pixels,
    SegmentationMetric,
    accumulate,
    check_threshold,
    decide,
    overlap_of,
    quotient,
    total,
)


class _HardStatistic(SegmentationMetric):
    """A statistic of hard predictions."""

    def __init__(
        self, n_classes: int = 2, threshold: float = 0.5, reference: Encoding = "index", name: str | None = None
    ) -> None:
        super().__init__(n_classes, reference, name)
        check_threshold(threshold)
        self.threshold = threshold

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this metric again."""
        return {**super().get_config(), "threshold": self.threshold}


@keras.saving.register_keras_serializable(package="segscale")
class ImageCounts(_HardStatistic):
    """Numbers of images, by whether they have foreground of any class.

    `n_images`; `n_reference_empty` without a foreground pixel in the reference, `n_prediction_empty` without one in the
    hard prediction, `n_both_empty` without either. An image without both counts in all four.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._counts = self._add_sums("counts", 4)

    def result(self) -> dict[str, Any]:
        """Float32 scalars, whole up to 2^24 images."""
        names = ("n_images", "n_reference_empty", "n_prediction_empty", "n_both_empty")
        return dict(zip(names, ops.unstack(total(self._counts), 4), strict=True))

    def _count(self, pixels: Pixels) -> None:
        hard = overlap_of(pixels, decide(pixels, self.threshold))
        no_reference = _is_empty(hard.true_positive + hard.false_negative)
        no_prediction = _is_empty(hard.true_positive + hard.false_positive)
        counts = [ops.ones_like(no_reference), no_reference, no_prediction, no_reference * no_prediction]
        accumulate(self._counts, ops.stack(counts, axis=1))


@keras.saving.register_keras_serializable(package="segscale")
class SmoothedDiceByReference(SegmentationMetric):
    """Mean soft Dice of images, smoothed as in the loss, apart for images without and with foreground.

    `smoothed_dice_reference_empty`, `smoothed_dice_reference_present`, NaN where there are no such images. An image's
    Dice is the mean over the foreground classes of (2 sum p t + s) / (sum p + sum t + s), and 1 for 0/0. Where the
    first rises alone, the loss falls by smoothing, on images with nothing to find.
    """

    def __init__(
        self, n_classes: int = 2, smooth: float = 1.0, reference: Encoding = "index", name: str | None = None
    ) -> None:
        super().__init__(n_classes, reference, name)
        if not (math.isfinite(smooth) and smooth >= 0):
            raise ArgumentError(f"smooth must be a finite number of 0 or more, got {smooth}")
        self.smooth = smooth
        self._sums = self._add_sums("sums", 2, 2)

    def result(self) -> dict[str, Any]:
        """Both means, scalars."""
        empty, present = ops.unstack(quotient(*ops.unstack(total(self._sums), 2)), 2)
        return {"smoothed_dice_reference_empty": empty, "smoothed_dice_reference_present": present}

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this metric again."""
        return {**super().get_config(), "smooth": self.smooth}

    def _count(self, pixels: Pixels) -> None:
        numerator, denominator = scores.dice.ratio(*overlap_of(pixels, pixels.probabilities))
        smoothed = quotient(numerator + self.smooth, denominator + self.smooth)
        by_class = ops.where(ops.greater(denominator + self.smooth, 0.0), smoothed, 1.0)
        dice = ops.mean(by_class[:, 1:], axis=1)
        empty = _is_empty(ops.sum(pixels.reference, axis=-1))
        kinds = ops.stack([empty, 1.0 - empty], axis=1)
        accumulate(self._sums, ops.stack([ops.expand_dims(dice, 1) * kinds, kinds], axis=1))


@keras.saving.register_keras_serializable(package="segscale")
class ForegroundShares(_HardStatistic):
    """How much foreground there is and is predicted, over all counted pixels.

    `predicted_share` of hard foreground pixels of any class, `reference_share`, `probability_mean` and
    `probability_std` of p(foreground), the population's, exactly 0 for a constant prediction. All NaN without a pixel.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pixels = self._add_sums("pixels", 3)
        self._moments = self._add_sums("moments", 2)

    def result(self) -> dict[str, Any]:
        """All four, scalars."""
        n_pixels, predicted, present = ops.unstack(total(self._pixels), 3)
        mean, squares = ops.unstack(total(self._moments), 2)
        return {
            "predicted_share": quotient(predicted, n_pixels),
            "reference_share": quotient(present, n_pixels),
            "probability_mean": ops.where(ops.greater(n_pixels, 0.0), mean, math.nan),
            "probability_std": ops.sqrt(quotient(squares, n_pixels)),
        }

    def _count(self, pixels: Pixels) -> None:
        hard = decide(pixels, self.threshold)
        counted = pixels.counted[:, 0]
        foreground = (ops.sum(values[:, 1:], axis=(1, 2)) for values in (hard, pixels.reference))
        numbers = ops.stack([ops.sum(counted, axis=1), *foreground], axis=1)
        self._join(ops.sum(pixels.probabilities[:, 1:], axis=1), counted, ops.sum(numbers[:, 0]))
        accumulate(self._pixels, numbers)

    def _join(self, probability: Any, counted: Any, n_pixels: Any) -> None:
        """Join mean and squared deviations of a batch, (B, N), with those before (Chan, Golub and LeVeque 1979)."""
        n_before, (mean_before, _) = total(self._pixels)[0], ops.unstack(total(self._moments), 2)
        # Measured from the largest of all, so that the mean of equal values is that value to the bit.
        largest = ops.max(probability)
        below = ops.sum(ops.sum((largest - probability) * counted, axis=1))
        mean = largest - below / ops.maximum(n_pixels, 1.0)
        squares = ops.sum(ops.sum(ops.square(probability - mean) * counted, axis=1))
        change = mean - mean_before
        share = n_pixels / ops.maximum(n_before + n_pixels, 1.0)
        moments = ops.stack([change * share, squares + ops.square(change) * n_before * share])
        accumulate(self._moments, ops.expand_dims(moments, 0))


@keras.saving.register_keras_serializable(package="segscale")
class OperatingPoint(SegmentationMetric):
    """The threshold at which the mean over images of class 1's Dice is best, of two classes.

    `best_threshold`, of k / (n_thresholds + 1) the one nearest to 0.5 of equals, then the lower; and
    `dice_per_sample_at_best`, which is `PerSampleDice(threshold=best_threshold)`: unsmoothed, without images
    whose reference is empty and whose prediction is so at that threshold. NaN where no threshold has a score.
    `n_thresholds` + 1 must be a power of two, so that thresholds are exact in float32.
    """

    def __init__(self, n_thresholds: int = 15, reference: Encoding = "index", name: str | None = None) -> None:
        super().__init__(2, reference, name)
        if n_thresholds < 1 or (n_thresholds + 1) & n_thresholds:
            raise ArgumentError(f"n_thresholds must be one less than a power of two, such as 15, got {n_thresholds}")
        self.n_thresholds = n_thresholds
        self._sums = self._add_sums("sums", 2, n_thresholds)

    def result(self) -> dict[str, Any]:
        """The threshold and its score, scalars."""
        steps = self.n_thresholds + 1
        nearest_first = sorted(range(1, steps), key=lambda k: (abs(2 * k - steps), k))
        dice = quotient(*ops.unstack(total(self._sums), 2))
        # -1: worse than any score.
        dice = ops.take(ops.where(ops.isnan(dice), -1.0, dice), [k - 1 for k in nearest_first])
        best = ops.max(dice)
        place = ops.min(ops.where(ops.equal(dice, best), ops.arange(steps - 1), steps))
        threshold = ops.take(ops.convert_to_tensor([k / steps for k in nearest_first], "float32"), place)
        known = ops.greater_equal(best, 0.0)
        return {
            "best_threshold": ops.where(known, threshold, math.nan),
            "dice_per_sample_at_best": ops.where(known, best, math.nan),
        }

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this metric again."""
        config = super().get_config()
        del config["n_classes"]
        return {**config, "n_thresholds": self.n_thresholds}

    def _count(self, pixels: Pixels) -> None:
        at_least = self._at_least(pixels)
        true_positive, predicted = at_least[:, 1, 1:-1], ops.sum(at_least[:, :, 1:-1], axis=1)
        present = at_least[:, 1, :1]
        numerator, both = scores.soft_dice.ratio(true_positive, predicted, present)
        dice = numerator / ops.maximum(both, 1.0)
        accumulate(self._sums, ops.stack([dice, ops.cast(ops.greater(both, 0.0), "float32")], axis=1))

    def _at_least(self, pixels: Pixels) -> Any:
        """(B, 2, steps + 1) counted pixels of either class with p >= k / steps, for k = 0 .. steps."""
        steps = self.n_thresholds + 1
        probability = pixels.probabilities[:, 1]
        # Times a power of two is exact. What is no probability, NaN included, must not become another image's segment.
        bins = ops.where(ops.greater(probability, 0.0), ops.minimum(ops.floor(probability * steps), steps), 0.0)
        n_images = ops.shape(probability)[0]
        images = ops.expand_dims(ops.arange(n_images, dtype="int32"), 1)
        rows = 2 * images + ops.cast(pixels.reference[:, 1], "int32")
        segments = rows * (steps + 1) + ops.cast(bins, "int32")
        counts = ops.segment_sum(
            ops.reshape(pixels.counted, (-1,)), ops.reshape(segments, (-1,)), num_segments=2 * n_images * (steps + 1)
        )
        histogram = ops.reshape(counts, (n_images, 2, steps + 1))
        return ops.flip(ops.cumsum(ops.flip(histogram, axis=2), axis=2), axis=2)


@keras.saving.register_keras_serializable(package="segscale")
class SparseCategoricalAccuracy(SegmentationMetric):
    """Share of the counted pixels whose most probable class is that of the reference; of two classes, p >= 0.5."""

    def __init__(self, n_classes: int = 2, reference: Encoding = "index", name: str | None = None) -> None:
        super().__init__(n_classes, reference, name)
        self._sums = self._add_sums("sums", 2)

    def result(self) -> Any:
        """The share, a scalar; NaN without a counted pixel."""
        return quotient(*ops.unstack(total(self._sums), 2))

    def _count(self, pixels: Pixels) -> None:
        hard = overlap_of(pixels, decide(pixels, 0.5))
        correct, counted = ops.sum(hard.true_positive, axis=1), ops.sum(pixels.counted, axis=(1, 2))
        accumulate(self._sums, ops.stack([correct, counted], axis=1))


def _is_empty(sums: Any) -> Any:
    """(B,) 1 where an image has no pixel of any foreground class, from sums (B, C)."""
    return ops.cast(ops.equal(ops.sum(sums[:, 1:], axis=1), 0.0), "float32")
