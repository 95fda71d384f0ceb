"""Region channels: predictions with a probability for each region, which do not exclude each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.metrics.regions import IGNORED, Regions, marks


@dataclass(frozen=True, slots=True)
class RegionChannel:
    """What a channel is the probability of."""

    classes: tuple[int, ...]
    """Indices of the classes of its region."""
    written: int
    """The class that a label map has where the channel is above the threshold, and none behind it is."""


RegionChannels = tuple[RegionChannel, ...]


def written_labels(
    probabilities: NDArray[Any], channels: Sequence[RegionChannel], threshold: float
) -> NDArray[np.uint8]:
    """The label map, (...) of class indices, that nnU-Net writes of channels (..., K): where a channel is above the
    threshold its class, over those of the channels before it; 0 where none is.

    >>> both = RegionChannel((1, 2), 1), RegionChannel((2,), 2)
    >>> written_labels(np.float32([[0.9, 0.8], [0.7, 0.5], [0.2, 0.9], [0.1, 0.1]]), both, 0.5)
    array([2, 1, 2, 0], dtype=uint8)
    """
    found = np.zeros(probabilities.shape[:-1], np.uint8)
    for place, channel in enumerate(channels):
        found[probabilities[..., place] > np.float32(threshold)] = channel.written
    return found


def count_region_channels(
    reference: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    channels: Sequence[RegionChannel],
    *,
    n_classes: int,
    threshold: float,
    ignore_index: int | None = None,
    regions: Regions = (),
) -> OverlapCounts:
    """The overlap of channels of regions with a reference of class indices.

    reference: (height, width) or (depth, height, width); probabilities: the same and (..., K), from 0 to 1.

    A region that has a channel is counted by it: in the prediction where p >= threshold, as the foreground of two
    classes is. Classes, and regions without a channel, are counted in the label map that the channels write. Soft sums
    and histograms are those of the channel of just these classes; where there is none, soft sums are NaN and histograms
    are 0. There are as many histograms as of a channel for each class.

    >>> whole = RegionChannel((1, 2), 1), RegionChannel((2,), 2)
    >>> found = np.float32([[[0.9, 0.1], [0.6, 0.7], [0.2, 0.6], [0.1, 0.2]]])
    >>> counts = count_region_channels(
    ...     np.uint8([[1, 2, 1, 0]]), found, whole, n_classes=3, threshold=0.5, regions=((1, 2),)
    ... )
    >>> counts.true_positive, counts.soft_intersection.round(1)
    (array([1, 1, 1, 2]), array([nan, nan, 0.7, 1.7]))
    """
    from segscale.tasks.metrics.foreground_kernel import count_two_classes

    label_map = written_labels(probabilities, channels, threshold)
    hard = count_overlap(
        reference, n_classes=n_classes, label_map=label_map, ignore_index=ignore_index, regions=regions
    )
    counts = np.stack([hard.true_positive, hard.false_positive, hard.false_negative, hard.true_negative])
    held: list[tuple[int, ...]] = [*((index,) for index in range(n_classes)), *map(_sorted, regions)]
    soft, histograms = np.full((3, len(held)), np.nan), np.zeros((2, len(held), BINS), np.int64)
    for place, channel in enumerate(channels):
        marked = marks(reference, channel.classes, ignore_index).reshape(1, 1, -1)
        values = probabilities[..., place].reshape(1, 1, -1)
        found, sums, bins, _ = count_two_classes(marked, values, IGNORED, True, np.float32(threshold))
        for row in (row for row, classes in enumerate(held) if classes == _sorted(channel.classes)):
            soft[:, row], histograms[:, row] = sums[:, 1], bins
            if row >= n_classes:
                counts[:, row] = found[:4, 1]
    # Of two classes the background has no histogram.
    first = 1 if n_classes == 2 else 0
    return replace(
        hard,
        true_positive=counts[0],
        false_positive=counts[1],
        false_negative=counts[2],
        true_negative=counts[3],
        soft_intersection=soft[0],
        soft_prediction_sum=soft[1],
        soft_prediction_squared_sum=soft[2],
        histogram_foreground=histograms[1, first:],
        histogram_background=histograms[0, first:],
    )


def _sorted(classes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(set(classes)))
