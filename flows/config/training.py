"""The section of the configuration that says how a network is trained."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from segscale.flows.config.sections import NonNegative, Place, Positive
from segscale.tasks.section import Section

Share = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[str, ...], Field(strict=False)]


class Train(Section):
    """How UNet++ is trained on the images of the data set (`dataset.split` chooses among those of a manifest)."""

    output: Place = "model.keras"
    initial_weights: Place = ""
    """A file whose weights are taken over by the names of layers before the first step."""
    split_by: str = ""
    """A column of the manifest; `training` and `validation` are values of it."""
    training: Names = ()
    """Empty: all images that are not for validation."""
    validation: Names = ()
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the images that is drawn for validation, by a hash of `validation_by`."""
    validation_by: str = ""
    """A column whose values must not be on both sides, e.g. patient_id; empty: image_id."""
    filters: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = (8, 16, 32, 64, 128)
    normalization: Literal["none", "batch"] = "batch"
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    l2: NonNegative = 0.0
    patch: Annotated[int, Field(ge=32, multiple_of=32)] = 256
    batch_size: Annotated[int, Field(ge=1)] = 8
    epochs: Annotated[int, Field(ge=1)] = 30
    steps_per_epoch: Annotated[int, Field(ge=0)] = 0
    foreground_share: Share = 0.33
    flips: bool = True
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    scaling: Annotated[float, Field(ge=0, lt=1)] = 0.1
    elastic: NonNegative = 2.0
    warped_share: Share = 0.3
    intensity: Annotated[float, Field(ge=0, lt=1)] = 0.15
    shift: NonNegative = 0.05
    learning_rate: Positive = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    loss: Literal["dice_cross_entropy", "dice", "tversky", "focal_tversky"] = "dice_cross_entropy"
    reduction_axes: Literal["per_sample", "batch"] = "per_sample"
    class_weights: Annotated[tuple[NonNegative, ...], Field(strict=False)] = ()
    """Of each class in the loss, background first; empty: 0.3 and 0.7 for two classes, equal for more."""
    smooth: NonNegative = 1.0
    tversky_alpha: NonNegative = 0.3
    tversky_beta: NonNegative = 0.7
    focal_gamma: Positive = 0.75
    head_weights: Annotated[tuple[NonNegative, ...], Field(strict=False)] = ()
    """Of each head's loss, shallowest first; empty: their mean."""
    patience: Annotated[int, Field(ge=0)] = 0
    keep: Literal["best", "last"] = "best"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.class_weights and abs(sum(self.class_weights) - 1) > 1e-6:
            raise ValueError(f"class_weights: expected weights that sum to 1, got {list(self.class_weights)}")
        if len(self.filters) < 2:
            raise ValueError(f"filters: expected at least 2, one for each depth, got {list(self.filters)}")
        if self.patch % 2 ** (len(self.filters) - 1):
            raise ValueError(
                f"patch: expected a multiple of 2^{len(self.filters) - 1} for as many filters, got {self.patch}"
            )
        if self.head_weights and (len(self.head_weights) != len(self.filters) - 1 or not self.head_weights[-1]):
            raise ValueError(
                f"head_weights: expected {len(self.filters) - 1}, one for each head, the last above 0, "
                f"got {list(self.head_weights)}"
            )
        if not self.tversky_alpha + self.tversky_beta:
            raise ValueError("tversky_alpha, tversky_beta: expected at least one above 0")
        self._check_split()
        return self

    def _check_split(self) -> None:
        if bool(self.split_by) != bool(self.validation) or (self.training and not self.split_by):
            raise ValueError("split_by, validation: expected a column and values of it for validation, or neither")
        if self.split_by and self.validation_fraction:
            raise ValueError("split_by, validation_fraction: expected one of them, got both")
        if self.validation_by and not (self.split_by or self.validation_fraction):
            raise ValueError("validation_by: needs split_by, or a validation_fraction above 0")
        both = sorted(set(self.training) & set(self.validation))
        if both:
            raise ValueError(f"training, validation: expected different values, got {both[0]!r} in both")
