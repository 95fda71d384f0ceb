"""The network while it is trained: UNet++ whose loss is kept in its parts, and whose deepest head is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from segscale.tasks.models.losses import DiceCrossEntropy, FocalTversky, Tversky, WeightedDice
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus
from segscale.tasks.training.settings import LossName, TrainSettings


class SupervisedNetwork(keras.Model):  # type: ignore[misc]
    """A network with one or several heads, all trained against one reference.

    The total loss is the sum over the heads of weight x loss, plus the regularisation of the layers. Each part has a
    mean of its own, weighted by images like that of the total, so that the means add up as the parts do. `measures`
    look at the last head. Means and measures run on until `start_epoch`.
    """

    def supervise(self, losses: Sequence[keras.losses.Loss], weights: Sequence[float], measures: Sequence[Any]) -> None:
        """Say what the heads are trained with and what is measured; before `compile`."""
        self._head_losses = list(losses)
        self._head_weights = tuple(float(weight) for weight in weights)
        self._head_means = [keras.metrics.Mean(name=f"head_{place}_loss") for place in range(1, len(losses) + 1)]
        self._regularization = keras.metrics.Mean(name="regularization")
        self._measures = list(measures)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The total loss of a batch, a scalar; its parts are noted."""
        del x, sample_weight, training
        heads = _heads(y_pred)
        n_images = ops.shape(heads[0])[0]
        total = ops.convert_to_tensor(0.0, "float32")
        for head, loss, weight, mean in zip(
            heads, self._head_losses, self._head_weights, self._head_means, strict=True
        ):
            value = ops.cast(loss(y, head), "float32")
            mean.update_state(value, sample_weight=n_images)
            total += weight * value
        penalty = sum((ops.cast(ops.sum(one), "float32") for one in self.losses), ops.convert_to_tensor(0.0, "float32"))
        self._regularization.update_state(penalty, sample_weight=n_images)
        return total + penalty

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Measure the last head."""
        del x, sample_weight
        for measure in self._measures:
            measure.update_state(y, _heads(y_pred)[-1])
        return self.get_metrics_result()

    def reset_metrics(self) -> None:
        """Nothing: Keras calls this before every single batch, and an epoch has many. See `start_epoch`."""

    def start_epoch(self) -> None:
        """Begin all means and measures anew."""
        super().reset_metrics()


def build_network(settings: TrainSettings, policy: str) -> keras.Model:
    """A UNet++ with a head per depth, under a precision policy of Keras."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build_unet_plus_plus(
            channels=settings.channels,
            outputs=1 if settings.activation == "sigmoid" else settings.n_classes,
            filters=settings.filters,
            normalization=settings.normalization,
            dropout=settings.dropout,
            l2=settings.l2,
            activation=settings.activation,
        )
    finally:
        keras.config.set_dtype_policy(before)


def compiled_network(settings: TrainSettings, measures: Sequence[Any]) -> SupervisedNetwork:
    """The network of the settings, ready to train with Adam."""
    plain = build_network(settings, "float32" if settings.precision == "float32" else f"mixed_{settings.precision}")
    network = SupervisedNetwork(plain.input, plain.outputs, name=plain.name)
    network.supervise([head_loss(settings) for _ in plain.outputs], settings.weights_of_heads, measures)
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    if settings.precision == "float16":
        # Small gradients vanish in 16 bits unless the loss is scaled up before they are taken.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    # XLA makes TensorFlow's step on a CPU slower; JAX has nothing but XLA.
    network.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
    # Variables that are made in the first step have TensorFlow trace it twice, which takes seconds.
    optimizer.build(network.trainable_variables)
    return network


def head_loss(settings: TrainSettings) -> keras.losses.Loss:
    """The loss of one head."""
    common: dict[str, Any] = {
        "class_weights": settings.class_weights,
        "smooth": settings.smooth,
        "reduction_axes": settings.reduction_axes,
    }
    shares: dict[str, Any] = {**common, "alpha": settings.tversky_alpha, "beta": settings.tversky_beta}
    made: dict[LossName, Callable[[], keras.losses.Loss]] = {
        "dice": lambda: WeightedDice(**common),
        "dice_cross_entropy": lambda: DiceCrossEntropy(**common),
        "tversky": lambda: Tversky(**shares),
        "focal_tversky": lambda: FocalTversky(**shares, gamma=settings.focal_gamma),
    }
    return made[settings.loss]()


def _heads(y_pred: Any) -> list[Any]:
    return list(y_pred) if isinstance(y_pred, list | tuple) else [y_pred]
