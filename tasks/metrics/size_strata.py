"""Strata by the size of the reference: bins of pixels, or of mm3 where voxels have a spacing, empty references apart,
and those whose size is not known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError

COLUMN = "reference_volume"
"""What a size is called in `group_by` and in the names of strata."""
COLUMN_MM3 = f"{COLUMN}_mm3"
"""The same in names of strata where sizes are volumes."""
LESIONS = "lesion_volume"
"""What the size of a lesion is called in `group_by`."""
LESION_COLUMNS = {"volume_mm3": f"{LESIONS}_mm3", "area_mm2": "lesion_area_mm2", "voxels": LESIONS}
"""The columns that tell it, of which the first is taken that anything is known of, and what strata are called then."""
UNKNOWN = -1
"""Size of a reference that could not be read, or whose voxels have no spacing where others have."""


def is_size(entry: str) -> bool:
    """Whether an entry of `group_by` asks for bins of sizes; any other entry is the name of a column."""
    return entry.startswith(f"{COLUMN}:") or is_lesion_size(entry)


def is_lesion_size(entry: str) -> bool:
    """Whether these are sizes of lesions: their strata are of lesions, not of images."""
    return entry.startswith(f"{LESIONS}:")


@dataclass(frozen=True, slots=True)
class SizeStrata:
    """Bins of sizes in pixels or mm3, from each edge to below the next, the last without an end."""

    edges: tuple[float, ...]
    """Above 0 and rising. What is not empty and below the first is the first bin."""

    @classmethod
    def parse(cls, entry: str) -> SizeStrata:
        """The bins of `reference_volume:0,100,1000`; ArgumentError for edges that are no rising numbers from 0.

        >>> SizeStrata.parse("reference_volume:0,100,1000").names
        ('0', '(0,100)', '[100,1000)', '[1000,inf)', 'unknown')
        """
        try:
            edges = [float(edge) for edge in entry.partition(":")[2].split(",")]
        except ValueError:
            edges = []
        rising = all(low < high for low, high in pairwise(edges))
        if not edges or not all(math.isfinite(edge) and edge >= 0 for edge in edges) or not rising:
            raise ArgumentError(
                f"group_by: expected edges in pixels (mm3 of volumes), from 0 and rising, as in "
                f"{entry.partition(':')[0]}:0,100,1000, got {entry!r}"
            )
        return cls(tuple(edge for edge in edges if edge > 0))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the strata in their order: empty references, the bins, unknown sizes."""
        edges = [_as_written(edge) for edge in (0.0, *self.edges)]
        bins = [f"{'[' if place else '('}{low},{high})"
                for place, (low, high) in enumerate(zip(edges, [*edges[1:], "inf"], strict=True))]  # fmt: skip
        return "0", *bins, "unknown"

    def places(self, sizes: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.intp]:
        """(n,) of each size its place among `names`."""
        binned = 1 + np.searchsorted(np.array(self.edges), sizes, side="right")
        return np.where(sizes == UNKNOWN, len(self.names) - 1, np.where(sizes == 0, 0, binned))


def _as_written(edge: float) -> str:
    return str(int(edge)) if edge == int(edge) else repr(edge)
