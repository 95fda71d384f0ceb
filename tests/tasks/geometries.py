"""Geometries drawn by Hypothesis, and all 48 turns."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Size
from segscale.tasks.turns import Turn

TURNS = [Turn(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]  # type: ignore[arg-type]
EYE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
UPRIGHT = (EYE[2], EYE[1], EYE[0])
"""Directions of D, H and W to head, back and left: of an axial CT whose rows are shown as they are stored."""


def geometry_of(directions: NDArray[np.float64], spacing: tuple[float, ...], origin: tuple[float, ...]) -> Geometry:
    rows = [tuple(map(float, row)) for row in directions]
    return Geometry(tuple(map(float, spacing)), tuple(rows), tuple(map(float, origin)))  # type: ignore[arg-type]


def rotation(vector: tuple[float, float, float]) -> NDArray[np.float64]:
    """About an axis, by its length in radians."""
    return np.asarray(Rotation.from_rotvec(vector).as_matrix())


sizes = st.tuples(*[st.integers(2, 7)] * 3)
vectors = st.tuples(*[st.floats(-3, 3)] * 3)
spacings = st.tuples(*[st.floats(0.1, 9)] * 3)
origins = st.tuples(*[st.floats(-900, 900)] * 3)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Turned by any angle about any axis, with axes in any order and of any handedness."""
    turned = draw(st.permutations(range(3)))
    mirrored = draw(st.sampled_from([1.0, -1.0]))
    directions = rotation(draw(vectors))[turned] * mirrored
    return geometry_of(directions, draw(spacings), draw(origins))


def positions(geometry: Geometry, size: Size) -> NDArray[np.float64]:
    """Where each voxel lies, (D, H, W, 3): worked out axis by axis, as the docstring of `Geometry` says."""
    found = np.zeros((*size, 3)) + geometry.origin
    for axis, index in enumerate(np.indices(size)):
        found += index[..., None] * geometry.spacing[axis] * np.array(geometry.directions[axis])
    return found


def backwards(turn: Turn, values: NDArray[Any]) -> NDArray[Any]:
    """An array that `turn` puts right."""
    turned = values[tuple(slice(None, None, -1 if flip else None) for flip in turn.flips)]
    return turned.transpose(*np.argsort(turn.axes), *range(3, values.ndim))


def laid(turn: Turn, geometry: Geometry, size: Size) -> tuple[Geometry, Size]:
    """The geometry and the size of such an array, from where its voxels lie."""
    places = backwards(turn, positions(geometry, size))
    first = places[0, 0, 0]
    steps = [places[1, 0, 0] - first, places[0, 1, 0] - first, places[0, 0, 1] - first]
    lengths = [float(np.linalg.norm(step)) for step in steps]
    directions = np.array([step / length for step, length in zip(steps, lengths, strict=True)])
    d, h, w, _ = places.shape
    return geometry_of(directions, (lengths[0], lengths[1], lengths[2]), tuple(first)), (d, h, w)
