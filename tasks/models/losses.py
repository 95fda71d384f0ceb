"""Losses to train a segmentation network with, as serialisable Keras objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
from keras import ops

from tasks.normalize import IGNORED

Sums = Literal["per_sample", "batch_summed"]

_REDUCED_AXES = {"per_sample": (1, 2), "batch_summed": (0, 1, 2)}


@keras.saving.register_keras_serializable(package="segscale")
class WeightedDiceCrossEntropy(keras.losses.Loss):  # type: ignore[misc]
    """One minus the class-weighted soft Dice, plus cross-entropy: 0 for a perfect prediction.

    With p the probability of a class, t its reference (0 or 1) and s = `smooth`, over the counted pixels,

        Dice_c = (2 sum p t + s) / (sum p + sum t + s)
        loss   = 1 - sum over classes of weight_c Dice_c  -  mean of log p(reference class)

    The reference is an index per pixel, (B, H, W) or (B, H, W, 1), any dtype; 255 counts in nothing. The prediction is
    (B, H, W, 1), p(class 1) of a sigmoid, or (B, H, W, C) of a softmax. `class_weights` holds a weight per class,
    background first, summing to 1. `reduction_axes` says what is summed before dividing: "per_sample" gives a loss per
    image, (B,), averaged by Keras; "batch_summed" one for the whole batch, (1,).

    A class that is neither there nor predicted has Dice 1, so an image without a counted pixel has loss 0. Raises
    ValueError for shapes that do not fit.
    """

    def __init__(
        self,
        class_weights: Sequence[float],
        smooth: float = 1.0,
        reduction_axes: Sums = "per_sample",
        name: str = "weighted_dice_cross_entropy",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_weights = _checked_weights(class_weights)
        if smooth < 0:
            raise ValueError(f"smooth must be 0 or more, got {smooth}")
        if reduction_axes not in get_args(Sums):
            raise ValueError(f"reduction_axes must be one of {get_args(Sums)}, got {reduction_axes!r}")
        self.smooth = smooth
        self.reduction_axes: Sums = reduction_axes

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss per image, (B,), or of the batch, (1,)."""
        reference = self._indices(y_true, y_pred)
        probabilities = ops.concatenate([1.0 - y_pred, y_pred], axis=-1) if y_pred.shape[-1] == 1 else y_pred
        counted = ops.cast(ops.expand_dims(reference != IGNORED, -1), probabilities.dtype)
        one_hot = ops.one_hot(reference, len(self.class_weights), dtype=probabilities.dtype)
        return self._dice_loss(one_hot, probabilities * counted) + self._cross_entropy(one_hot, probabilities, counted)

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this loss again."""
        return {
            **super().get_config(),
            "class_weights": list(self.class_weights),
            "smooth": self.smooth,
            "reduction_axes": self.reduction_axes,
        }

    def _indices(self, y_true: Any, y_pred: Any) -> Any:
        reference, prediction = tuple(y_true.shape), tuple(y_pred.shape)
        spatial = reference[:3] if len(reference) == 3 or (len(reference) == 4 and reference[3] == 1) else ()
        fits = len(prediction) == 4 and len(spatial) == 3
        if not fits or any(None not in pair and pair[0] != pair[1] for pair in zip(spatial, prediction, strict=False)):
            raise ValueError(
                f"reference {reference} does not fit prediction {prediction}: expected class indices (B, H, W) or "
                "(B, H, W, 1) against probabilities (B, H, W, outputs)"
            )
        n_classes = 2 if prediction[3] == 1 else prediction[3]
        if n_classes != len(self.class_weights):
            raise ValueError(
                f"prediction {prediction} against reference {reference} tells {n_classes} classes apart, "
                f"class_weights has {len(self.class_weights)}"
            )
        return ops.cast(ops.squeeze(y_true, -1) if len(reference) == 4 else y_true, "int32")

    def _dice_loss(self, one_hot: Any, probabilities: Any) -> Any:
        axes = _REDUCED_AXES[self.reduction_axes]
        intersection = ops.sum(one_hot * probabilities, axis=axes)
        total = ops.sum(one_hot, axis=axes) + ops.sum(probabilities, axis=axes)
        denominator = total + self.smooth
        # 0/0 is nothing to find and nothing found: 1, the limit of a small smooth.
        dice = ops.where(
            denominator > 0, (2.0 * intersection + self.smooth) / ops.maximum(denominator, keras.config.epsilon()), 1.0
        )
        weights = ops.convert_to_tensor(self.class_weights, dtype=probabilities.dtype)
        return ops.reshape(1.0 - ops.sum(weights * dice, axis=-1), (-1,))

    def _cross_entropy(self, one_hot: Any, probabilities: Any, counted: Any) -> Any:
        axes = _REDUCED_AXES[self.reduction_axes]
        of_reference = ops.sum(one_hot * probabilities, axis=-1)
        # Clipped like Keras' own cross-entropy, so that a sure mistake has a finite cost and gradient.
        surprise = -ops.log(ops.maximum(of_reference, keras.config.epsilon())) * counted[..., 0]
        n_counted = ops.maximum(ops.sum(counted[..., 0], axis=axes), 1.0)
        return ops.reshape(ops.sum(surprise, axis=axes) / n_counted, (-1,))


def _checked_weights(class_weights: Sequence[float]) -> tuple[float, ...]:
    weights = tuple(float(weight) for weight in class_weights)
    if len(weights) < 2 or min(weights) < 0 or not math.isclose(sum(weights), 1.0, abs_tol=1e-6):
        raise ValueError(f"class_weights must be two or more weights of 0 or more that sum to 1, got {weights}")
    return weights
