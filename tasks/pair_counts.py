"""Pair counts: the label maps of many images counted together, in stacks of those of one shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.labels import IGNORED
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.metrics.regions import Regions
from segscale.tasks.metrics.stacks import count_overlaps
from segscale.tasks.prediction_file import LabelPair

OtherT = TypeVar("OtherT")

_PIXELS_TOGETHER = 2**20
"""Pixels that wait until they are counted: many times what a call costs, and no more memory than a small image."""


def count_pairs(
    found: Iterable[LabelPair | OverlapCounts | OtherT], n_classes: int, regions: Regions = ()
) -> list[OverlapCounts | OtherT]:
    """What was found of each image, in the order of the images, with the counts in the place of label pairs.

    Everything else (counts of probabilities, failures) is passed on as it is. `found` is taken one by one, so that of a
    generator the pixels of a few images alone are in memory.
    """
    counted: list[OverlapCounts | OtherT] = []
    waiting: dict[int, LabelPair] = {}
    n_pixels = 0
    for place, one in enumerate(found):
        if not isinstance(one, LabelPair):
            counted.append(one)
            continue
        counted.append(_NOTHING_YET)
        waiting[place] = one
        n_pixels += one.reference.size
        if n_pixels >= _PIXELS_TOGETHER:
            _fill(counted, waiting, n_classes, regions)
            waiting, n_pixels = {}, 0
    _fill(counted, waiting, n_classes, regions)
    return counted


_NOTHING_YET = OverlapCounts.zero(2)


def _fill(
    counted: list[OverlapCounts | OtherT], waiting: dict[int, LabelPair], n_classes: int, regions: Regions
) -> None:
    """Put the counts of those who wait into their places, a stack for each shape."""
    places_of: dict[tuple[int, ...], list[int]] = {}
    for place, pair in waiting.items():
        places_of.setdefault(pair.reference.shape, []).append(place)
    for places in places_of.values():
        stack = count_overlaps(
            _stacked([waiting[place].reference for place in places]),
            n_classes=n_classes,
            label_maps=_stacked([waiting[place].label_map for place in places]),
            ignore_index=IGNORED,
            regions=regions,
        )
        for row, place in enumerate(places):
            counted[place] = stack.image(row)


def _stacked(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Without a copy of one that is alone, as large ones are."""
    return images[0][np.newaxis] if len(images) == 1 else np.stack(images)
