"""Overlap scores while a network is trained, as serialisable Keras metrics.

They are the scores of the reports, within 1e-6 of `tasks.metrics.aggregate` on the same predictions: with TP, FP, FN
the pixels of a class and s = `smooth` in pixels, added once per image, batch or set,

    Dice    = (2 TP + s) / (2 TP + FP + FN + s)
    Tversky = (TP + s) / (TP + alpha FP + beta FN + s)        alpha weighs false positives, beta false negatives

"PerSample" is the mean of the images' scores, "Pooled" the score of the sums over all images; neither depends on how
the images are cut into batches. "BatchSummed" does: it is the mean of the scores of the batches' sums, weighted by
their images, so a short last batch counts for what it holds.

    n_classes     background included.
    class_index   the class to score. None: the mean over the foreground classes of the values that are defined. "each":
                  a dict of that mean under the metric's name, and of every class c under <name>_class_<c>.
    threshold     two classes: foreground where p(class 1) >= threshold, both as float32; more classes: the most
                  probable one, the first of equals. None: soft sums, with p in place of 0 and 1.
    empty         the score where hard reference and hard prediction (for soft sums: at 0.5) both lack the class: "nan"
                  leaves it out, "one", "zero", "smooth" (s/s). Any other is undefined only if its denominator less s
                  is 0. Where all are undefined the result is NaN.
    reference     how it is encoded. `tasks.models.reference_encoding` says what fits, and what is ignored.

ValueError says what does not fit; there are no sample weights. Metrics of one network give the same operations the same
inputs, which compilers merge: together they read the pixels once. What each costs is the time to compile it.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal, NamedTuple, get_args

import keras
from keras import ops

from tasks.models.reference_encoding import Encoding, check_encoding, encode

EmptyPolicy = Literal["nan", "one", "zero", "smooth"]
"""Score where hard reference and hard prediction are both empty; "smooth" lets the formula stand, s/s = 1."""

# Counts of images are split at this size: sums of either part over a batch stay exact in float32.
_COARSE = 4096.0


class Pixels(NamedTuple):
    """A batch of B images with N pixels each, float32: per class one run of memory, which is summed fast and well."""

    reference: Any
    """(B, C, N) 1 where the pixel is of the class, 0 elsewhere and where ignored."""
    probabilities: Any
    """(B, C, N), 0 where ignored."""
    counted: Any
    """(B, 1, N) 0 where ignored, else 1."""


class Overlap(NamedTuple):
    """Sums of pixels, (..., C) float32."""

    true_positive: Any
    false_positive: Any
    false_negative: Any


def pixels_of(y_true: Any, y_pred: Any, n_classes: int, reference: Encoding) -> Pixels:
    """Reference and prediction, checked against each other and `n_classes`; ValueError where they do not fit."""
    encoded = encode(y_true, y_pred, reference)
    found = encoded[1].shape[-1]
    if found != n_classes:
        raise ValueError(
            f"prediction {tuple(y_pred.shape)} tells {found} classes apart, the metric {n_classes}: give it "
            f"n_classes={found}, background included"
        )
    return Pixels(*(_channels_first(values) for values in encoded))


def decide(pixels: Pixels, threshold: float) -> Any:
    """(B, C, N) hard prediction: at the threshold for two classes, else the most probable class; 0 where ignored."""
    n_classes = pixels.probabilities.shape[1]
    if n_classes == 2:
        predicted = ops.greater_equal(pixels.probabilities[:, 1], threshold)
    else:
        predicted = ops.argmax(pixels.probabilities, axis=1)
    classes = ops.reshape(ops.arange(n_classes, dtype="int32"), (1, n_classes, 1))
    is_predicted = ops.equal(ops.expand_dims(ops.cast(predicted, "int32"), 1), classes)
    return ops.cast(is_predicted, "float32") * pixels.counted


def overlap_of(pixels: Pixels, prediction: Any) -> Overlap:
    """(B, C) sums of each image; exact up to 2^24 pixels for a hard prediction, soft with p for 0 and 1."""
    true_positive = ops.sum(pixels.reference * prediction, axis=-1)
    predicted, present = ops.sum(prediction, axis=-1), ops.sum(pixels.reference, axis=-1)
    return Overlap(true_positive, predicted - true_positive, present - true_positive)


def quotient(numerator: Any, denominator: Any) -> Any:
    """numerator / denominator, NaN where the denominator is 0."""
    defined = ops.greater(denominator, 0.0)
    return ops.where(defined, numerator / ops.where(defined, denominator, 1.0), math.nan)


class SegmentationMetric(keras.metrics.Metric):  # type: ignore[misc]
    """A metric of pixels, with sums that stay exact.

    A sum is kept in two parts, of multiples of 4096 and of what is left, each of them as two float32 numbers, high and
    low; an addition puts its rounding error into the low one (Knuth's and Dekker's error-free additions). Counts are
    exact to 2^47 that way, on every backend: float32 alone stops counting at 2^24, and JAX has no float64 unless it is
    asked for it.
    """

    def __init__(self, n_classes: int, reference: Encoding, name: str | None) -> None:
        # Keras would number the names of those made later.
        super().__init__(dtype="float32", name=name or re.sub(r"\B([A-Z])", r"_\1", type(self).__name__).lower())
        if n_classes < 2:
            raise ValueError(f"n_classes must be 2 or more, the background is one of them, got {n_classes}")
        check_encoding(reference)
        self.n_classes = n_classes
        self.reference: Encoding = reference

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch."""
        if sample_weight is not None:
            raise ValueError(f"{self.name} takes no sample weights; give it among `metrics`, not `weighted_metrics`")
        self._count(pixels_of(y_true, y_pred, self.n_classes, self.reference))

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this metric again."""
        return {"name": self.name, "n_classes": self.n_classes, "reference": self.reference}

    def _count(self, pixels: Pixels) -> None:
        raise NotImplementedError

    def _add_sums(self, name: str, *shape: int) -> Any:
        """State for sums of this shape, starting at 0."""
        return self.add_variable((2, 2, *shape), "zeros", dtype="float32", name=name)


def accumulate(sums: Any, values: Any) -> None:
    """Add values (B, ...) to sums (...) of a `SegmentationMetric`: without error for counts of up to 4096 images."""
    coarse = ops.round(values / _COARSE) * _COARSE
    parts = ops.sum(ops.stack([coarse, values - coarse]), axis=1)
    high, low = ops.unstack(ops.convert_to_tensor(sums), 2)
    rounded = high + parts
    added = rounded - high
    low = low + ((high - (rounded - added)) + (parts - added))
    high = rounded + low
    sums.assign(ops.stack([high, low - (high - rounded)]))


def total(sums: Any) -> Any:
    """The value of sums of a `SegmentationMetric`, as float32."""
    return ops.sum(ops.convert_to_tensor(sums), axis=(0, 1))


class _Score(SegmentationMetric):
    """The Dice of each class, whatever it is summed over."""

    def __init__(
        self,
        n_classes: int = 2,
        class_index: int | Literal["each"] | None = None,
        threshold: float | None = 0.5,
        smooth: float = 0.0,
        empty: EmptyPolicy = "nan",
        reference: Encoding = "index",
        name: str | None = None,
    ) -> None:
        super().__init__(n_classes, reference, name)
        if class_index not in (None, "each", *range(n_classes)):
            raise ValueError(f'class_index must be one of 0 to {n_classes - 1}, None or "each", got {class_index!r}')
        if not (math.isfinite(smooth) and smooth >= 0):
            raise ValueError(f"smooth must be a finite number of 0 or more, got {smooth}")
        if empty not in get_args(EmptyPolicy):
            raise ValueError(f"empty must be one of {get_args(EmptyPolicy)}, got {empty!r}")
        if threshold is not None:
            check_threshold(threshold)
        self.class_index = class_index
        self.threshold = threshold
        self.smooth = smooth
        self.empty: EmptyPolicy = empty

    def result(self) -> Any:
        """The score, a scalar, or under "each" a dict of scalars; NaN where it is undefined."""
        by_class = ops.unstack(self._by_class(), self.n_classes)
        if self.class_index == "each":
            of_each = {f"{self.name}_class_{index}": score for index, score in enumerate(by_class)}
            return {self.name: _mean_of_defined(by_class[1:]), **of_each}
        return _mean_of_defined(by_class[1:]) if self.class_index is None else by_class[self.class_index]

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this metric again."""
        return {
            **super().get_config(),
            "class_index": self.class_index,
            "threshold": self.threshold,
            "smooth": self.smooth,
            "empty": self.empty,
        }

    def _count(self, pixels: Pixels) -> None:
        hard = overlap_of(pixels, decide(pixels, 0.5 if self.threshold is None else self.threshold))
        sums = hard if self.threshold is not None else overlap_of(pixels, pixels.probabilities)
        self._count_images(ops.stack([*sums, sum(hard)], axis=1))

    def _count_images(self, sums: Any) -> None:
        """Take TP, FP, FN and the pixels of either mask of each image, (B, 4, C)."""
        raise NotImplementedError

    def _by_class(self) -> Any:
        """(C,) the result for each class."""
        raise NotImplementedError

    def _scores(self, sums: Any) -> Any:
        """(..., 4, C) of images, batches or all to (..., C)."""
        *overlap, either = ops.unstack(sums, 4, axis=-2)
        numerator, denominator = self._ratio(Overlap(*overlap))
        defined = ops.greater(denominator, 0.0)
        smoothed = (numerator + self.smooth) / ops.where(defined, denominator + self.smooth, 1.0)
        score = ops.where(defined, smoothed, math.nan)
        both_empty = ops.equal(either, 0.0)
        if self.empty == "smooth":
            return (
                ops.where(ops.logical_and(both_empty, ops.logical_not(defined)), 1.0, score) if self.smooth else score
            )
        return ops.where(both_empty, {"nan": math.nan, "one": 1.0, "zero": 0.0}[self.empty], score)

    def _ratio(self, sums: Overlap) -> tuple[Any, Any]:
        """Numerator and denominator, unsmoothed."""
        tp, fp, fn = sums
        return 2.0 * tp, 2.0 * tp + fp + fn


