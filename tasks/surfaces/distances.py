"""Distances between the surfaces of two masks, under the names that the field has for their summaries."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.distance_unit import DistanceUnit
from segscale.tasks.surfaces.borders import border, n_shared
from segscale.tasks.surfaces.elements import weighted_percentile
from segscale.tasks.surfaces.histograms import ROUNDING, DistanceHistogram, distance_histogram
from segscale.tasks.surfaces.jobs import run
from segscale.tasks.surfaces.masks import MaskPair, mask_pair
from segscale.tasks.surfaces.nearest import nearest
from segscale.tasks.surfaces.percentiles import percentile

Missing = Literal["worst", "inf", "nan"]
Definition = Literal["larger", "pooled", "mean_directed", "surface_weighted"]
Distances = NDArray[np.float64]
WORTH_THREADS = 1 << 20
"""Voxels of a mask from which on threads pay."""


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """Distances between the centres of border voxels of a reference and a prediction.

    A border voxel is a voxel of the mask with a face neighbour (an edge neighbour in 2-D) outside of it or beyond the
    image. Where one mask is empty all distances are what `missing` asked for; where both are, everything is NaN.
    """

    from_reference: Distances
    """(n,): of each border voxel of the reference to the nearest one of the prediction; infinite if that is empty."""
    from_prediction: Distances
    """(m,): of each border voxel of the prediction to the nearest one of the reference; infinite if that is empty."""
    boundary_iou: float
    """Border voxels that both have, over those that any has: the Boundary IoU of Cheng et al. (CVPR 2021) with borders
    that are one voxel wide. 0 where one mask is empty, NaN where both are."""
    distance_unit: DistanceUnit
    """`mm`, or `px` if no spacing was given."""
    missing: float
    """What a distance is where one mask is empty."""
    masks: MaskPair = field(repr=False)
    """Both masks."""
    _directed: dict[float, tuple[float, float]] = field(default_factory=dict, init=False, repr=False)
    """Percentiles from the reference and from the prediction that have been asked for."""

    @property
    def hd(self) -> float:
        """Hausdorff distance: the largest of all distances."""
        return self.percentile(100)

    @property
    def hd95(self) -> float:
        """The larger one of the two directed 95th percentiles, as Metrics Reloaded and MONAI have it."""
        return self.percentile(95, "larger")

    @property
    def hd95_pooled(self) -> float:
        """The 95th percentile of the distances of both directions together, as MedPy and panoptica have it."""
        return self.percentile(95, "pooled")

    @property
    def hd95_mean_directed(self) -> float:
        """The mean of the two directed 95th percentiles."""
        return self.percentile(95, "mean_directed")

    @property
    def hd95_surface_weighted(self) -> float:
        """The larger directed 95th percentile of distances between surface elements, weighted by their area, as
        DeepMind's surface-distance has it. Other points than the border voxels: it is computed when it is asked for.
        """
        return self.percentile(95, "surface_weighted")

    @property
    def assd(self) -> float:
        """Average symmetric surface distance: the mean over the border voxels of both."""
        one, other = self.from_reference, self.from_prediction
        if not (one.size and other.size):
            return self._of_missing(self.missing)
        return float((one.sum() + other.sum()) / (one.size + other.size))

    @property
    def masd(self) -> float:
        """The mean of the two directed mean distances."""
        one, other = self.from_reference, self.from_prediction
        return float((one.mean() + other.mean()) / 2) if one.size and other.size else self._of_missing(self.missing)

    def percentile(self, q: float, definition: Definition = "larger") -> float:
        """A percentile (0 to 100) of the distances by linear interpolation, as numpy's default.

        `larger` takes the larger of the two directed percentiles, `mean_directed` their mean, `pooled` the percentile
        of the distances of both directions together; `surface_weighted` goes by surface elements and their area.
        """
        if not 0 <= q <= 100:
            raise ArgumentError(f"the percentile is {q}; expected 0 to 100")
        one, other = self.from_reference, self.from_prediction
        if definition not in get_args(Definition):
            raise ArgumentError(f"the definition is {definition!r}; expected one of {', '.join(get_args(Definition))}")
        if not (one.size and other.size):
            return self._of_missing(self.missing)
        if definition == "pooled":
            return float(percentile(np.concatenate([one, other]), float(q)))
        if definition == "surface_weighted":
            return weighted_percentile(self.masks, q)
        if q not in self._directed:
            self._directed[q] = percentile(one.copy(), float(q)), percentile(other.copy(), float(q))
        directed = self._directed[q]
        return max(directed) if definition == "larger" else sum(directed) / 2

    def nsd(self, tolerance_mm: float) -> float:
        """Normalized surface distance: the share of all border voxels within the tolerance, which is in the unit of the
        distances; rounding in the last digits counts as within. 0 where one mask is empty, NaN if `missing` is.
        """
        if not tolerance_mm >= 0:
            raise ArgumentError(f"the tolerance is {tolerance_mm}; expected 0 or more")
        if not (self.from_reference.size and self.from_prediction.size):
            return self._of_missing(self.missing if np.isnan(self.missing) else 0.0)
        within = [
            np.count_nonzero(one <= tolerance_mm * ROUNDING) for one in (self.from_reference, self.from_prediction)
        ]
        return float(sum(within) / (self.from_reference.size + self.from_prediction.size))

    def histograms(self) -> tuple[DistanceHistogram, DistanceHistogram]:
        """Of the distances from the reference, and of those from the prediction."""
        return distance_histogram(self.from_reference), distance_histogram(self.from_prediction)

    def _of_missing(self, value: float) -> float:
        """The value where one mask is empty, NaN where both are."""
        return value if self.from_reference.size or self.from_prediction.size else float("nan")


def surface_distances(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    spacing_mm: Sequence[float] | None = None,
    *,
    label: int | None = None,
    missing: Missing = "worst",
    n_threads: int | None = None,
) -> SurfaceDistances:
    """Distances between the surfaces of a reference and a prediction, (height, width) or (depth, height, width).

    Both are boolean masks, integers of 0 and 1, or label maps of which `label` is looked at. `spacing_mm` has the
    lengths of a voxel in the order of the axes; without it distances are in pixels. Where one of the two is empty,
    distances are `worst` (from the first to the last voxel of the image, along its diagonal), `inf` or `nan`.
    `n_threads`: by default all processors for masks that are worth it. Distances are float64; they do not depend on
    the threads.

    ArgumentError: shapes that differ, other types, labels of which none is named, spacing that does not fit the axes.

    >>> reference, prediction = np.zeros((2, 5, 5), bool)
    >>> reference[2, 1] = prediction[2, 3] = True
    >>> surface_distances(reference, prediction, spacing_mm=(1.0, 0.5)).hd
    1.0
    """
    if n_threads is None:
        n_threads = (os.cpu_count() or 1) if np.size(reference) >= WORTH_THREADS else 1
    pair = mask_pair(np.asarray(reference), np.asarray(prediction), spacing_mm, label, n_threads=n_threads)
    return _distances(pair, missing_distance(missing, pair.largest), n_threads)


def missing_distance(missing: Missing, largest: float) -> float:
    """What a distance is where one mask is empty, in an image whose diagonal is so long."""
    if missing not in ("worst", "inf", "nan"):
        raise ArgumentError(f"missing is {missing!r}; expected 'worst', 'inf' or 'nan'")
    return largest if missing == "worst" else float(missing)


def _distances(pair: MaskPair, missing: float, n_threads: int) -> SurfaceDistances:
    one, other = run([partial(border, rows, solid=pair.solid) for rows in (pair.reference, pair.prediction)], n_threads)
    shared = int(n_shared(one, other)[0])
    either = one.n_voxels + other.n_voxels - shared
    return SurfaceDistances(
        nearest(one, other, pair.steps, n_threads),
        nearest(other, one, pair.steps, n_threads),
        shared / either if either else float("nan"),
        pair.unit,
        missing,
        pair,
    )
