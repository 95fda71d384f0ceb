"""The unit of distances, in tables and records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

DistanceUnit = Literal["mm", "px"]


def distance_unit(spacing_mm: Sequence[float] | None) -> DistanceUnit:
    """Millimetres where the voxels have a spacing, else pixels.

    >>> distance_unit((2.5, 0.8, 0.8)), distance_unit(None)
    ('mm', 'px')
    """
    return "px" if spacing_mm is None else "mm"
