"""Losses to train a segmentation network with, as serialisable Keras objects.

Over the counted pixels of an image, or of the whole batch, with p the probability of a class and t its reference
(0 or 1), each class has TP = sum p t, FP = sum p (1 - t), FN = sum (1 - p) t, and with s = `smooth` in pixels

    Dice    = (2 sum p t + s) / (sum p + sum t + s)
    Tversky = (TP + s) / (TP + alpha FP + beta FN + s)        alpha weighs false positives, beta false negatives

A score 0 / 0, which is nothing to find and nothing found, is 1. Gradients are finite everywhere.

What all losses take: `reduction_axes` says what is summed before dividing: "per_sample" gives a loss per image, (B,),
which Keras averages; "batch" one loss for the whole batch, (1,), where large objects hide small ones. `reference` says
how the reference is encoded, `tasks.models.reference_encoding` what fits. All compute in float32, whatever the policy.
They raise ValueError for shapes that do not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from segscale.errors import ArgumentError
from segscale.tasks.metrics import scores
from segscale.tasks.models.choices import check_choice
from segscale.tasks.models.names import default_name
from segscale.tasks.models.reference_encoding import Encoding, check_encoding, encode

ReductionAxes = Literal["per_sample", "batch"]
"""What is summed before dividing: the pixels of an image, or of all images of a batch."""

Over = Literal["classes", "all_channels"]
"""classes: a ratio per class, then their weighted mean. all_channels: one ratio of sums over the classes as well."""

Form = Literal["one_minus", "negative"]
"""one_minus: 1 - index, 0 for a perfect prediction. negative: -index, the same less 1, so with the same gradients."""

# The smallest denominator that is told from 0: its inverse square, part of the gradient, is finite in float32.
_SMALLEST = 1e-18


class _OverlapLoss(keras.losses.Loss):  # type: ignore[misc]
    """What the losses of this module have in common."""

    def __init__(
        self,
        class_weights: Sequence[float] | None,
        smooth: float,
        reduction_axes: ReductionAxes,
        reference: Encoding,
        name: str | None,
        reduction: str | None,
    ) -> None:
        super().__init__(name=name or default_name(self), reduction=reduction, dtype="float32")
        if smooth < 0:
            raise ArgumentError(f"smooth must be 0 or more, got {smooth}")
        check_choice("reduction_axes", reduction_axes, ReductionAxes)
        check_encoding(reference)
        self.class_weights = None if class_weights is None else _checked_weights(class_weights)
        self.smooth = smooth
        self.reduction_axes: ReductionAxes = reduction_axes
        self.reference: Encoding = reference

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss, reduced as Keras was told; `sample_weight` is a weight per image, (B,)."""
        if sample_weight is not None and self.reduction_axes == "batch":
            raise ArgumentError('a loss of the whole batch takes no sample weights; use reduction_axes="per_sample"')
        if sample_weight is not None and tuple(sample_weight.shape)[1:] not in ((), (1,)):
            # Keras would broadcast it against the losses of the images.
            raise ArgumentError(f"sample_weight must be a weight per image, (B,), got {tuple(sample_weight.shape)}")
        return super().__call__(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this loss again."""
        return {
            **super().get_config(),
            "class_weights": None if self.class_weights is None else list(self.class_weights),
            "smooth": self.smooth,
            "reduction_axes": self.reduction_axes,
            "reference": self.reference,
        }

    def _encode(self, y_true: Any, y_pred: Any) -> tuple[Any, Any, Any]:
        encoded = encode(y_true, y_pred, self.reference)
        n_classes = encoded[1].shape[-1]
        if self.class_weights is not None and len(self.class_weights) != n_classes:
            raise ArgumentError(
                f"prediction {tuple(y_pred.shape)} against reference {tuple(y_true.shape)} tells {n_classes} classes "
                f"apart, class_weights has {len(self.class_weights)}: give a weight per class, background first"
            )
        return encoded

    def _sum(self, values: Any) -> Any:
        """(B, H, W, C) summed over what `reduction_axes` says: (B, C) or (1, C)."""
        per_image = ops.sum(values, axis=(1, 2))
        return per_image if self.reduction_axes == "per_sample" else ops.sum(per_image, axis=0, keepdims=True)

    def _weigh(self, values: Any) -> Any:
        """(B or 1, C) weighted over the classes: (B,) or (1,). Without weights the foreground counts equally."""
        n_foreground = values.shape[-1] - 1
        weights = self.class_weights or (0.0, *[1.0 / n_foreground] * n_foreground)
        return ops.sum(ops.convert_to_tensor(weights, dtype="float32") * values, axis=-1)


@keras.saving.register_keras_serializable(package="segscale")
class WeightedDice(_OverlapLoss):
    """One minus the class-weighted soft Dice: 0 for a perfect prediction, at most 1.

    `class_weights` holds a weight per class, background first, summing to 1.
    """

    def __init__(
        self,
        class_weights: Sequence[float],
        smooth: float = 1.0,
        reduction_axes: ReductionAxes = "per_sample",
        reference: Encoding = "index",
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
    ) -> None:
        super().__init__(class_weights, smooth, reduction_axes, reference, name, reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss per image, (B,), or of the batch, (1,)."""
        one_hot, probabilities, _ = self._encode(y_true, y_pred)
        return self._dice_loss(one_hot, probabilities)

    def _dice_loss(self, one_hot: Any, probabilities: Any) -> Any:
        intersection = self._sum(one_hot * probabilities)
        ratio = scores.soft_dice.ratio(intersection, self._sum(probabilities), self._sum(one_hot))
        return 1.0 - self._weigh(
            _quotient(ratio.numerator + self.smooth, ratio.denominator + self.smooth, of_nothing=1.0)
        )


@keras.saving.register_keras_serializable(package="segscale")
class DiceCrossEntropy(WeightedDice):
    """One minus the class-weighted soft Dice, plus cross-entropy: 0 for a perfect prediction, about 17 at most.

        loss = WeightedDice - mean of log p(reference class) over the counted pixels

    p is clipped at Keras' epsilon, as in Keras' own cross-entropy, so a sure mistake has a finite cost. An image
    without a counted pixel has loss 0.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss per image, (B,), or of the batch, (1,)."""
        one_hot, probabilities, counted = self._encode(y_true, y_pred)
        return self._dice_loss(one_hot, probabilities) + self._cross_entropy(one_hot, probabilities, counted)

    def _cross_entropy(self, one_hot: Any, probabilities: Any, counted: Any) -> Any:
        of_reference = ops.sum(one_hot * probabilities, axis=-1, keepdims=True)
        surprise = -ops.log(ops.maximum(of_reference, keras.config.epsilon())) * counted
        return (self._sum(surprise) / ops.maximum(self._sum(counted), 1.0))[:, 0]


class _TverskyLoss(_OverlapLoss):
    """A loss made from Tversky indices."""

    def __init__(
        self,
        alpha: float,
        beta: float,
        class_weights: Sequence[float] | None,
        smooth: float,
        reduction_axes: ReductionAxes,
        reference: Encoding,
        over: Over,
        name: str | None,
        reduction: str | None,
    ) -> None:
        super().__init__(class_weights, smooth, reduction_axes, reference, name, reduction)
        if min(alpha, beta) < 0 or alpha + beta == 0:
            raise ArgumentError(f"alpha and beta must be 0 or more, and not both 0, got {alpha} and {beta}")
        check_choice("over", over, Over)
        if over == "all_channels" and class_weights is not None:
            raise ArgumentError('over="all_channels" makes one ratio of all classes and takes no class_weights')
        self.alpha = alpha
        self.beta = beta
        self.over: Over = over

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this loss again."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta, "over": self.over}

    def _shortfalls(self, y_true: Any, y_pred: Any) -> Any:
        """1 - Tversky index: (B or 1, C) of classes, (B or 1, 1) over all channels."""
        one_hot, probabilities, counted = self._encode(y_true, y_pred)
        true_positive = self._sum(one_hot * probabilities)
        false_positive = self._sum(probabilities * (counted - one_hot))
        # At ignored pixels one_hot is 0.
        false_negative = self._sum((1.0 - probabilities) * one_hot)
        sums = [true_positive, false_positive, false_negative]
        if self.over == "all_channels":
            sums = [ops.sum(values, axis=-1, keepdims=True) for values in sums]
        wrong, denominator = scores.tversky_shortfall.ratio(*sums, self.alpha, self.beta)
        return _quotient(wrong, denominator + self.smooth, of_nothing=0.0)

    def _join(self, values: Any) -> Any:
        """One value for each image or batch from those of `_shortfalls`."""
        return values[:, 0] if self.over == "all_channels" else self._weigh(values)


@keras.saving.register_keras_serializable(package="segscale")
class Tversky(_TverskyLoss):
    """One minus the Tversky index, or its negative.

    `class_weights` holds a weight per class, background first, summing to 1; None: the foreground classes equally.

    `smooth` 0 is the plain index. Then an image without the class costs 1 whatever is predicted on it, so under
    "per_sample" the false positives on such images have no gradient.

    Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks", 2017.
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        class_weights: Sequence[float] | None = None,
        smooth: float = 1.0,
        reduction_axes: ReductionAxes = "per_sample",
        reference: Encoding = "index",
        over: Over = "classes",
        form: Form = "one_minus",
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
    ) -> None:
        super().__init__(alpha, beta, class_weights, smooth, reduction_axes, reference, over, name, reduction)
        check_choice("form", form, Form)
        self.form: Form = form

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss per image, (B,), or of the batch, (1,)."""
        shortfall = self._join(self._shortfalls(y_true, y_pred))
        return shortfall if self.form == "one_minus" else shortfall - 1.0

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this loss again."""
        return {**super().get_config(), "form": self.form}


@keras.saving.register_keras_serializable(package="segscale")
class FocalTversky(_TverskyLoss):
    """(1 - Tversky index) ** gamma of each class, weighted; gamma below 1 makes nearly right predictions matter more.

    Weights and smoothing are those of `Tversky`. Abraham and Khan, "A novel focal Tversky loss function with improved
    attention U-Net for lesion segmentation", 2018, write 1 / gamma for the exponent, with 4/3, and sum the classes.
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 0.75,
        class_weights: Sequence[float] | None = None,
        smooth: float = 1.0,
        reduction_axes: ReductionAxes = "per_sample",
        reference: Encoding = "index",
        over: Over = "classes",
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
    ) -> None:
        super().__init__(alpha, beta, class_weights, smooth, reduction_axes, reference, over, name, reduction)
        if gamma <= 0:
            raise ArgumentError(f"gamma must be above 0, got {gamma}")
        self.gamma = gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss per image, (B,), or of the batch, (1,)."""
        return self._join(_power(self._shortfalls(y_true, y_pred), self.gamma))

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this loss again."""
        return {**super().get_config(), "gamma": self.gamma}


def _quotient(numerator: Any, denominator: Any, of_nothing: float) -> Any:
    """numerator / denominator, and `of_nothing` for 0 / 0; the gradient is finite in both cases."""
    defined = denominator > _SMALLEST
    # The branch that is not chosen has a gradient too, and 0 times infinity is NaN: it must not divide by 0.
    return ops.where(defined, numerator / ops.where(defined, denominator, 1.0), of_nothing)


def _power(base: Any, exponent: float) -> Any:
    """base ** exponent for base >= 0, with a finite gradient at 0: a straight line below Keras' epsilon."""
    epsilon = keras.config.epsilon()
    curve = ops.power(ops.maximum(base, epsilon), exponent)
    return ops.where(base > epsilon, curve, base * epsilon ** (exponent - 1.0))


def _checked_weights(class_weights: Sequence[float]) -> tuple[float, ...]:
    weights = tuple(float(weight) for weight in class_weights)
    if len(weights) < 2 or min(weights) < 0 or not math.isclose(sum(weights), 1.0, abs_tol=1e-6):
        raise ArgumentError(f"class_weights must be two or more weights of 0 or more that sum to 1, got {weights}")
    return weights
