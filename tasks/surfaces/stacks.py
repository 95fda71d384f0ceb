"""Surface scores of many images of one size in one call."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled
from segscale.tasks.distance_unit import DistanceUnit
from segscale.tasks.surfaces.borders import border, n_shared
from segscale.tasks.surfaces.distances import Missing, missing_distance
from segscale.tasks.surfaces.histograms import ROUNDING
from segscale.tasks.surfaces.masks import mask_pair
from segscale.tasks.surfaces.nearest import nearest

CHUNK_PIXELS = 1 << 22
"""Of images whose distances are held at once."""
SUMMARIES = ("hd", "hd95", "hd95_pooled", "hd95_mean_directed", "assd", "masd")
Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StackScores:
    """Summaries of the distances of each pair of a stack, defined as in `SurfaceDistances`: float64 (n,)."""

    hd: Float64Array
    hd95: Float64Array
    hd95_pooled: Float64Array
    hd95_mean_directed: Float64Array
    assd: Float64Array
    masd: Float64Array
    nsd: Float64Array
    """(n, tolerances)."""
    boundary_iou: Float64Array
    distance_unit: DistanceUnit


def stack_surface_scores(
    references: NDArray[Any],
    predictions: NDArray[Any],
    spacing_mm: Sequence[float] | None = None,
    *,
    tolerances_mm: Sequence[float] = (),
    label: int | None = None,
    missing: Missing = "worst",
    n_threads: int | None = None,
) -> StackScores:
    """Scores of each of n images by itself, references and predictions (n, height, width).

    All else is as in `surface_distances`.

    >>> references, predictions = np.zeros((2, 1, 5, 5), bool)
    >>> references[:, 2, 1] = predictions[:, 2, 3] = True
    >>> stack_surface_scores(references, predictions, spacing_mm=(1.0, 0.5)).hd
    array([1.])
    """
    references, predictions, n = np.asarray(references), np.asarray(predictions), len(references)
    tolerances = np.array(tolerances_mm, np.float64)
    columns = np.empty((n, len(SUMMARIES))), np.empty((n, len(tolerances))), np.empty(n)
    size = max(1, CHUNK_PIXELS // max(1, references[0].size if n else 1))
    chunks = [slice(first, min(first + size, n)) for first in range(0, n, size)] or [slice(0, 0)]

    def score(chunk: slice) -> DistanceUnit:
        pair = mask_pair(references[chunk], predictions[chunk], spacing_mm, label, stack=True)
        one, other = border(pair.reference, solid=False), border(pair.prediction, solid=False)
        distances = nearest(one, other, pair.steps), one.item_starts, nearest(other, one, pair.steps), other.item_starts
        summaries, shares, overlaps = (column[chunk] for column in columns)
        score_items(*distances, missing_distance(missing, pair.largest), tolerances * ROUNDING, summaries, shares)
        shared = n_shared(one, other)
        with np.errstate(invalid="ignore"):
            overlaps[:] = shared / (np.diff(one.item_starts) + np.diff(other.item_starts) - shared)
        return pair.unit

    with ThreadPoolExecutor(min(n_threads or os.cpu_count() or 1, len(chunks))) as pool:
        units = list(pool.map(score, chunks))
    summaries, shares, overlaps = columns
    named = dict(zip(SUMMARIES, summaries.T, strict=True))
    return StackScores(nsd=shares, boundary_iou=overlaps, distance_unit=units[0], **named)


@compiled
def percentile(values: Float64Array, q: float) -> Any:
    """The percentile of values (n,) as numpy has it, n not 0; they lose their order."""
    rank = (values.size - 1) * (q / 100)
    place = int(np.floor(rank))
    # Quickselect by hand: numpy's takes the compiler six seconds.
    first, last = 0, values.size - 1
    while first < last:
        pivot, i, k = values[(first + last) >> 1], first, last
        while i <= k:
            while values[i] < pivot:
                i += 1
            while values[k] > pivot:
                k -= 1
            if i <= k:
                values[i], values[k] = values[k], values[i]
                i, k = i + 1, k - 1
        first, last = (i if place >= i else first), (k if place <= k else last)
        if k < place < i:
            break
    low, share, high = values[place], rank - place, np.inf
    for i in range(place + 1, values.size):
        high = min(high, values[i])
    if share == 0:
        return low
    # From the nearer side, so that the ends are met.
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


@compiled
def largest_and_sum(values: Float64Array) -> Any:
    """Of values (n,) that are at least 0."""
    largest, total = 0.0, 0.0
    for k in range(values.size):
        largest, total = max(largest, values[k]), total + values[k]
    return largest, total


@compiled
def score_items(
    one: Float64Array,
    one_starts: NDArray[np.int64],
    other: Float64Array,
    other_starts: NDArray[np.int64],
    missing: float,
    tolerances: Float64Array,
    summaries: Any,
    shares: Any,
) -> None:
    """Fill in the summaries (items, SUMMARIES), and the shares (items, tolerances) of distances within tolerances."""
    for i in range(summaries.shape[0]):
        # Copies are contiguous by their type, so that all below is compiled once.
        here, there = one[one_starts[i] : one_starts[i + 1]].copy(), other[other_starts[i] : other_starts[i + 1]].copy()
        n = here.size + there.size
        if here.size == 0 or there.size == 0:
            summaries[i, :] = missing if n else np.nan
            shares[i, :] = 0.0 if n and not np.isnan(missing) else np.nan
            continue
        both = np.concatenate((here, there))
        (one_largest, one_sum), (other_largest, other_sum) = largest_and_sum(here), largest_and_sum(there)
        from_one, from_other = percentile(here, 95.0), percentile(there, 95.0)
        summaries[i, 0], summaries[i, 1] = max(one_largest, other_largest), max(from_one, from_other)
        summaries[i, 2], summaries[i, 3] = percentile(both, 95.0), (from_one + from_other) / 2
        summaries[i, 4] = (one_sum + other_sum) / n
        summaries[i, 5] = (one_sum / here.size + other_sum / there.size) / 2
        for t in range(tolerances.size):
            within = 0
            for k in range(n):
                within += both[k] <= tolerances[t]
            shares[i, t] = within / n
