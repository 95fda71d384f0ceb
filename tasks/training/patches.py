"""Which patch of which image is drawn at each position of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.labels import IGNORED
from segscale.tasks.training.sample import Sample

_ORDER, _PLACE = 1, 2  # keep the streams of one seed apart


@dataclass(frozen=True, slots=True, eq=False)
class PatchPlan:
    """All that decides the patches; `plan_patches` makes one."""

    samples: tuple[Sample, ...]
    """In the order that the positions refer to."""
    side: int
    """Of the square patches, pixels."""
    seed: int
    """Equal plans and seeds give equal patches."""
    foreground_share: float
    """How many of the patches are drawn around a foreground pixel, 0 to 1."""
    holders: Mapping[int, NDArray[np.intp]]
    """For each foreground class that occurs, the numbers of the samples that hold it."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a patch lies: its top left pixel, negative where the image is smaller than the patch."""

    sample: int
    top: int
    left: int


def plan_patches(samples: Sequence[Sample], side: int, *, seed: int = 0, foreground_share: float = 0.0) -> PatchPlan:
    """Look once through the references for the classes that each holds.

    Raises ValueError for no samples, a side below 1, a negative seed, a share outside [0, 1], and a share above 0 where
    no sample holds foreground.
    """
    if not samples:
        raise ArgumentError("patches: expected at least one sample, got none")
    if side < 1 or seed < 0 or not 0 <= foreground_share <= 1:
        raise ArgumentError(
            "patches: expected a side of 1 or more, a seed of 0 or more and a foreground_share in [0, 1], "
            f"got {side}, {seed} and {foreground_share}"
        )
    held = np.stack([np.bincount(sample.reference.ravel(), minlength=IGNORED + 1) > 0 for sample in samples])
    foreground = [int(index) for index in np.flatnonzero(held[:, :IGNORED].any(axis=0)) if index]
    if foreground_share and not foreground:
        raise ArgumentError(
            f"patches: a foreground_share of {foreground_share}, but none of {len(samples)} samples holds foreground"
        )
    holders = {index: np.flatnonzero(held[:, index]) for index in foreground}
    return PatchPlan(tuple(samples), side, seed, foreground_share, holders)


def draw_position(plan: PatchPlan, number: int) -> Position:
    """Where the patch of position `number` (from 0) lies: a pure function of the plan and the number.

    Uniform: every pass over the samples visits each once, in an order of its own, and the patch lies anywhere in the
    image with equal probability. With probability `foreground_share` a patch is drawn around a foreground pixel
    instead: a class that occurs, a sample that holds it and a pixel of it, each evenly, and the patch so that the pixel
    lies anywhere in it, as far as the borders of the image allow. So a class of 10 pixels in one image is seen as often
    as one that fills all images.

    An image smaller than the patch lies in the middle of it.
    """
    generator = np.random.default_rng((plan.seed, _PLACE, number))
    if plan.foreground_share and generator.random() < plan.foreground_share:
        return _around_foreground(plan, generator)
    n_samples = len(plan.samples)
    sample = int(_visiting_order(plan.seed, number // n_samples, n_samples)[number % n_samples])
    sides = plan.samples[sample].reference.shape
    top, left = (_draw_start(side, plan.side, 0, side - 1, generator) for side in sides)
    return Position(sample, top, left)


def cut_patch(plan: PatchPlan, position: Position) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Pixels (P, P, C) as stored, and reference (P, P); beyond the borders both are mirrored, back and forth."""
    sample, start = plan.samples[position.sample], (position.top, position.left)
    return _cut(sample.pixels, start, plan.side), _cut(sample.reference, start, plan.side)


def _around_foreground(plan: PatchPlan, generator: np.random.Generator) -> Position:
    class_index = list(plan.holders)[generator.integers(len(plan.holders))]
    holders = plan.holders[class_index]
    sample = int(holders[generator.integers(len(holders))])
    reference = plan.samples[sample].reference
    places = np.flatnonzero(reference == class_index)
    pixel = np.unravel_index(places[generator.integers(len(places))], reference.shape)
    top, left = (
        _draw_start(side, plan.side, int(place), int(place), generator)
        for side, place in zip(reference.shape, pixel, strict=True)
    )
    return Position(sample, top, left)


def _draw_start(side: int, patch: int, first: int, last: int, generator: np.random.Generator) -> int:
    """Start of a patch inside a side that covers at least one pixel of `first` to `last`."""
    if side <= patch:
        return -((patch - side) // 2)
    return int(generator.integers(max(first - patch + 1, 0), min(last, side - patch) + 1))


@lru_cache(maxsize=4)
def _visiting_order(seed: int, number: int, n_samples: int) -> NDArray[np.intp]:
    # Kept for the positions to come: where samples are many, a permutation costs more than a patch.
    order = np.random.default_rng((seed, _ORDER, number)).permutation(n_samples)
    order.flags.writeable = False
    return order


def _cut(array: NDArray[Any], start: tuple[int, int], side: int) -> NDArray[Any]:
    inside = array[tuple(slice(max(first, 0), first + side) for first in start)]
    missing = [
        (max(-first, 0), max(first + side - size, 0)) for first, size in zip(start, array.shape[:2], strict=True)
    ]
    if not np.any(missing):
        return inside
    return np.pad(inside, [*missing, *[(0, 0)] * (array.ndim - 2)], mode="reflect")
