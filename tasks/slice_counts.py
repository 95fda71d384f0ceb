"""Slice counts: the overlap of each slice of a volume by itself, and the rows that it is kept as."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segscale.tasks.counting import of_class
from segscale.tasks.geometry import Vector
from segscale.tasks.grids import Grid, Size
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.metrics.regions import Regions
from segscale.tasks.prediction_file import LabelPair, ProbabilityPair
from segscale.tasks.region_pair import RegionPair
from segscale.tasks.slice_axis import Asked, axis_index, slice_axis
from segscale.tasks.spacing import spacing_of


@dataclass(frozen=True, slots=True)
class Slicing:
    """How existing predictions are cut into slices."""

    asked: Asked
    spacing_mm: Vector | None
    """Of files that say nothing of it."""

    def axis(self, size: Size, grid: Grid | None) -> int:
        """Along which axis, 0 to 2, the slices of a reference of a size follow one another."""
        return axis_index(slice_axis(size, spacing_of(grid or Grid(size), self.spacing_mm), self.asked))


def count_slices(
    pair: LabelPair | ProbabilityPair | RegionPair, axis: int, n_classes: int, regions: Regions = ()
) -> Iterator[OverlapCounts]:
    """The counts of each slice along an axis, from 0 on; they sum to that of the pair, soft sums but for rounding."""
    references = np.moveaxis(pair.reference, axis, 0)
    if isinstance(pair, LabelPair):
        for reference, label_map in zip(references, np.moveaxis(pair.label_map, axis, 0), strict=True):
            yield replace(pair, reference=reference, label_map=label_map).count(n_classes, regions)
    else:
        for reference, probabilities in zip(references, np.moveaxis(pair.probabilities, axis, 0), strict=True):
            one = replace(pair, reference=reference[None], probabilities=probabilities[None])
            yield without_histograms(one.count(n_classes, regions))


def without_histograms(counts: OverlapCounts) -> OverlapCounts:
    """Counts that take little to keep, for each of many slices: soft sums stay, histograms go."""
    nothing = counts.histogram_foreground[:0]
    return replace(counts, histogram_foreground=nothing, histogram_background=nothing)


def slice_rows(image_id: str, head: str, slices: Sequence[OverlapCounts]) -> list[dict[str, Any]]:
    """The rows of `storage.side_parts.SLICES` for the slices of one image and head, from slice 0 on."""
    return [
        {
            "image_id": image_id,
            "head": head,
            "slice_index": number,
            **of_class(counts, index),
        }
        for number, counts in enumerate(slices)
        for index in range(len(counts.true_positive))
    ]
