"""Pair counts: the label maps of many images counted together, in stacks of those of one shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.prediction_file import LabelPair

OtherT = TypeVar("OtherT")


def count_pairs(found: Iterable[LabelPair | OtherT], n_classes: int) -> list[OverlapCounts | OtherT]:
    """What was found of each image, in the order of the images, with the counts in the place of label pairs.

    Everything else (counts of probabilities, failures) is passed on as it is. `found` is taken one by one, so that of a
    generator the pixels of a few images alone are in memory.
    """
    return [one.count(n_classes) if isinstance(one, LabelPair) else one for one in found]
