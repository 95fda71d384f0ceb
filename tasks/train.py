"""Training UNet++ on stored samples: seeded, and repeatable to the bit on one kind of machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.engines.keras import limit_threads
from tasks.models.losses import WeightedDiceCrossEntropy
from tasks.models.unet_plus_plus import Activation, Normalization, build_unet_plus_plus
from tasks.normalize import IGNORED, Recipe, apply_recipe

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Everything that decides the trained weights, together with the samples and their order."""

    epochs: int
    """Passes, or rounds of steps_per_epoch steps."""
    channels: int = 1
    """Channels the network takes; a sample of 1 channel is repeated to them."""
    n_classes: int = 2
    """Classes in the reference, background included."""
    filters: tuple[int, ...] = (8, 16, 32, 64, 128)
    """Filters per depth, shallowest first."""
    normalization: Normalization = "batch"
    """Normalisation after every convolution."""
    dropout: float = 0.0
    """Rate of the dropout after every convolution."""
    l2: float = 0.0
    """L2 penalty of the kernels, added to the loss."""
    activation: Activation = "sigmoid"
    """sigmoid: two classes from one output; softmax: an output per class."""
    patch: int = 256
    """Side of the square crops, pixels."""
    batch_size: int = 8
    """Crops per step."""
    steps_per_epoch: int = 0
    """Steps per epoch; 0: one pass over the samples."""
    learning_rate: float = 2e-3
    """Of Adam, at the first step; falls along a half cosine to 0 after the last."""
    class_weights: tuple[float, ...] = (0.3, 0.7)
    """Weight of each class's Dice in the loss, background first, summing to 1."""
    smooth: float = 1.0
    """Smoothing of the Dice in the loss, pixels."""
    seed: int = 0
    """Of the initial weights, the crops and the dropout."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions while training; bfloat16 is faster where the processor multiplies it."""
    threads: int = 0
    """Threads of one operation; 0: what the runtime chooses."""
    max_seconds: float = 0.0
    """Stop after the epoch that passes this; 0: never. A run cut short is not repeatable."""

    def __post_init__(self) -> None:
        divisor = 2 ** (len(self.filters) - 1)
        if self.patch < divisor or self.patch % divisor:
            raise ValueError(f"patch must be a multiple of {divisor} for {len(self.filters)} depths, got {self.patch}")
        if min(self.epochs, self.batch_size) < 1 or self.steps_per_epoch < 0:
            raise ValueError(
                "epochs and batch_size must be 1 or more, steps_per_epoch 0 or more, "
                f"got {self.epochs}, {self.batch_size}, {self.steps_per_epoch}"
            )
        if self.activation == "sigmoid" and self.n_classes != 2:
            raise ValueError(f"sigmoid tells 2 classes apart, n_classes is {self.n_classes}; use softmax")
        if len(self.class_weights) != self.n_classes:
            raise ValueError(f"class_weights needs {self.n_classes} values, one per class, got {self.class_weights}")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image with its reference, as stored."""

    pixels: NDArray[np.generic]
    """(H, W, C) integers or float32, not normalised."""
    recipe: tuple[float, float, float, float]
    """clip_low, clip_high, offset, scale: x = (clip(pixels, clip_low, clip_high) - offset) / scale."""
    reference: NDArray[np.uint8]
    """(H, W) class indices; 255 counts in nothing."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """How one epoch went."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean over the steps of the mean over the heads, L2 penalty included."""
    seconds: float
    """Wall time of this epoch."""
    learning_rate: float
    """Of its last step."""


def train_model(
    samples: Sequence[Sample],
    settings: TrainSettings,
    on_epoch: Callable[[EpochRecord], None],
) -> keras.Model:
    """Train a UNet++ with deep supervision on random crops; `on_epoch` is called after every epoch.

    The loss is 1 minus the weighted soft Dice of each crop, plus cross-entropy, averaged over the heads and the batch.
    Adam, learning rate falling to 0. What comes back computes in float32 and is not compiled.

    Equal samples, settings and versions give equal weights on one kind of machine. The seed and the wish for repeatable
    operations are set for the whole process. Raises ValueError for samples that do not fit the settings, before
    anything is computed.
    """
    _check_samples(samples, settings)
    limit_threads(settings.threads)
    _make_repeatable(settings.seed)
    model = _compiled_model(settings)
    steps_per_epoch = settings.steps_per_epoch or math.ceil(len(samples) / settings.batch_size)
    total_steps = settings.epochs * steps_per_epoch
    started = time.monotonic()
    for epoch in range(settings.epochs):
        epoch_started = time.monotonic()
        losses = []
        for step in range(epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch):
            model.optimizer.learning_rate = cosine_learning_rate(step, total_steps, settings.learning_rate)
            images, references = draw_batch(samples, settings, step)
            # Keras otherwise averages over every step since the last reset.
            model.reset_metrics()
            logs = model.train_on_batch(images, [references] * len(model.outputs), return_dict=True)
            losses.append(float(logs["loss"]))
        now = time.monotonic()
        learning_rate = float(model.optimizer.learning_rate)
        on_epoch(EpochRecord(epoch + 1, math.fsum(losses) / len(losses), now - epoch_started, learning_rate))
        if settings.max_seconds and now - started > settings.max_seconds:
            break
    trained = _build(settings, "float32")
    trained.set_weights(model.get_weights())
    return trained


