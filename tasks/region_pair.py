"""Region pair: a reference and the channels of a network of regions, told from those of a network of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError
from segscale.tasks.axes import by, laid_over, readings
from segscale.tasks.labels import IGNORED
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.metrics.region_channels import RegionChannels, count_region_channels
from segscale.tasks.metrics.regions import Regions
from segscale.tasks.readers import Probabilities, checked


@dataclass(frozen=True, slots=True, eq=False)
class RegionPair:
    """A reference and the probabilities of regions that were predicted for it."""

    reference: NDArray[np.uint8]
    """(D, H, W) classes 0 to C-1, or `IGNORED`."""
    probabilities: NDArray[np.float32]
    """(D, H, W, K), from 0 to 1; they do not exclude each other."""
    channels: RegionChannels
    """K of them."""
    threshold: float

    @property
    def said(self) -> tuple[str, ...]:
        """What was taken for granted: the end of a sentence that begins with the file."""
        n_channels = len(self.channels)
        return (
            f"{n_channels} channel{'s' * (n_channels != 1)}, taken for those of predictions.regions, in their order",
        )

    def region_masks(self, n_classes: int, regions: Regions) -> dict[int, NDArray[np.bool_]]:
        """By class index the masks of those regions that have a channel, by the rule of the counts."""
        places = {tuple(sorted(set(one.classes))): place for place, one in enumerate(self.channels)}
        found = {n_classes + row: places.get(tuple(sorted(set(region)))) for row, region in enumerate(regions)}
        return {
            index: self.probabilities[..., place] >= np.float32(self.threshold)
            for index, place in found.items()
            if place is not None
        }

    def count(self, n_classes: int, regions: Regions = ()) -> OverlapCounts:
        """Their overlap."""
        return count_region_channels(
            self.reference,
            self.probabilities,
            self.channels,
            n_classes=n_classes,
            threshold=self.threshold,
            ignore_index=IGNORED,
            regions=regions,
        )


def are_of_regions(values: NDArray[Any], size: Sequence[int], n_classes: int, n_regions: int, name: str) -> bool:
    """Whether an array over a reference of `size` (D, H, W) has a channel for each region, and none for each class.

    Raises DataError where it may have either, or has neither.
    """
    classes, regions = {0, 2} if n_classes == 2 else {n_classes}, {_n_axis(n_regions)}
    of_classes, of_regions = (readings(values.shape, size, numbers) for numbers in (classes, regions))
    if of_classes and of_regions:
        raise DataError(
            f"{name}: {by(values.shape)} may be channels of {n_classes} classes, and of {n_regions} in "
            'predictions.regions; say which: predictions.channels = "regions" for regions, predictions.regions = [] '
            "for classes"
        )
    if not (of_classes or of_regions):
        try:
            laid_over(values, size, classes | regions, name, "reference")
        except DataError as error:
            raise DataError(f"{error}: {n_classes} of classes, or {n_regions} of predictions.regions") from None
    return bool(of_regions)


def channels_of_classes(
    values: NDArray[Any], size: Sequence[int], n_classes: int, regions: Regions, name: str
) -> NDArray[Any]:
    """An array over a reference of `size` (D, H, W) as (D, H, W, C), or of two classes as (D, H, W).

    Raises DataError where it has other channels: what the set has of regions says that they may be of these.
    """
    try:
        if n_classes > 2 and readings(values.shape, size, {0}):
            raise DataError(
                f"{name}: one number a pixel for {n_classes} classes; expected {n_classes} channels of probabilities "
                'before or behind: of label maps saved as floats set predictions.kind = "labels"'
            )
        return laid_over(values, size, {0, 2} if n_classes == 2 else {n_classes}, name, "reference")
    except DataError as error:
        if not (regions and readings(values.shape, size, {0, *values.shape})):
            raise
        raise DataError(
            f"{error}; of a network that was trained by regions name what each channel is of in predictions.regions, "
            "and the label value that it writes in predictions.regions_class_order"
        ) from None


def region_pair(
    reference: NDArray[np.uint8], read: Probabilities, channels: RegionChannels, threshold: float, name: str
) -> RegionPair:
    """The channels of a file beside its reference. Raises DataError where they do not fit or are no probabilities."""
    values = laid_over(read.values, reference.shape, {_n_axis(len(channels))}, name, "reference")
    stack = values.reshape(*reference.shape, len(channels))
    counted = (reference != IGNORED)[..., np.newaxis]
    return RegionPair(reference, checked(replace(read, values=stack), counted, name), channels, threshold)


def _n_axis(n_channels: int) -> int:
    """Channels as `tasks.axes` counts them: an array of a single one has no axis for it."""
    return 0 if n_channels == 1 else n_channels
