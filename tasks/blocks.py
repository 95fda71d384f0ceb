"""Blocks: rows of the slices in an array of a shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.storage import shards


@dataclass(frozen=True, slots=True)
class Place:
    """Rows `top` to `bottom` of the slice at `position`."""

    position: int
    top: int
    bottom: int


class BlockReader:
    """Decodes blocks of an array; what was asked for last is not decoded again."""

    def __init__(self, array: shards.ZarrArray) -> None:
        self._array = array
        self._held: dict[Place, npt.NDArray[Any]] = {}

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the blocks."""
        return np.dtype(self._array.dtype)

    @property
    def channels(self) -> int:
        """The length of the last axis."""
        return int(self._array.shape[-1])

    def read(self, places: Sequence[Place]) -> list[npt.NDArray[Any]]:
        """The block (rows, width, ...) at each place; those of neighbouring slices are decoded in one go."""
        wanted = dict.fromkeys(places)
        found = {place: self._held[place] for place in wanted if place in self._held}
        # Let go of the others first: a block of a large image is large.
        self._held = found
        for run in _runs(place for place in wanted if place not in found):
            first, last = run[0], run[-1]
            decoded = shards.as_numpy(self._array, first.position, last.position + 1, first.top, first.bottom)
            found |= zip(run, decoded, strict=True)
        return [found[place] for place in places]


def _runs(places: Iterable[Place]) -> Iterator[list[Place]]:
    """The places cut into runs of equal rows of slices that follow one another."""
    run: list[Place] = []
    for place in places:
        if run and place != Place(run[-1].position + 1, run[-1].top, run[-1].bottom):
            yield run
            run = []
        run.append(place)
    if run:
        yield run
