"""Grids: how many voxels an array has and where they lie, in numbers and in words."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from segscale.tasks.axes import by
from segscale.tasks.geometry import Geometry, Vector, letters

Size = tuple[int, int, int]

SPACING_ERROR = 1e-3
"""The share of a spacing by which two grids may differ and be the same."""
VISIBLE_DEGREES = 0.05
"""Less than that is not worth a word: it is what a header's few digits make of a right angle."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid of an array, and what its file says of where it lies."""

    size: Size
    """Voxels along D, H and W."""
    geometry: Geometry | None = None
    """None where the file says nothing of direction and position."""
    stated: Vector | None = None
    """The spacing in mm, of a file that says nothing else of its geometry."""
    series_id: str | None = None
    """Of a DICOM series its UID, hashed; None where it is not known, of a volume in another format say."""
    frame_of_reference_id: str | None = None
    """Hashed; positions in two of these cannot be compared."""

    @property
    def spacing(self) -> Vector | None:
        """Millimetres along D, H and W; None where the file does not say."""
        return self.geometry.spacing if self.geometry else self.stated


_IDS = ("series_id", "frame_of_reference_id")


@lru_cache(maxsize=16)  # the files of an image lie in one place, and often those of a set
def to_text(grid: Grid) -> str:
    """Where a grid lies, and whose it is, as JSON that `from_text` reads; "" of a grid that says nothing of that."""
    if grid.geometry is not None:
        ids = {name: getattr(grid, name) for name in _IDS if getattr(grid, name)}
        return json.dumps({**asdict(grid.geometry), **ids})
    return json.dumps({"spacing": grid.stated}) if grid.stated else ""


def from_text(text: str, size: Size) -> Grid:
    """The grid of a size whose place was written by `to_text`."""
    if not text:
        return Grid(size)
    read = json.loads(text)
    spacing: Vector = tuple(read["spacing"])
    if "origin" not in read:
        return Grid(size, stated=spacing)
    along_d, along_h, along_w = map(tuple, read["directions"])
    geometry = Geometry(spacing, (along_d, along_h, along_w), tuple(read["origin"]))
    return Grid(size, geometry, None, *(read.get(name) for name in _IDS))


def same_spacing(spacing: Vector, other: Vector) -> bool:
    """Whether two spacings differ along no axis by more than `SPACING_ERROR` of the first."""
    return all(abs(found - length) <= SPACING_ERROR * length for length, found in zip(spacing, other, strict=True))


def apart(size: Size, geometry: Geometry, other: Geometry) -> float:
    """How far the centres of equal voxels lie apart in two geometries of one size, at most: in voxels of the first.

    It is measured along the axes of the first, and that along which it is most counts. Positions are linear in the
    index, so nothing lies further apart than one of the 8 corners.
    """
    corners = np.array(list(product(*((0, side - 1) for side in size))), dtype=np.float64)
    between = _centres(corners, other) - _centres(corners, geometry)
    along = between @ np.array(geometry.directions).T / np.array(geometry.spacing)
    return float(np.abs(along).max())


def _centres(indices: npt.NDArray[np.float64], geometry: Geometry) -> npt.NDArray[np.float64]:
    return np.asarray(indices @ geometry.steps + np.array(geometry.origin))


def largest_angle(cosines: npt.NDArray[np.float64]) -> float:
    """In degrees, of some between lines, by their cosines."""
    return math.degrees(math.acos(min(1.0, float(np.abs(cosines).min()))))


def described(grid: Grid) -> str:
    """A grid in words: its size, spacing, whereto its axes run, and where its first voxel lies.

    >>> described(Grid((4, 40, 56))), described(Grid((4, 40, 56), stated=(2.5, 0.8, 0.8)))
    ('4x40x56 voxels (D, H, W) without a geometry', '4x40x56 voxels (D, H, W) of 2.5x0.8x0.8 mm without a geometry')
    """
    of = f" of {shown_spacing(grid.spacing)}" if grid.spacing else ""
    size = f"{by(grid.size)} voxels (D, H, W){of}"
    if grid.geometry is None:
        return f"{size} without a geometry"
    directions = np.array(grid.geometry.directions)
    degrees = largest_angle(np.abs(directions).max(axis=1))
    oblique = f" (oblique by {degrees:.3g} degrees)" if degrees > VISIBLE_DEGREES else ""
    origin = ", ".join(f"{one + 0.0:.6g}" for one in grid.geometry.origin)
    return f"{size}, axes to {', '.join(letters(grid.geometry))}{oblique}, first voxel at ({origin}) mm (LPS)"


def shown_spacing(spacing: Vector) -> str:
    """A spacing as people write it.

    >>> shown_spacing((2.5, 0.8, 0.8))
    '2.5x0.8x0.8 mm'
    """
    return f"{'x'.join(f'{length:.6g}' for length in spacing)} mm"
