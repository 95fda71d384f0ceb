"""Geometry: where the voxels of an array lie in the patient."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import numpy.typing as npt

from segscale.errors import UnreadableImage

Vector = tuple[float, float, float]
"""In millimetres or without a unit, to the patient's left, back and head (LPS, as DICOM has it)."""

AXES = ("D", "H", "W")
"""What the axes of an array are called, slowest first."""
LARGEST_COSINE = 1e-3
"""Between axes that stand at a right angle to each other, within 0.06 degrees: headers give directions few digits."""
UNIT_ERROR = 1e-3
"""How far from 1 a direction may be long, for the same reason."""
SMALLEST_MM, LARGEST_MM = 1e-9, 1e9
"""Beyond these a spacing or a position is a mistake, and computing with it would lose its digits."""
_FLAT = 1e-9
"""The volume between three unit vectors that lie in one plane, but for rounding."""
_LPS = np.array([-1.0, -1.0, 1.0])
"""What turns left, back and head into right, front and head, and back."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The grid of an array (D, H, W): voxel (d, h, w) has its centre at origin + sum of index x spacing x direction."""

    spacing: Vector
    """Millimetres from voxel to voxel along D, H and W; above 0."""
    directions: tuple[Vector, Vector, Vector]
    """Unit vectors in the patient along D, H and W."""
    origin: Vector
    """The centre of voxel (0, 0, 0), in millimetres."""

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """The vectors in mm (3, 3) from voxel to voxel, a row each for D, H and W."""
        return np.asarray(np.array(self.directions) * np.array(self.spacing)[:, None])


def from_steps(steps: Sequence[Sequence[float]], origin: Sequence[float], name: str) -> Geometry:
    """Of the vectors in mm from voxel to voxel along D, H and W (slowest first) and the first voxel's centre, LPS.

    Raises UnreadableImage where these are no grid of right angles: not finite, an axis without length, axes in one
    plane or sheared.
    """
    _check_positions((*steps, origin), name)
    spacing = checked_spacing([math.hypot(*step) for step in steps], name)
    return _geometry(spacing, _units(steps, spacing), origin, name)


def from_directions(
    directions: Sequence[Sequence[float]], spacing: Sequence[float], origin: Sequence[float], name: str
) -> Geometry:
    """Of unit vectors along D, H and W (slowest first), the spacing in mm along these, and the first centre, LPS.

    Raises UnreadableImage as `from_steps` does, for a spacing of 0 or less, and for directions that are not 1 long.
    """
    _check_positions((*directions, origin), name)
    checked = checked_spacing(spacing, name)
    lengths = [math.hypot(*direction) for direction in directions]
    for axis, length in zip(AXES, lengths, strict=True):
        if abs(length - 1) > UNIT_ERROR:
            raise UnreadableImage(
                f"{name}: the direction of its axis {axis} is {length:.6g} long; expected a unit vector (1 within "
                f"{UNIT_ERROR:g}): save the file again with the direction of its scanner"
            )
    return _geometry(checked, _units(directions, lengths), origin, name)


def from_ras_affine(affine: npt.ArrayLike, name: str) -> Geometry:
    """Of the matrix (4, 4) that leads from an index (w, h, d), fastest first, to mm right, front and head: of NIfTI.

    Raises UnreadableImage as `from_steps` does.
    """
    stored = np.asarray(affine, dtype=np.float64)[:3]
    _check_positions(stored.tolist(), name)  # as they are in the file
    matrix = stored * _LPS[:, None]
    return from_steps(matrix[:, 2::-1].T.tolist(), matrix[:, 3].tolist(), name)


def ras_affine(geometry: Geometry) -> npt.NDArray[np.float64]:
    """The matrix (4, 4) of NIfTI: `from_ras_affine` turned round."""
    affine = np.eye(4)
    affine[:3, :3] = geometry.steps[::-1].T * _LPS[:, None]
    affine[:3, 3] = geometry.origin * _LPS
    return affine


def checked_spacing(spacing: Sequence[float], name: str) -> Vector:
    """A spacing in mm along D, H and W; UnreadableImage where it is none: not finite, 0, negative, absurd."""
    given = _vector(spacing)
    for axis, length in zip(AXES, given, strict=True):
        if not SMALLEST_MM <= length <= LARGEST_MM:  # NaN is in no bounds
            raise UnreadableImage(
                f"{name}: the spacing of its voxels along {axis} is {length:.6g} mm; expected a number above 0 "
                f"({SMALLEST_MM:g} to {LARGEST_MM:g}): save the file again with the spacing of its scanner"
            )
    return given


def letters(geometry: Geometry) -> str:
    """Whereto the axes D, H and W run, or nearly: Left or Right, Posterior or Anterior, Superior or Inferior.

    >>> letters(Geometry((1.0, 1.0, 1.0), ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)), (0.0, 0.0, 0.0)))
    'SPR'
    """
    nearest = nearest_axes(np.array(geometry.directions))
    ways = zip(geometry.directions, nearest, strict=True)
    return "".join(("LPS" if way[axis] > 0 else "RAI")[axis] for way, axis in ways)


def nearest_axes(cosines: npt.NDArray[np.float64]) -> tuple[int, int, int]:
    """Which column of the cosines (3, 3) of angles between axes goes best with each row, every one once.

    As much of the axes as can be lies on each other then; of ways that are equally good the first one.
    """
    first, second, third = max(
        permutations(range(3)), key=lambda order: sum(abs(cosines[row, column]) for row, column in enumerate(order))
    )
    return first, second, third


def _units(vectors: Sequence[Sequence[float]], lengths: Sequence[float]) -> list[Vector]:
    return [_vector(one / length for one in vector) for vector, length in zip(vectors, lengths, strict=True)]


def _geometry(spacing: Vector, directions: Sequence[Vector], origin: Sequence[float], name: str) -> Geometry:
    first, second, third = directions
    if abs(np.linalg.det(np.array(directions))) < _FLAT:
        raise UnreadableImage(
            f"{name}: its geometry is singular: the axes D, H and W lie in one plane, along {_shown(first)}, "
            f"{_shown(second)} and {_shown(third)}; expected right angles between them: save the file again with the "
            "direction of its scanner"
        )
    for one, other in combinations(range(3), 2):
        cosine = float(np.dot(directions[one], directions[other]))
        if abs(cosine) > LARGEST_COSINE:
            raise UnreadableImage(
                f"{name}: its geometry is sheared: the axes {AXES[one]} and {AXES[other]} stand at "
                f"{math.degrees(math.acos(cosine)):.2f} degrees to each other; expected 90 (within 0.06): resample it "
                "onto a grid of right angles (a CT with a tilted gantry is straightened so)"
            )
    return Geometry(spacing, (first, second, third), _vector(origin))


def _check_positions(vectors: Sequence[Sequence[float]], name: str) -> None:
    for number in (float(number) for vector in vectors for number in vector):
        if not abs(number) <= LARGEST_MM:
            raise UnreadableImage(
                f"{name}: its geometry (direction, spacing, origin) holds {number:g}; expected finite numbers up to "
                f"{LARGEST_MM:g}: save the file again with the geometry of its scanner"
            )


def _vector(numbers: Iterable[float]) -> Vector:
    # Zeros without a sign: headers hold both, and "-0" stands in no message.
    first, second, third = (float(number) + 0.0 for number in numbers)
    return first, second, third


def _shown(vector: Vector) -> str:
    return f"({', '.join(f'{number:.4g}' for number in vector)})"
