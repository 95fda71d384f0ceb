"""What the metrics of a training share: pixels of a batch by class, their sums, and states that add up exactly."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import keras
from keras import ops

from segscale.errors import ArgumentError
from segscale.tasks.models.names import default_name
from segscale.tasks.models.reference_encoding import Encoding, check_encoding, encode

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
        raise ArgumentError(
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


def quotient(numerator: Any, denominator: Any, smooth: float = 0.0) -> Any:
    """(numerator + smooth) / (denominator + smooth), NaN where the denominator alone is 0."""
    defined = ops.greater(denominator, 0.0)
    if smooth:
        numerator, denominator = numerator + smooth, denominator + smooth
    return ops.where(defined, numerator / ops.where(defined, denominator, 1.0), math.nan)


class SegmentationMetric(keras.metrics.Metric, ABC):  # type: ignore[misc]
    """A metric of pixels, with sums that stay exact.

    A sum is kept in two parts, of multiples of 4096 and of what is left, each of them as two float32 numbers, high and
    low; an addition puts its rounding error into the low one (Knuth's and Dekker's error-free additions). Counts are
    exact to 2^47 that way, on every backend: float32 alone stops counting at 2^24, and JAX has no float64 unless it is
    asked for it.
    """

    def __init__(self, n_classes: int, reference: Encoding, name: str | None) -> None:
        super().__init__(dtype="float32", name=name or default_name(self))
        if n_classes < 2:
            raise ArgumentError(f"n_classes must be 2 or more, the background is one of them, got {n_classes}")
        check_encoding(reference)
        self.n_classes = n_classes
        self.reference: Encoding = reference

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch."""
        if sample_weight is not None:
            raise ArgumentError(f"{self.name} takes no sample weights; give it among `metrics`, not `weighted_metrics`")
        self._count(pixels_of(y_true, y_pred, self.n_classes, self.reference))

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this metric again."""
        return {"name": self.name, "n_classes": self.n_classes, "reference": self.reference}

    @abstractmethod
    def _count(self, pixels: Pixels) -> None:
        """Add a batch to the state."""

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


def check_threshold(threshold: float) -> None:
    """Raise ValueError for what no probability can be held against."""
    if not 0 < threshold <= 1:
        raise ArgumentError(f"threshold must lie above 0 and at most at 1, got {threshold}")


def _channels_first(values: Any) -> Any:
    """(B, H, W, C) to (B, C, N)."""
    return ops.reshape(ops.transpose(values, (0, 3, 1, 2)), (ops.shape(values)[0], values.shape[-1], -1))
