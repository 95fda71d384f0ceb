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
    reference     how it is encoded. `segscale.tasks.models.reference_encoding` says what fits, and what is ignored.

ValueError says what does not fit; there are no sample weights. Metrics of one network give the same operations the same
inputs, which compilers merge: together they read the pixels once. What each costs is the time to compile it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Literal

import keras
from keras import ops

from segscale.errors import ArgumentError
from segscale.tasks.metrics import scores
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import EmptyPolicy
from segscale.tasks.models.choices import check_choice
from segscale.tasks.models.reference_encoding import Encoding
from segscale.tasks.models.segmentation_metric import (
    Overlap,
    Pixels,
    SegmentationMetric,
    accumulate,
    check_threshold,
    decide,
    overlap_of,
    quotient,
    total,
)


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
            raise ArgumentError(f'class_index must be one of 0 to {n_classes - 1}, None or "each", got {class_index!r}')
        if not (math.isfinite(smooth) and smooth >= 0):
            raise ArgumentError(f"smooth must be a finite number of 0 or more, got {smooth}")
        check_choice("empty", empty, EmptyPolicy)
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

    @abstractmethod
    def _count_images(self, sums: Any) -> None:
        """Take TP, FP, FN and the pixels of either mask of each image, (B, 4, C)."""

    @abstractmethod
    def _by_class(self) -> Any:
        """(C,) the result for each class."""

    def _scores(self, sums: Any) -> Any:
        """(..., 4, C) of images, batches or all to (..., C)."""
        *overlap, either = ops.unstack(sums, 4, axis=-2)
        score = quotient(*self._ratio(Overlap(*overlap)), self.smooth)
        return scores.with_empty_policy(score, ops.equal(either, 0.0), self.empty, self.smooth, ops)

    def _ratio(self, sums: Overlap) -> Ratio:
        """Numerator and denominator, unsmoothed."""
        return scores.dice.ratio(*sums)


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
            raise ArgumentError(f"alpha and beta must be finite, 0 or more, and not both 0, got {alpha} and {beta}")
        self.alpha = alpha
        self.beta = beta

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this metric again."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}

    def _ratio(self, sums: Overlap) -> Ratio:
        return scores.tversky.ratio(*sums, self.alpha, self.beta)


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


def _mean_of_defined(scores: list[Any]) -> Any:
    """The mean of the scores that are not NaN, a scalar; NaN without any."""
    if len(scores) == 1:
        return scores[0]
    stacked = ops.stack(scores)
    defined = ops.logical_not(ops.isnan(stacked))
    return quotient(ops.sum(ops.where(defined, stacked, 0.0)), ops.sum(ops.cast(defined, "float32")))
