"""Axes: how the array of a file lies over the image that it belongs to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError

FIRST, SECOND, LAST = "first", "second", "last"


@dataclass(frozen=True, slots=True)
class Stack:
    """A way to read an array over an image: a plain one, or a stack with a plane for each class."""

    n_channels: int
    """0: no such axis."""
    place: str = LAST
    """Of the axis of channels: before or behind depth, height and width, or of a volume after the depth."""


def readings(shape: Sequence[int], size: Sequence[int], channels: Collection[int]) -> list[Stack]:
    """All ways in which an array of `shape` can lie over an image of `size` (D, H, W), with one of `channels`.

    Axes of length 1 may stand anywhere: they change neither the numbers nor their order.

    >>> readings((1, 2, 40, 56), (1, 40, 56), {0, 2})
    [Stack(n_channels=2, place='first')]
    """
    found, wanted = _squeezed(shape), _squeezed(size)
    slices = wanted[1:] if size[0] > 1 else ()  # a volume may hold the channels of each of its slices
    ways = [Stack(0)] if 0 in channels and found == wanted else []
    for count in sorted(set(channels) - {0}):
        ways += [Stack(count, FIRST)] if found == (count, *wanted) else []
        ways += [Stack(count, SECOND)] if slices and found == (wanted[0], count, *slices) else []
        ways += [Stack(count, LAST)] if found == (*wanted, count) else []
    return ways


def laid_over(
    values: NDArray[Any], size: Sequence[int], channels: Collection[int], name: str, under: str = "image"
) -> NDArray[Any]:
    """`values` as (D, H, W), or as (D, H, W, C) where they are a stack of C channels.

    `under` is what messages call that which has the size: an image, or the reference of a prediction.

    Raises DataError, with the shapes that would do, where they fit in no way or in more than one.
    """
    if 0 in channels and values.shape == tuple(size):
        return values  # no stack has as few axes
    ways = readings(values.shape, size, channels)
    if len(ways) != 1:
        raise DataError(f"{name}: {_expected(values.shape, tuple(size), channels, bool(ways), under)}")
    way = ways[0]
    if not way.n_channels:
        return values.reshape(tuple(size))
    if way.place == LAST:
        return values.reshape((*size, way.n_channels))
    place = 0 if way.place == FIRST else 1
    return np.moveaxis(values.reshape((*size[:place], way.n_channels, *size[place:])), place, -1)


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(side for side in shape if side != 1)


def _expected(shape: tuple[int, ...], size: tuple[int, ...], channels: Collection[int], fits: bool, under: str) -> str:
    flat = size[1:] if size[0] == 1 else size
    counts = " or ".join(str(count) for count in sorted(channels) if count)
    plain = f"the size of its {under} {by(flat)}" + ("" if 0 in channels else ", stacked")
    is_deeper = len(_squeezed(shape)) > len(_squeezed(size))
    places = "before, behind or after the depth" if size[0] > 1 else "before or behind"
    stacked = f", with {counts} channels {places}" if counts and (is_deeper or 0 not in channels) else ""
    found = f"{by(_squeezed(shape) or shape)}{', which fits in more than one way' if fits else ''}"
    return f"expected {plain}{stacked}, got {found}"


def by(shape: Sequence[int]) -> str:
    """A shape as people write it.

    >>> by((40, 56))
    '40x56'
    """
    return "x".join(str(side) for side in shape)
