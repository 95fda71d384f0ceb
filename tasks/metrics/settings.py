"""How scores are made of counts: weights, smoothing, the empty policy, batches and intervals."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from segscale.errors import ArgumentError
from segscale.tasks.metrics import size_strata
from segscale.tasks.refusal import as_toml
from segscale.tasks.section import Section

MAX_BATCH_SIZE = 2**63 - 1
"""More images than this no table can hold."""

EmptyPolicy = Literal["nan", "one", "zero", "smooth"]
"""Score where hard reference and hard prediction are both empty; "smooth" lets the formula stand, s/s = 1."""

MissedDistance = Literal["worst", "inf", "nan"]
"""Distance where one of reference and prediction lacks the structure: from corner to corner of the image, or not."""

Weight = Annotated[float, Field(ge=0)]


class ScoreSettings(Section):
    """Everything but the counts that decides a score."""

    tversky_alpha: Weight = 0.3
    """Weight of false positives."""
    tversky_beta: Weight = 0.7
    """Weight of false negatives."""
    smooth: Weight = 0.0
    """Added to numerator and denominator of Dice, IoU and Tversky, hard and soft, once per image or batch."""
    empty: EmptyPolicy = "nan"
    """The score where reference and prediction are both empty."""
    missed_distance: MissedDistance = "worst"
    """Of surfaces, where one side alone has any; the NSD is then 0 (undefined with "nan")."""
    batch_sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)], ...], Field(strict=False)] = (1, 8, 32)
    """Images per batch of the batch-summed scores; the whole set is always added."""
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    """Resamples of the bootstrap intervals; 0 leaves them out."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Of the intervals."""
    cluster_by: str = ""
    """Column whose values are resampled and assumed independent (patient_id); "" for images."""
    group_by: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Columns whose values are strata of the aggregate tables; `reference_volume:0,100,1000` are bins of sizes."""
    unit: str = ""
    """Column whose values are units of evaluation (patient_id): counts are summed within each; "" for images alone."""
    folds: str = ""
    """Column whose values are folds: their mean stands beside the mean of cases; "" for none."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the bootstrap and of shuffled batches."""

    @property
    def group_columns(self) -> tuple[str, ...]:
        """What `group_by` names of columns."""
        return tuple(entry for entry in self.group_by if not size_strata.is_size(entry))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the settings name, each once."""
        named = (*self.group_columns, self.cluster_by, self.unit, self.folds)
        return tuple(dict.fromkeys(name for name in named if name))

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.tversky_alpha + self.tversky_beta == 0:
            raise ArgumentError("tversky_alpha, tversky_beta: expected at least one above 0")
        if "" in self.group_by:
            raise ArgumentError(f"group_by: expected names of columns, got {as_toml(self.group_by)}")
        if len(set(self.group_by)) != len(self.group_by):
            raise ArgumentError(f"group_by: expected different columns, got {as_toml(self.group_by)}")
        sizes = [entry for entry in self.group_by if size_strata.is_size(entry)]
        for entry in sizes:
            size_strata.SizeStrata.parse(entry)
        for name in (size_strata.COLUMN, size_strata.LESIONS):
            if sum(entry.partition(":")[0] == name for entry in self.group_by) > 1:
                raise ArgumentError(f"group_by: expected {name} once, got {as_toml(self.group_by)}")
        if len(set(self.batch_sizes)) != len(self.batch_sizes):
            raise ArgumentError(f"batch_sizes: expected different sizes, got {as_toml(self.batch_sizes)}")
        return self
