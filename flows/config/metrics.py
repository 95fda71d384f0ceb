"""The section [metrics]: what is counted and measured, and how scores are made of it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from segscale.tasks.geometry import LARGEST_MM
from segscale.tasks.lesions.matching import Rule
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.size_strata import is_lesion_size
from segscale.tasks.refusal import as_toml

Tolerance = Annotated[float, Field(ge=0, le=LARGEST_MM)]


class Metrics(ScoreSettings):
    """What is counted and how scores are made of the counts."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Of two classes: the second where the probability is this or more."""
    threshold_count: Annotated[int, Field(ge=2, le=BINS)] = 64
    """So many thresholds are kept for each image; a divisor of 256."""
    slices: bool = False
    """Whether each slice of a volume has a row of its own, in per_slice.parquet."""
    surface: bool = False
    """Whether the distances between the surfaces of reference and prediction are measured, in surface.parquet."""
    nsd_tolerances_mm: Annotated[tuple[Tolerance, ...], Field(strict=False)] = (2.0,)
    """Of the normalised surface distance; in pixels where nobody says how far voxels are apart."""
    lesions: bool = False
    """Whether lesions are counted, in lesions.parquet."""
    lesion_neighbours: Literal[26, 18, 6] = 26
    """Of a voxel, which belong to its lesion; of a picture those that lie in its plane, 8, 8 or 4."""
    lesion_rule: Rule = "overlap"
    """By which lesions of the prediction stand for those of the reference."""
    lesion_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of IoU or Dice, where lesions are matched one to one by these; None: 0.5."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if BINS % self.threshold_count:
            raise ValueError(f"threshold_count: expected a divisor of {BINS}, got {self.threshold_count}")
        if len(set(self.nsd_tolerances_mm)) != len(self.nsd_tolerances_mm):
            raise ValueError(f"nsd_tolerances_mm: expected different numbers, got {as_toml(self.nsd_tolerances_mm)}")
        if not self.lesions and (asked := [entry for entry in self.group_by if is_lesion_size(entry)]):
            raise ValueError(f"group_by: {as_toml(asked[0])} is of lesions, which metrics.lesions = true counts")
        if self.lesion_rule == "overlap" and self.lesion_threshold is not None:
            raise ValueError(
                'lesion_threshold: is of lesion_rule = "iou" or "dice"; with "overlap" one shared voxel is enough'
            )
        return self
