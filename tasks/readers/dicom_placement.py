"""Placements: where the frames of a segmentation lie in the grid of its image, however either is turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid
from segscale.tasks.readers.dicom_grid import TOLERANCE, check_parallel, patient_matrix
from segscale.tasks.readers.dicom_planes import Plane
from segscale.tasks.readers.dicom_words import millimetres


@dataclass(frozen=True, slots=True)
class Placement:
    """How a volume (D, H, W) is seen along planes, rows and columns of frames."""

    axes: tuple[int, int, int]
    """Axis of the volume along planes, rows and columns."""
    flipped: tuple[int, ...]
    """Which of these three run against the volume."""
    corners: tuple[tuple[int, int, int], ...]
    """Of each frame its plane in that view, and the row and column of its first pixel."""

    def view(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The volume itself along planes, rows and columns: what is written there stands in it."""
        return np.flip(volume.transpose(self.axes), self.flipped)


def place_frames(planes: Sequence[Plane], rows: int, columns: int, grid: Grid, name: str) -> Placement:
    """Where frames of one orientation lie in a grid with a geometry, exactly.

    UnreadableImage where a pixel has no voxel of its own.
    """
    check_parallel(planes, name)
    geometry = grid.geometry
    assert geometry is not None
    to_voxels = np.linalg.inv(patient_matrix(geometry))
    first = planes[0]
    steps = to_voxels @ np.array((first.down, first.across)).T * first.spacing
    down, across = (int(axis) for axis in np.argmax(np.abs(steps), axis=0))
    signs = np.sign((steps[down, 0], steps[across, 1]))
    exact = np.zeros((3, 2))
    exact[(down, across), (0, 1)] = signs
    drift = np.abs(steps - exact) * (max(rows - 1, 1), max(columns - 1, 1))
    if down == across or drift.max() > TOLERANCE:
        raise UnreadableImage(
            f"{name}: its pixels of {millimetres(first.spacing)} mm along {millimetres(first.across + first.down)} are "
            f"no voxels of the image, {_words(geometry)}; expected the same grid, turned or cut at most"
        )
    axes = 3 - down - across, down, across
    flipped = tuple(axis for axis, sign in ((1, signs[0]), (2, signs[1])) if sign < 0)
    shape = tuple(grid.size[axis] for axis in axes)
    origins = (np.array([plane.position for plane in planes]) - geometry.origin) @ to_voxels.T
    corners = _corners(origins[:, axes], shape, flipped)
    _check_inside(corners, origins, planes, (rows, columns), shape, name)
    return Placement(axes, flipped, tuple((int(d), int(h), int(w)) for d, h, w in corners))


def _corners(origins: NDArray[np.float64], shape: tuple[int, ...], flipped: tuple[int, ...]) -> NDArray[np.float64]:
    corners = np.rint(origins)
    for axis in flipped:
        corners[:, axis] = shape[axis] - 1 - corners[:, axis]
    return corners


def _check_inside(
    corners: NDArray[np.float64],
    origins: NDArray[np.float64],
    planes: Sequence[Plane],
    size: tuple[int, int],
    shape: tuple[int, ...],
    name: str,
) -> None:
    between = np.abs(origins - np.rint(origins)).max(axis=1) > TOLERANCE
    outside = ((corners < 0) | (corners + np.array((1, *size)) > shape)).any(axis=1)
    wrong = np.flatnonzero(between | outside)
    if wrong.size:
        index = int(wrong[0])
        where = "between the voxels of" if between[index] else "outside of"
        raise UnreadableImage(
            f"{name}: {wrong.size} of {len(planes)} frames lie {where} the image, for example frame {index + 1} at "
            f"{millimetres(planes[index].position)} mm; expected the planes of the image's grid"
        )


def _words(geometry: Geometry) -> str:
    directions = ", ".join(map(millimetres, geometry.directions))
    return f"spacing {millimetres(geometry.spacing)} mm along {directions}"