class _TverskyScore(_Score):
    """The Tversky index of each class, whatever it is summed over."""

    def __init__(
        self,
        n_classes: int = 2,
        class_index: int | Literal["each"] | None = None,
        threshold: float | None = 0.5,
        smooth: float = 0.0,
        empty: EmptyPolicy = "nan",
        alpha: float = 0.3,
        beta: float = 0.7,
        reference: Encoding = "index",
        name: str | None = None,
    ) -> None:
        super().__init__(n_classes, class_index, threshold, smooth, empty, reference, name)
        if not (math.isfinite(alpha + beta) and min(alpha, beta) >= 0 and alpha + beta > 0):
            raise ValueError(f"alpha and beta must be finite, 0 or more, and not both 0, got {alpha} and {beta}")
        self.alpha = alpha
        self.beta = beta

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this metric again."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}

    def _ratio(self, sums: Overlap) -> tuple[Any, Any]:
        tp, fp, fn = sums
        return tp, tp + self.alpha * fp + self.beta * fn


class _MeanOfScores(_Score):
    """The mean of the defined scores of groups of images, weighted by images."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sums = self._add_sums("sums", 2, self.n_classes)

    def _by_class(self) -> Any:
        return quotient(*ops.unstack(total(self._sums), 2))

    def _add_scores(self, scores: Any, n_images: Any) -> None:
        """Scores (groups, C), each of so many images."""
        defined = ops.logical_not(ops.isnan(scores))
        known = ops.stack([ops.where(defined, scores, 0.0), ops.cast(defined, "float32")], axis=1)
        accumulate(self._sums, known * n_images)


class _PerSample(_MeanOfScores):
    def _count_images(self, sums: Any) -> None:
        self._add_scores(self._scores(sums), 1.0)


class _BatchSummed(_MeanOfScores):
    def _count_images(self, sums: Any) -> None:
        n_images = ops.cast(ops.shape(sums)[0], "float32")
        self._add_scores(self._scores(ops.sum(sums, axis=0, keepdims=True)), n_images)


class _Pooled(_Score):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The fifth counts the images.
        self._sums = self._add_sums("sums", 5, self.n_classes)

    def _by_class(self) -> Any:
        sums = total(self._sums)
        # Without an image there is no set to be empty, whatever the policy.
        return ops.where(ops.greater(sums[4], 0.0), self._scores(sums[:4]), math.nan)

    def _count_images(self, sums: Any) -> None:
        accumulate(self._sums, ops.concatenate([sums, ops.ones_like(sums[:, :1])], axis=1))


@keras.saving.register_keras_serializable(package="segscale")
class PerSampleDice(_PerSample):
    """Mean over images of each image's Dice."""