def cosine_learning_rate(step: int, total_steps: int, peak: float) -> float:
    """`peak` at step 0, along a half cosine, 0 at `total_steps`."""
    return peak * 0.5 * (1.0 + math.cos(math.pi * step / total_steps))


def draw_batch(
    samples: Sequence[Sample], settings: TrainSettings, step: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The crops of a step: images (B, P, P, channels) normalised, references (B, P, P, 1).

    A pure function of the samples, the settings and the step. Every pass visits each sample once, in its own order.
    """
    positions = range(step * settings.batch_size, (step + 1) * settings.batch_size)
    orders = {
        number: np.random.default_rng((settings.seed, 1, number)).permutation(len(samples))
        for number in {position // len(samples) for position in positions}
    }
    crops = []
    for position in positions:
        number, place = divmod(position, len(samples))
        generator = np.random.default_rng((settings.seed, 2, position))
        crops.append(_draw_crop(samples[orders[number][place]], settings, generator))
    return np.stack([image for image, _ in crops]), np.stack([reference for _, reference in crops])


def _draw_crop(
    sample: Sample, settings: TrainSettings, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    side = settings.patch
    missing = [(max(side - size, 0) // 2, (max(side - size, 0) + 1) // 2) for size in sample.reference.shape]
    pixels = np.pad(sample.pixels, [*missing, (0, 0)], mode="reflect") if np.any(missing) else sample.pixels
    reference = np.pad(sample.reference, missing, mode="reflect") if np.any(missing) else sample.reference
    top, left = (int(generator.integers(size - side + 1)) for size in reference.shape)
    turns, mirrored = int(generator.integers(4)), bool(generator.integers(2))
    gain, shift = generator.uniform(0.85, 1.15), generator.uniform(-0.05, 0.05)

    window = (slice(top, top + side), slice(left, left + side))
    image = apply_recipe(pixels[window], Recipe(*sample.recipe)) * np.float32(gain) + np.float32(shift)
    image = np.broadcast_to(image, (side, side, settings.channels))
    return _turned(image, turns, mirrored), _turned(reference[window][..., np.newaxis], turns, mirrored)


def _turned(image: NDArray[_Pixel], turns: int, mirrored: bool) -> NDArray[_Pixel]:
    turned = np.rot90(image, turns)
    return turned[:, ::-1] if mirrored else turned


def _build(settings: TrainSettings, policy: str) -> keras.Model:
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


def _compiled_model(settings: TrainSettings) -> keras.Model:
    model = _build(settings, "float32" if settings.precision == "float32" else "mixed_bfloat16")
    heads = len(model.outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss=[WeightedDiceCrossEntropy(settings.class_weights, settings.smooth) for _ in range(heads)],
        # Keras adds the losses of the outputs; the mean keeps one scale for any depth.
        loss_weights=[1.0 / heads] * heads,
        jit_compile=False,
    )
    return model


def _make_repeatable(seed: int) -> None:
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _check_samples(samples: Sequence[Sample], settings: TrainSettings) -> None:
    if not samples:
        raise ValueError("training needs at least one sample, got none")
    for index, sample in enumerate(samples):
        shape = sample.pixels.shape
        if len(shape) != 3 or shape[:2] != sample.reference.shape or 0 in shape:
            raise ValueError(
                f"sample {index}: pixels {shape} and reference {sample.reference.shape} must be (H, W, C) and (H, W)"
            )
        if shape[2] not in (1, settings.channels):
            raise ValueError(f"sample {index}: {shape[2]} channels, the network takes {settings.channels}")
        if sample.reference.dtype != np.uint8:
            raise ValueError(f"sample {index}: the reference must be uint8 class indices, got {sample.reference.dtype}")
        strange = sorted({int(value) for value in np.unique(sample.reference)} - {*range(settings.n_classes), IGNORED})
        if strange:
            raise ValueError(
                f"sample {index}: reference values {strange[:5]} are neither a class of {settings.n_classes} "
                f"nor {IGNORED} (ignored); map the values of the file to class indices"
            )
