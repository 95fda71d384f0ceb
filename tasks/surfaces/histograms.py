"""Histograms of distances, from which any percentile and tolerance follow later.

Bins are numbers of three significant decimal digits: a distance goes into the first one that is not below it. So the
share within a tolerance of at most three digits is exact, and a percentile is off by at most 0.5 % of itself: it is
taken in the middles of bins. Bins exist from 0.00001 to 1,000,000; what is nearer than the first is in the first.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.compiled import compiled

DECADES = range(-5, 6)
EDGES = np.array([0.0, *(float(f"{digits}e{decade - 2}") for decade in DECADES for digits in range(100, 1000)), 1e6])
"""The upper end of each bin, which belongs to it. The first bin holds distances of 0 alone."""
ROUNDING = 1 + 1e-12
"""How far a distance may be above the end of a bin, or a tolerance, and is not: 3 * 0.8 is 2.4000000000000004."""
_ENDS = EDGES * ROUNDING
INFINITE = len(EDGES)
"""The bin of distances to nothing, and of those beyond the last end."""
LARGEST_ERROR = 0.005
"""Of a percentile, relative to it, from 0.00001 on."""


@dataclass(frozen=True, slots=True, eq=False)
class DistanceHistogram:
    """How many of a border's voxels lie how far from another border; only bins that hold any."""

    bins: NDArray[np.int16]
    """(n,): ascending places in `EDGES`; `INFINITE` where the other border is empty."""
    counts: NDArray[np.int64]
    """(n,): border voxels."""

    @property
    def n_voxels(self) -> int:
        return int(self.counts.sum())

    def __add__(self, other: "DistanceHistogram") -> "DistanceHistogram":
        bins, places = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, places, np.concatenate([self.counts, other.counts]))
        return DistanceHistogram(bins, counts)


def distance_histogram(distances: NDArray[np.float64]) -> DistanceHistogram:
    """Of distances (n,), which are at least 0; infinite ones are counted too."""
    counts = np.zeros(INFINITE + 1, np.int64)
    count_distances(distances, _ENDS, counts)
    bins = np.flatnonzero(counts)
    return DistanceHistogram(bins.astype(np.int16), counts[bins])


def percentile_of(histogram: DistanceHistogram, q: float) -> float:
    """The percentile by linear interpolation, to 0.5 % of itself; NaN of nothing, infinite where distances are."""
    n = histogram.n_voxels
    if not n:
        return float("nan")
    rank = (n - 1) * q / 100
    ranks = np.array([np.floor(rank), np.ceil(rank)])
    low, high = _middles()[histogram.bins[np.searchsorted(np.cumsum(histogram.counts), ranks, side="right")]]
    return float(low if low == high else low + (high - low) * (rank - ranks[0]))


def percentile_of_pair(
    from_reference: DistanceHistogram, from_prediction: DistanceHistogram, q: float, definition: str, missing: float
) -> float:
    """A percentile as `SurfaceDistances.percentile` defines it, `larger`, `pooled` or `mean_directed`, to 0.5 % of
    itself: `missing` where one side has no voxels, NaN where both have none.
    """
    if definition not in ("larger", "pooled", "mean_directed"):
        raise ArgumentError(
            f"the definition is {definition!r}; histograms know 'larger', 'pooled' and 'mean_directed', others follow"
            " from the images alone"
        )
    if not (from_reference.n_voxels and from_prediction.n_voxels):
        return missing if from_reference.n_voxels or from_prediction.n_voxels else float("nan")
    if definition == "pooled":
        return percentile_of(from_reference + from_prediction, q)
    directed = percentile_of(from_reference, q), percentile_of(from_prediction, q)
    return max(directed) if definition == "larger" else sum(directed) / 2


def nsd_of_pair(from_reference: DistanceHistogram, from_prediction: DistanceHistogram, tolerance: float) -> float:
    """The share of the voxels of both sides within a tolerance of at most three digits, exactly: 0 where one side has
    no voxels, NaN where both have none.
    """
    n = from_reference.n_voxels + from_prediction.n_voxels
    within = n_within(from_reference, tolerance) + n_within(from_prediction, tolerance)
    return within / n if n else float("nan")


def n_within(histogram: DistanceHistogram, tolerance: float) -> int:
    """How many voxels lie within the tolerance, exactly."""
    if not (0 <= tolerance <= EDGES[-1]) or float(f"{tolerance:.3g}") != tolerance or 0 < tolerance < EDGES[1]:
        raise ArgumentError(
            f"the tolerance is {tolerance}; histograms of distances know tolerances of at most three digits from"
            f" {EDGES[1]:f} to {EDGES[-1]:,.0f}, and 0: {tolerance:.3g} can be had, others from the images alone"
        )
    last = np.searchsorted(EDGES, tolerance)
    return int(histogram.counts[histogram.bins <= last].sum())


def _middles() -> NDArray[np.float64]:
    return np.concatenate([[0.0], (EDGES[:-1] + EDGES[1:]) / 2, [np.inf]])


@compiled
def count_distances(distances: NDArray[np.float64], edges: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
    """Add one to the bin (0 to the number of edges) of each distance."""
    decade, last = 0, edges.size - 1
    for i in range(distances.size):
        distance = distances[i]
        if distance > edges[last]:
            counts[last + 1] += 1
            continue
        while decade > 0 and distance <= edges[decade * 900 + 1]:
            decade -= 1
        while decade < last // 900 - 1 and distance > edges[decade * 900 + 901]:
            decade += 1
        # About where it is among the 900 bins of its decade; rounding is put right.
        first = edges[decade * 900 + 1]
        place = min(max(int((distance / first - 1) * 100), -1), 900) + decade * 900 + 1
        while edges[place] < distance:
            place += 1
        while place > 0 and edges[place - 1] >= distance:
            place -= 1
        counts[place] += 1
