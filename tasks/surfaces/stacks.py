"""Surface scores of many images of one size in one call."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
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
from segscale.tasks.surfaces.percentiles import percentile

CHUNK_PIXELS = 1 << 22
"""Of images whose distances are held at once."""
SUMMARIES = ("hd", "hd95", "hd95_pooled", "hd95_mean_directed", "assd", "masd")
OTHER_SCORES = ("nsd", "boundary_iou")
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


@dataclass(frozen=True, slots=True, eq=False)
class StackDistances:
    """Distances of the border voxels of each pair of a stack, as `SurfaceDistances` has them of one pair."""

    from_reference: Float64Array
    """Those of one image after those of another."""
    reference_starts: NDArray[np.int64]
    """(n + 1,): where those of each image begin."""
    from_prediction: Float64Array
    prediction_starts: NDArray[np.int64]
    boundary_iou: Float64Array
    """(n,)."""
    largest: float
    """From the first to the last pixel of an image, along its diagonal."""
    distance_unit: DistanceUnit

    def images(self) -> Iterator[tuple[Float64Array, Float64Array]]:
        """The distances from the reference and from the prediction of each image."""
        sides = (self.from_reference, self.reference_starts), (self.from_prediction, self.prediction_starts)
        starts = [pairwise(starts.tolist()) for _, starts in sides]
        for one, other in zip(*starts, strict=True):
            yield self.from_reference[slice(*one)], self.from_prediction[slice(*other)]

    def scores(self, tolerances: Sequence[float], missing: Missing) -> StackScores:
        """What `stack_surface_scores` gives."""
        n, within = len(self.boundary_iou), np.array(tolerances, np.float64) * ROUNDING
        summaries, shares = np.empty((n, len(SUMMARIES))), np.empty((n, len(within)))
        # By numpy, as those of one pair: its sums have an order of their own.
        sums = np.array([(one.sum(), other.sum()) for one, other in self.images()]).reshape(n, 2)
        distances = self.from_reference, self.reference_starts, self.from_prediction, self.prediction_starts
        score_items(*distances, sums, missing_distance(missing, self.largest), within, summaries, shares)
        named = dict(zip(SUMMARIES, summaries.T, strict=True))
        return StackScores(nsd=shares, boundary_iou=self.boundary_iou, distance_unit=self.distance_unit, **named)


def stack_distances(
    references: NDArray[Any],
    predictions: NDArray[Any],
    spacing_mm: Sequence[float] | None = None,
    *,
    label: int | None = None,
) -> StackDistances:
    """Distances of each of n images by itself, all of them at once and on one thread.

    In pixels they are those of `surface_distances` to the bit, for squares of whole numbers are exact; in mm to the
    last digit, which hangs on the order of the search.
    """
    pair = mask_pair(references, predictions, spacing_mm, label, stack=True)
    one, other = border(pair.reference, solid=False), border(pair.prediction, solid=False)
    shared = n_shared(one, other)
    either = np.diff(one.item_starts) + np.diff(other.item_starts) - shared
    # Of 0 / 0 a processor makes a NaN with a sign, which is other bytes.
    overlaps = np.divide(shared, either, out=np.full(shared.shape, np.nan), where=either > 0)
    return StackDistances(
        nearest(one, other, pair.steps),
        one.item_starts,
        nearest(other, one, pair.steps),
        other.item_starts,
        overlaps,
        pair.largest,
        pair.unit,
    )


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
    size = max(1, CHUNK_PIXELS // max(1, references[0].size if n else 1))
    chunks = [slice(first, min(first + size, n)) for first in range(0, n, size)] or [slice(0, 0)]

    def score(chunk: slice) -> StackScores:
        found = stack_distances(references[chunk], predictions[chunk], spacing_mm, label=label)
        return found.scores(tolerances_mm, missing)

    with ThreadPoolExecutor(min(n_threads or os.cpu_count() or 1, len(chunks))) as pool:
        scores = list(pool.map(score, chunks))
    columns = {name: np.concatenate([getattr(one, name) for one in scores]) for name in (*SUMMARIES, *OTHER_SCORES)}
    return StackScores(**columns, distance_unit=scores[0].distance_unit)


@compiled
def score_items(
    one: Float64Array,
    one_starts: NDArray[np.int64],
    other: Float64Array,
    other_starts: NDArray[np.int64],
    sums: Float64Array,
    missing: float,
    tolerances: Float64Array,
    summaries: Any,
    shares: Any,
) -> None:
    """Fill in the summaries (items, SUMMARIES), and the shares (items, tolerances) of distances within tolerances, from
    the distances and their sums (items, 2).
    """
    for i in range(summaries.shape[0]):
        # Copies are contiguous by their type, so that all below is compiled once.
        here, there = one[one_starts[i] : one_starts[i + 1]].copy(), other[other_starts[i] : other_starts[i + 1]].copy()
        n = here.size + there.size
        if here.size == 0 or there.size == 0:
            summaries[i, :] = missing if n else np.nan
            shares[i, :] = 0.0 if n and not np.isnan(missing) else np.nan
            continue
        both = np.concatenate((here, there))
        largest = 0.0
        for k in range(n):
            largest = max(largest, both[k])
        from_one, from_other = percentile(here, 95.0), percentile(there, 95.0)
        summaries[i, 0], summaries[i, 1] = largest, max(from_one, from_other)
        summaries[i, 2], summaries[i, 3] = percentile(both, 95.0), (from_one + from_other) / 2
        summaries[i, 4] = (sums[i, 0] + sums[i, 1]) / n
        summaries[i, 5] = (sums[i, 0] / here.size + sums[i, 1] / there.size) / 2
        for t in range(tolerances.size):
            within = 0
            for k in range(n):
                within += both[k] <= tolerances[t]
            shares[i, t] = within / n
