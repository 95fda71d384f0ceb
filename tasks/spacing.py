"""Spacing: what follows from the millimetres between voxels."""

from __future__ import annotations

import math

from segscale.tasks.geometry import Vector
from segscale.tasks.grids import SPACING_ERROR, Grid

MM3_IN_ML = 1000.0


def spacing_of(grid: Grid, given: Vector | None) -> Vector | None:
    """Millimetres along D, H and W: what the file says; else `given` for the data set; None where nobody says.

    What is given is a spacing and never a geometry: it gives volumes in ml and a slicing axis, and puts no file to
    another place.
    """
    return grid.spacing or given


def voxel_ml(spacing: Vector) -> float:
    """The volume of a voxel in millilitres, of a spacing in mm.

    >>> voxel_ml((2.5, 0.8, 0.5))
    0.001
    """
    return math.prod(spacing) / MM3_IN_ML


def coarsest_axis(spacing: Vector | None) -> int:
    """The axis, 0 to 2, along which voxels lie furthest apart: a volume is cut across it into its finest slices.

    The first one where several are equal (within `SPACING_ERROR`: headers of one scanner differ in the seventh digit),
    and D without a spacing.

    >>> coarsest_axis((0.8, 0.8, 3.0)), coarsest_axis((0.8, 0.8, 0.80000114)), coarsest_axis(None)
    (2, 0, 0)
    """
    if spacing is None:
        return 0
    return next(axis for axis, length in enumerate(spacing) if length >= max(spacing) * (1 - SPACING_ERROR))
