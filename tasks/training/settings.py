"""What decides a training, together with its samples: frozen records that check themselves.

The section [train] of a configuration is made of them, so each setting, its default and its range stand here alone.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from segscale.errors import ArgumentError
from segscale.tasks.refusal import as_toml
from segscale.tasks.section import Section

LossName = Literal["dice_cross_entropy", "dice", "tversky", "focal_tversky"]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Names = Annotated[tuple[str, ...], Field(strict=False)]


class Augmentation(Section):
    """How far patches are changed; 0 or False leaves that part as it is."""

    flips: bool = True
    """Mirrored or not, and turned by 0, 90, 180 or 270 degrees: the eight, equally often."""
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Rotation by up to this, either way."""
    scaling: BelowOne = 0.1
    """Enlargement by a factor within 1 +- this."""
    elastic: NonNegative = 2.0
    """Root mean square displacement of a smooth random field, pixels."""
    warped_share: Share = 0.3
    """How many of the patches are rotated, enlarged and displaced."""
    intensity: BelowOne = 0.15
    """Normalised pixels are multiplied by a factor within 1 +- this."""
    shift: NonNegative = 0.05
    """Then up to this is added or subtracted."""


NO_AUGMENTATION = Augmentation(flips=False, degrees=0.0, scaling=0.0, elastic=0.0, intensity=0.0, shift=0.0)
"""Leaves every bit as it is."""


class SplitRule(Section):
    """Which images are trained on and which are looked at after every epoch; see `tasks.training.split`."""

    split_by: str = ""
    """A column of the manifest; `training` and `validation` are values of it."""
    training: Names = ()
    """Empty: all images that are not for validation."""
    validation: Names = ()
    """Values of `split_by` whose images are looked at after every epoch."""
    validation_fraction: BelowOne = 0.0
    """Share of the images that is drawn for validation, by a hash of `validation_by`."""
    validation_by: str = ""
    """A column whose values must not be on both sides, e.g. patient_id; empty: image_id."""

    @model_validator(mode="after")
    def _check_split(self) -> Self:
        if bool(self.split_by) != bool(self.validation) or (self.training and not self.split_by):
            raise ArgumentError("split_by, validation: expected a column and values of it for validation, or neither")
        if self.split_by and self.validation_fraction:
            raise ArgumentError("split_by, validation_fraction: expected one of them, got both")
        if self.validation_by and not (self.split_by or self.validation_fraction):
            raise ArgumentError("validation_by: needs split_by, or a validation_fraction above 0")
        both = sorted(set(self.training) & set(self.validation))
        if both:
            raise ArgumentError(f"training, validation: expected different values, got {as_toml(both[0])} in both")
        return self


class Recipe(Section):
    """The network and how it is optimised, whatever the data set is."""

    filters: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = (8, 16, 32, 64, 128)
    """Filters per depth, shallowest first."""
    normalization: Literal["none", "batch"] = "batch"
    """Normalisation after every convolution."""
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    """sigmoid: two classes from one output; softmax: an output per class."""
    dropout: BelowOne = 0.0
    """Rate of the dropout after every convolution."""
    l2: NonNegative = 0.0
    """L2 penalty of the kernels, added to the loss."""
    patch: Annotated[int, Field(ge=1)] = 256
    """Side of the square patches, pixels."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Patches per step, and at most as many whole images per step of validation."""
    epochs: Annotated[int, Field(ge=1)] = 30
    """Rounds of `steps_per_epoch` steps, or passes over the samples."""
    steps_per_epoch: Annotated[int, Field(ge=0)] = 0
    """Steps per epoch; 0: one pass over the samples."""
    foreground_share: Share = 0.33
    """Share of the patches that are placed on a foreground pixel, classes evenly; the others lie anywhere."""
    learning_rate: Positive = 2e-3
    """Of Adam, at the first step."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """cosine: the learning rate falls along a half cosine to 0 after the last step."""
    loss: LossName = "dice_cross_entropy"
    """What every head is trained with, see segscale.tasks.models.losses."""
    reduction_axes: Literal["per_sample", "batch"] = "per_sample"
    """Whether a loss divides once per patch or once per batch."""
    class_weights: Annotated[tuple[NonNegative, ...], Field(strict=False)] = ()
    """Of each class's Dice in the loss, background first, summing to 1; empty: 0.3 and 0.7 for two classes, equal for
    more."""
    smooth: NonNegative = 1.0
    """Smoothing of the loss, pixels."""
    tversky_alpha: NonNegative = 0.3
    """Weight of false positives, in a Tversky loss and in the Tversky scores of the history."""
    tversky_beta: NonNegative = 0.7
    """Weight of false negatives, likewise."""
    focal_gamma: Positive = 0.75
    """Exponent of the focal Tversky loss."""
    head_weights: Annotated[tuple[NonNegative, ...], Field(strict=False)] = ()
    """Of each head's loss, shallowest first; empty: their mean."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after as many epochs without a better per-sample Dice of the validation images; 0: never."""
    keep: Literal["best", "last"] = "best"
    """The weights that are saved: of the best such epoch, or of the last. Without validation images: the last."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the convolutions while training; the others are faster where the hardware multiplies them."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the initial weights, the patches, their variation and the dropout."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.class_weights and abs(sum(self.class_weights) - 1) > 1e-6:
            raise ArgumentError(f"class_weights: expected weights that sum to 1, got {as_toml(self.class_weights)}")
        if len(self.filters) < 2:
            raise ArgumentError(f"filters: expected at least 2, one for each depth, got {as_toml(self.filters)}")
        if self.patch % 2**self.n_heads:
            raise ArgumentError(f"patch: expected a multiple of 2^{self.n_heads} for as many filters, got {self.patch}")
        if self.head_weights and (len(self.head_weights) != self.n_heads or not self.head_weights[-1]):
            raise ArgumentError(
                f"head_weights: expected {self.n_heads}, one for each head, the last above 0, "
                f"got {as_toml(self.head_weights)}"
            )
        if not self.tversky_alpha + self.tversky_beta:
            raise ArgumentError("tversky_alpha, tversky_beta: expected at least one above 0")
        return self

    @property
    def n_heads(self) -> int:
        """Outputs under deep supervision."""
        return len(self.filters) - 1

    @property
    def weights_of_heads(self) -> tuple[float, ...]:
        """Weight of each head's loss in the total, shallowest first."""
        return self.head_weights or (1.0 / self.n_heads,) * self.n_heads


class TrainSettings(Recipe):
    """Everything that decides the trained weights, together with the samples and their order."""

    channels: Annotated[int, Field(ge=1)] = 1
    """Channels the network takes; a sample of 1 channel is repeated to them."""
    n_classes: Annotated[int, Field(ge=2)] = 2
    """Classes in the reference, background included."""
    threshold: float = 0.5
    """Of the hard scores in the history, for two classes."""
    class_weights: Annotated[tuple[NonNegative, ...], Field(strict=False)] = (0.3, 0.7)
    augmentation: Augmentation = Augmentation()
    """How patches are varied."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of one operation; 0: what the runtime chooses."""

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.activation == "sigmoid" and self.n_classes != 2:
            raise ArgumentError(f"sigmoid tells 2 classes apart, n_classes is {self.n_classes}; use softmax")
        if len(self.class_weights) != self.n_classes:
            raise ArgumentError(f"class_weights: expected {self.n_classes}, one per class, got {self.class_weights}")
        return self
