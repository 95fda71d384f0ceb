"""Geometry: where the voxels of an array lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass

Vector = tuple[float, float, float]
"""In millimetres or without a unit, to the patient's left, back and head (LPS, as DICOM has it)."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The grid of an array (D, H, W): voxel (d, h, w) has its centre at origin + the sum of index x spacing x direction."""

    spacing: Vector
    """Millimetres from voxel to voxel along D, H and W; above 0."""
    directions: tuple[Vector, Vector, Vector]
    """Unit vectors in the patient along D, H and W."""
    origin: Vector
    """The centre of voxel (0, 0, 0), in millimetres."""
