"""The sections of the configuration: each a frozen record that checks itself."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from tasks.metrics.settings import MAX_BATCH_SIZE

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Folder = Annotated[str, Field(min_length=1)]
HISTOGRAM_BINS = 256
MAX_LEVEL = 8
Level = int | Literal["all"]
OVER_CLASSES = frozenset({"all_macro", "all_micro", "all_channels_micro"})


class Section(BaseModel):
    # Strict: "0.5" is no number and true is no 1; only lists may become tuples, and integers floats.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Dataset(Section):
    """Which images, which references, and what their values mean."""

    name: Name
    images: str = ""
    references: str = ""
    manifest: str = ""
    roots: Names = ()
    """Folders that files named by the manifest may lie in, beside the folder of the manifest itself."""
    layout: Literal["files", "nnunet", "dicom"] = "files"
    classes: Annotated[tuple[str, ...], Field(strict=False)] = ("background", "lesion")
    label_values: Annotated[tuple[int, ...], Field(strict=False)] = ()
    ignore_label: int = -1
    channels: Literal[0, 1, 3] = 0
    normalize: Literal["unit", "window", "percentile", "zscore"] = "unit"
    window: Annotated[tuple[float, float], Field(strict=False)] = (-1000.0, 400.0)
    split: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.manifest) == bool(self.images or self.references):
            raise ValueError("expected either images and references, or a manifest")
        if not self.manifest and not (self.images and self.references):
            raise ValueError("expected both images and references (or a manifest)")
        if not 2 <= len(self.classes) <= 255 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes: expected 2 to 255 different names, got {len(self.classes)}: {self.classes}")
        taken = sorted(OVER_CLASSES.intersection(self.classes))
        if taken:
            raise ValueError(f"classes: {taken[0]!r} is the reports' name of a score over classes; choose another")
        if self.label_values and len(self.label_values) != len(self.classes):
            raise ValueError(
                f"label_values: expected a value for each of {len(self.classes)} classes, got {list(self.label_values)}"
            )
        if len(set(self.label_values)) != len(self.label_values):
            raise ValueError(f"label_values: expected different values, got {list(self.label_values)}")
        if self.ignore_label in self.label_values:
            raise ValueError(f"ignore_label: {self.ignore_label} stands in label_values too")
        if not self.window[0] < self.window[1]:
            raise ValueError(f"window: expected [low, high] with low < high, got {list(self.window)}")
        if self.split and not self.manifest:
            raise ValueError("split: needs a manifest with a column named split")
        if self.roots and not self.manifest:
            raise ValueError("roots: needs a manifest, whose files may lie in them")
        return self


class Predictions(Section):
    """Predictions that something else made."""

    path: str = ""


def _checked_level(value: object) -> object:
    # A union of its own kind would answer a wrong number with one error for each of its members.
    if value == "all" or (type(value) is int and 1 <= value <= MAX_LEVEL):
        return value
    raise ValueError(f'expected 1 to {MAX_LEVEL}, or "all", got {value!r}')


class Model(Section):
    """The network and how it is run."""

    path: str = ""
    engine: Literal["auto", "keras", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_dice_change: NonNegative = 0.01
    level: Annotated[Level, PlainValidator(_checked_level, json_schema_input_type=Level)] = 4
    ensemble: bool = False
    flips: bool = False
    batch_size: Annotated[int, Field(ge=0)] = 0
    tile: Annotated[int, Field(ge=32, multiple_of=32)] = 1024
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25


class Metrics(Section):
    """What is counted and how scores are made of the counts."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    threshold_count: Annotated[int, Field(ge=2, le=HISTOGRAM_BINS)] = 64
    tversky_alpha: NonNegative = 0.3
    tversky_beta: NonNegative = 0.7
    smooth: NonNegative = 0.0
    batch_sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)], ...], Field(strict=False)] = (1, 8, 32)
    empty: Literal["nan", "one", "zero", "smooth"] = "nan"
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    cluster_by: str = ""
    group_by: Annotated[tuple[str, ...], Field(strict=False)] = ()
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if HISTOGRAM_BINS % self.threshold_count:
            raise ValueError(f"threshold_count: expected a divisor of {HISTOGRAM_BINS}, got {self.threshold_count}")
        if self.tversky_alpha + self.tversky_beta == 0:
            raise ValueError("tversky_alpha, tversky_beta: expected at least one above 0")
        if "" in self.group_by:
            raise ValueError(f"group_by: expected names of columns, got {list(self.group_by)}")
        if len(set(self.group_by)) != len(self.group_by):
            raise ValueError(f"group_by: expected different columns, got {list(self.group_by)}")
        if len(set(self.batch_sizes)) != len(self.batch_sizes):
            raise ValueError(f"batch_sizes: expected different sizes, got {list(self.batch_sizes)}")
        return self


class Store(Section):
    """Where shards, catalog and ledger live."""

    path: Folder = "work"
    shard_images: Annotated[int, Field(ge=1, le=65536)] = 128
    keep: Literal["labels", "probabilities", "none"] = "labels"


class Cluster(Section):
    """The workers."""

    kind: Literal["local", "address", "slurm", "kubernetes", "gpus"] = "local"
    workers: Annotated[int, Field(ge=0)] = 0
    address: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind == "address") != bool(self.address):
            raise ValueError('address: expected the address of a scheduler with kind = "address", and only there')
        if self.address and not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+:\d+", self.address):
            raise ValueError(f"address: expected one like tcp://HOST:PORT, got {self.address!r}")
        return self


class Report(Section):
    """Where the tables go, and how many failures a run may have."""

    path: Folder = "reports"
    run_id: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$", max_length=100)] = ""
    """Name of the run's folder; empty: the first 12 hex digits of the sha256 of all that affects a number."""
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.0


class Train(Section):
    """How UNet++ is trained on the images of the data set (`dataset.split` chooses among those of a manifest)."""

    output: str = "model.keras"
    initial_weights: str = ""
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