@keras.saving.register_keras_serializable(package="segscale")
class BatchSummedDice(_BatchSummed):
    """Mean over batches, weighted by images, of the Dice of each batch's sums; depends on the batch size."""


@keras.saving.register_keras_serializable(package="segscale")
class PooledDice(_Pooled):
    """Dice of the sums over all images, where large objects hide small ones."""


@keras.saving.register_keras_serializable(package="segscale")
class PerSampleTversky(_TverskyScore, _PerSample):
    """Mean over images of each image's Tversky index."""


@keras.saving.register_keras_serializable(package="segscale")
class BatchSummedTversky(_TverskyScore, _BatchSummed):
    """Mean over batches, weighted by images, of the Tversky index of each batch's sums; depends on the batch size."""


@keras.saving.register_keras_serializable(package="segscale")
class PooledTversky(_TverskyScore, _Pooled):
    """Tversky index of the sums over all images, where large objects hide small ones."""


def check_threshold(threshold: float) -> None:
    """Raise ValueError for what no probability can be held against."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie above 0 and at most at 1, got {threshold}")


def _mean_of_defined(scores: list[Any]) -> Any:
    """The mean of the scores that are not NaN, a scalar; NaN without any."""
    if len(scores) == 1:
        return scores[0]
    stacked = ops.stack(scores)
    defined = ops.logical_not(ops.isnan(stacked))
    return quotient(ops.sum(ops.where(defined, stacked, 0.0)), ops.sum(ops.cast(defined, "float32")))


def _channels_first(values: Any) -> Any:
    """(B, H, W, C) to (B, C, N)."""
    return ops.reshape(ops.transpose(values, (0, 3, 1, 2)), (ops.shape(values)[0], values.shape[-1], -1))
