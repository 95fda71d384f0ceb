"""Resampling: the values of a volume at the voxel centres of another grid, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError
from segscale.tasks.grids import Grid, Size

BLOCK_VALUES = 2**18
"""Of the result, worked on at once: it takes some 30 MB of positions and indices beside them."""
PARTS = 2.0**14
"""Of a voxel, to which positions are rounded: as finely as headers with 32 bits tell. What lies half-way between two
voxels then lies half-way in every row, whatever a computation rounds."""

Meaning = Callable[[NDArray[Any]], NDArray[Any]]
"""What some stored numbers of a file stand for, one by one."""
Position = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Resampling:
    """Where each voxel (d, h, w) of a grid lies in the array of another: at index matrix @ (d, h, w) + offset.

    A voxel is a box: what lies up to half a voxel beyond the outermost centres is inside.
    """

    size: Size
    """Of the result: that of the reference."""
    source: Size
    """Of the array whose values are taken."""
    matrix: NDArray[np.float64]
    """(3, 3)"""
    offset: NDArray[np.float64]
    """(3,)"""

    def nearest(self, values: NDArray[Any], top: int, bottom: int, outside: Any = 0) -> NDArray[Any]:
        """Planes `top` to `bottom` of the result, of labels (D, H, W, ...): those of the voxel in whose box each lies.

        `outside` stands where there is none. On the border of two boxes the one with the higher index counts.
        """
        result = self._filled(values, top, bottom, outside, values.dtype)
        for place, position in self._blocks(values[0, 0, 0].size, top, bottom):
            inside = self._inside(position)
            d, h, w = (np.floor(along[inside] + 0.5).astype(np.intp) for along in position)
            result[place][inside] = values[d, h, w]
        return result

    def linear(
        self, values: NDArray[Any], top: int, bottom: int, outside: Any = 0, meant: Meaning | None = None
    ) -> NDArray[np.float32]:
        """Planes `top` to `bottom` of the result, of probabilities (D, H, W, ...), linear between the voxels around.

        Beyond the outermost centres their values go on to the border of the volume; `outside`, a number or one for
        each channel, stands outside of it. NaN where a voxel around is NaN. Nothing is smoothed: of a much finer volume
        most voxels have no say. meant: what is taken of the values, where it is not they themselves.
        """
        result = self._filled(values, top, bottom, outside, np.dtype(np.float32))
        for place, position in self._blocks(values[0, 0, 0].size, top, bottom):
            inside = self._inside(position)
            d, h, w = (along[inside] for along in position)
            result[place][inside] = _between(values, (d, h, w), meant)
        return result

    def n_outside(self) -> int:
        """How many voxels of the result lie outside of the array."""
        blocks = self._blocks(1, 0, self.size[0])
        return sum(int(np.count_nonzero(~self._inside(position))) for _, position in blocks)

    def _filled(self, values: NDArray[Any], top: int, bottom: int, outside: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        assert values.shape[:3] == self.source
        result = np.empty((bottom - top, *self.size[1:], *values.shape[3:]), dtype)
        result[...] = outside
        return result

    def _blocks(self, channels: int, top: int, bottom: int) -> Iterator[tuple[tuple[int, slice], Position]]:
        """Rows of the planes, each with where its voxels (rows, W) lie along the axes of the array."""
        _, height, width = self.size
        n_rows = max(1, BLOCK_VALUES // (width * channels))
        across = self.matrix[:, 2, None, None] * np.arange(width)
        for plane, first in product(range(top, bottom), range(0, height, n_rows)):
            rows = slice(first, min(first + n_rows, height))
            start = self.matrix[:, 0] * plane + self.offset
            down = start[:, None] + self.matrix[:, 1, None] * np.arange(rows.start, rows.stop)
            d, h, w = np.rint((down[:, :, None] + across) * PARTS) / PARTS
            yield (plane - top, rows), (d, h, w)

    def _inside(self, position: Position) -> NDArray[np.bool_]:
        inside = np.ones(position[0].shape, dtype=np.bool_)
        for along, side in zip(position, self.source, strict=True):
            inside &= (along >= -0.5) & (along < side - 0.5)
        return inside


def _between(values: NDArray[Any], position: Position, meant: Meaning | None) -> NDArray[np.float64]:
    """Values (n, ...) at positions (n,) along each axis: the 8 voxels around, each weighed by how near it is."""
    total = np.zeros((len(position[0]), *values.shape[3:]))
    sides = []
    for along, side in zip(position, values.shape, strict=False):
        held = np.clip(along, 0, side - 1)
        low, high = np.floor(held), np.ceil(held)  # one voxel where it is met, so that no other one's NaN counts
        share = held - low
        sides.append(((low.astype(np.intp), 1 - share), (high.astype(np.intp), share)))
    for (d, of_d), (h, of_h), (w, of_w) in product(*sides):
        weight = (of_d * of_h * of_w).reshape(-1, *(1,) * (values.ndim - 3))
        around = values[d, h, w]
        total += weight * (around if meant is None else meant(around))
    return total


def resampling(reference: Grid, other: Grid, name: str) -> Resampling:
    """What brings an array on the grid `other`, of the file `name`, into the grid of its reference.

    Raises DataError where one of them has no geometry.
    """
    if reference.geometry is None or other.geometry is None:
        lacking = "it has" if other.geometry is None else "its reference has"
        raise DataError(
            f"{name}: cannot be resampled into the grid of its reference: {lacking} no geometry; expected both in a "
            "format with one, such as .nii.gz or .nrrd"
        )
    backwards = np.linalg.inv(other.geometry.steps)
    matrix = (reference.geometry.steps @ backwards).T
    offset = (np.array(reference.geometry.origin) - np.array(other.geometry.origin)) @ backwards
    return Resampling(reference.size, other.size, matrix, offset)


def resampled(is_outside: bool, is_linear: bool) -> tuple[str, ...]:
    """What was done, as ends of sentences that begin with the file.

    >>> resampled(True, False)
    ('resampled into the grid of its reference (nearest voxel)', 'does not cover its reference: background outside')
    """
    done = f"resampled into the grid of its reference ({'linear' if is_linear else 'nearest voxel'})"
    return (done, "does not cover its reference: background outside") if is_outside else (done,)
