"""What decides a training, together with its samples: one frozen record, checked as it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from segscale.errors import ArgumentError
from segscale.tasks.training.augmentation import Augmentation

DEFAULT_AUGMENTATION = Augmentation(degrees=15.0, scaling=0.1, elastic=2.0)

LossName = Literal["dice_cross_entropy", "dice", "tversky", "focal_tversky"]
ReductionAxes = Literal["per_sample", "batch"]
Schedule = Literal["cosine", "constant"]
Precision = Literal["float32", "bfloat16", "float16"]
Kept = Literal["best", "last"]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Everything that decides the trained weights, together with the samples and their order."""

    epochs: int
    """Rounds of `steps_per_epoch` steps, or passes over the samples."""
    channels: int = 1
    """Channels the network takes; a sample of 1 channel is repeated to them."""
    n_classes: int = 2
    """Classes in the reference, background included."""
    filters: tuple[int, ...] = (8, 16, 32, 64, 128)
    """Filters per depth, shallowest first."""
    normalization: Literal["none", "batch"] = "batch"
    """Normalisation after every convolution."""
    dropout: float = 0.0
    """Rate of the dropout after every convolution."""
    l2: float = 0.0
    """L2 penalty of the kernels, added to the loss."""
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    """sigmoid: two classes from one output; softmax: an output per class."""
    patch: int = 256
    """Side of the square patches, pixels."""
    batch_size: int = 8
    """Patches per step, and at most as many whole images per step of validation."""
    steps_per_epoch: int = 0
    """Steps per epoch; 0: one pass over the samples."""
    foreground_share: float = 0.33
    """Share of the patches that are placed on a foreground pixel, classes evenly; the others lie anywhere."""
    augmentation: Augmentation = DEFAULT_AUGMENTATION
    """How patches are varied."""
    learning_rate: float = 2e-3
    """Of Adam, at the first step."""
    schedule: Schedule = "cosine"
    """cosine: the learning rate falls along a half cosine to 0 after the last step."""
    loss: LossName = "dice_cross_entropy"
    """What every head is trained with, see segscale.tasks.models.losses."""
    reduction_axes: ReductionAxes = "per_sample"
    """Whether a loss divides once per patch or once per batch."""
    class_weights: tuple[float, ...] = (0.3, 0.7)
    """Weight of each class's Dice in the loss, background first, summing to 1."""
    smooth: float = 1.0
    """Smoothing of the loss, pixels."""
    tversky_alpha: float = 0.3
    """Weight of false positives, in a Tversky loss and in the Tversky scores of the history."""
    tversky_beta: float = 0.7
    """Weight of false negatives, likewise."""
    focal_gamma: float = 0.75
    """Exponent of the focal Tversky loss."""
    head_weights: tuple[float, ...] = ()
    """Weight of each head's loss, shallowest first; empty: their mean."""
    threshold: float = 0.5
    """Of the hard scores in the history, for two classes."""
    patience: int = 0
    """Stop after as many epochs without a better per-sample Dice of the validation images; 0: never."""
    keep: Kept = "best"
    """The weights that are saved: of the best such epoch, or of the last. Without validation images: the last."""
    seed: int = 0
    """Of the initial weights, the patches, their variation and the dropout."""
    precision: Precision = "float32"
    """Of the convolutions while training; the others are faster where the hardware multiplies them."""
    threads: int = 0
    """Threads of one operation; 0: what the runtime chooses."""

    def __post_init__(self) -> None:
        self._check_patches()
        self._check_loss()
        if self.activation == "sigmoid" and self.n_classes != 2:
            raise ArgumentError(f"sigmoid tells 2 classes apart, n_classes is {self.n_classes}; use softmax")
        for name, choices in (("schedule", Schedule), ("precision", Precision), ("keep", Kept)):
            if getattr(self, name) not in get_args(choices):
                raise ArgumentError(f"{name} must be one of {get_args(choices)}, got {getattr(self, name)!r}")

    @property
    def n_heads(self) -> int:
        """Outputs under deep supervision."""
        return len(self.filters) - 1

    @property
    def weights_of_heads(self) -> tuple[float, ...]:
        """Weight of each head's loss in the total, shallowest first."""
        return self.head_weights or (1.0 / self.n_heads,) * self.n_heads

    def _check_patches(self) -> None:
        divisor = 2 ** (len(self.filters) - 1)
        if self.patch < divisor or self.patch % divisor:
            raise ArgumentError(
                f"patch must be a multiple of {divisor} for {len(self.filters)} depths, got {self.patch}"
            )
        if min(self.epochs, self.batch_size) < 1 or min(self.steps_per_epoch, self.patience) < 0:
            raise ArgumentError(
                "epochs and batch_size must be 1 or more, steps_per_epoch and patience 0 or more, "
                f"got {self.epochs}, {self.batch_size}, {self.steps_per_epoch}, {self.patience}"
            )
        if not 0 <= self.foreground_share <= 1:
            raise ArgumentError(f"foreground_share must lie between 0 and 1, got {self.foreground_share}")

    def _check_loss(self) -> None:
        for name, choices in (("loss", LossName), ("reduction_axes", ReductionAxes)):
            if getattr(self, name) not in get_args(choices):
                raise ArgumentError(f"{name} must be one of {get_args(choices)}, got {getattr(self, name)!r}")
        if len(self.class_weights) != self.n_classes:
            raise ArgumentError(f"class_weights needs {self.n_classes} values, one per class, got {self.class_weights}")
        if self.head_weights and (len(self.head_weights) != self.n_heads or min(self.head_weights) < 0):
            raise ArgumentError(
                f"head_weights needs {self.n_heads} values of 0 or more, one per head, got {self.head_weights}"
            )
        if self.head_weights and not self.head_weights[-1]:
            raise ArgumentError("head_weights: the last head is the one that is measured; give it a weight above 0")
