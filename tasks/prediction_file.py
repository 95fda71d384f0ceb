"""Prediction files: what something else predicted, read as asked and counted against a reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ContradictionError, DataError
from segscale.tasks.alignment import AS_THEY_ARE, Volumes, aligned
from segscale.tasks.grids import Grid, Size
from segscale.tasks.labels import IGNORED, LabelRule, class_indices
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.metrics.region_channels import RegionChannels
from segscale.tasks.metrics.regions import Regions, without_none
from segscale.tasks.readers import (
    LabelMap,
    Probabilities,
    are_whole,
    checked,
    read_labels,
    read_probabilities,
    stores_floats,
)
from segscale.tasks.region_pair import RegionPair, are_of_regions, channels_of_classes, region_pair

Kind = Literal["labels", "floats", "probabilities"]
"""What are probabilities rather than labels: nothing, files of floats, or all files."""
Channels = Literal["", "argmax", "independent", "regions"]


@dataclass(frozen=True, slots=True)
class Counting:
    """How predictions that something else made are read and counted."""

    threshold: float
    """Two classes: foreground where p >= threshold, compared in float32. More classes: argmax."""
    labels: LabelRule
    """Of label maps."""
    kind: Kind = "floats"
    kind_found: bool = False
    """Whether `kind` was found in files of the set; a file that contradicts it is no bad file then."""
    channels: Channels = ""
    """Of a stack of channels: one distribution that sums to 1, or as many as there are `region_channels`; whatever they
    are, the largest wins; each a foreground class of its own where it reaches the threshold; or those of regions."""
    regions: Regions = ()
    """Of class indices, counted behind the classes."""
    region_channels: RegionChannels = ()
    """What each channel is of, of a network of regions."""

    @property
    def n_counted(self) -> int:
        """Classes and regions."""
        return self.labels.n_classes + len(self.regions)

    def as_key(self) -> dict[str, Any]:
        """Itself as a part of content keys."""
        return without_none(asdict(self))


@dataclass(frozen=True, slots=True, eq=False)
class LabelPair:
    """A reference and the label map that was predicted for it, class indices of one shape, (D, H, W)."""

    reference: NDArray[np.uint8]
    """Classes 0 to C-1, or `IGNORED`."""
    label_map: NDArray[np.uint8]
    """Classes 0 to C-1."""

    def count(self, n_classes: int, regions: Regions = ()) -> OverlapCounts:
        """Their overlap."""
        return count_overlap(
            self.reference, n_classes=n_classes, label_map=self.label_map, ignore_index=IGNORED, regions=regions
        )


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityPair:
    """A reference and the probabilities that were predicted for it."""

    reference: NDArray[np.uint8]
    """As of a `LabelPair`."""
    probabilities: NDArray[np.float32]
    """(D, H, W), of the foreground of two classes, or (D, H, W, C)."""
    threshold: float

    def count(self, n_classes: int, regions: Regions = ()) -> OverlapCounts:
        """Their overlap."""
        return count_overlap(
            self.reference,
            n_classes=n_classes,
            probabilities=self.probabilities,
            threshold=self.threshold,
            ignore_index=IGNORED,
            regions=regions,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """A prediction beside its reference."""

    found: LabelPair | ProbabilityPair | RegionPair
    """Label maps may be counted with others of their shape (`tasks.pair_counts`)."""
    said: tuple[str, ...] = ()
    """What was done or taken for granted: ends of sentences that begin with the file."""
    stored: NDArray[Any] | None = None
    """Of a label map the values that its file holds."""

    def count(self, n_classes: int, regions: Regions = ()) -> OverlapCounts:
        """Their overlap."""
        return self.found.count(n_classes, regions)


def read_prediction(
    reference: NDArray[np.uint8],
    data: bytes,
    name: str,
    counting: Counting,
    grid: Grid | None = None,
    volumes: Volumes = AS_THEY_ARE,
) -> Beside:
    """A prediction file beside the class indices of a reference, (D, H, W).

    grid: where the reference lies; None of pictures and arrays.

    Raises DataError where the file cannot be used, ContradictionError where the set cannot be what it was taken for.
    """
    choice = volumes.choice.over(grid)
    floats = stores_floats(data, name, choice)
    if counting.kind == "probabilities" or (floats and counting.kind == "floats"):
        read = read_probabilities(data, name, choice)
        values, said = _on_grid(reference, grid, read, name, volumes)
        found = _of_probabilities(reference, replace(read, values=values), name, counting)
        return Beside(found, (*said, *found.said) if isinstance(found, RegionPair) else said)
    if floats and counting.kind_found:
        _check_whole(read_probabilities(data, name, choice).values, name)
    # NaN may stand where nothing counts.
    return beside(reference, read_labels(data, name, counting.labels.ignored, choice), name, counting, grid, volumes)


def beside(
    reference: NDArray[np.uint8], labels: LabelMap, name: str, counting: Counting, grid: Grid | None, volumes: Volumes
) -> Beside:
    """The same of a label map that somebody has read."""
    values, said = stored_on_grid(labels, Grid(_size(reference)), grid, name, counting.labels, volumes)
    return Beside(_label_pair(reference, values, name, counting), said, values)


def stored_on_grid(
    labels: LabelMap, of_reference: Grid, grid: Grid | None, name: str, rule: LabelRule, volumes: Volumes
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The values of a label map in the order of its reference, and what is said of that.

    of_reference: the size alone; grid: what else is known of where it lies.
    """
    if grid is None and labels.grid is None:
        return labels.values, ()
    way = aligned(grid or of_reference, labels.grid or Grid(of_reference.size), name, volumes.resample, False)
    said = (*labels.notes, *way.said)
    if labels.grid is None:
        return labels.values, said
    return way.labels(labels.values, rule.values[0] if rule.values else 0), said


def _on_grid(
    reference: NDArray[np.uint8], grid: Grid | None, read: Probabilities, name: str, volumes: Volumes
) -> tuple[NDArray[Any], tuple[str, ...]]:
    if grid is None and read.grid is None:
        return read.values, ()
    own = Grid(_size(reference))
    way = aligned(grid or own, read.grid or own, name, volumes.resample, True)
    said = (*read.notes, *way.said)
    return (read.values if read.grid is None else way.probabilities(read.values)), said


def _size(reference: NDArray[np.uint8]) -> Size:
    depth, height, width = reference.shape
    return depth, height, width


def _label_pair(reference: NDArray[np.uint8], labels: NDArray[Any], name: str, counting: Counting) -> LabelPair:
    try:
        return LabelPair(reference, _indices(reference, labels, name, counting))
    except ContradictionError as error:
        raise ContradictionError(f"predictions.label_values: prediction {error}") from None


def _indices(reference: NDArray[np.uint8], labels: NDArray[Any], name: str, counting: Counting) -> NDArray[np.uint8]:
    """The class indices of a label map that lies over a reference."""
    indices = class_indices(labels, reference.shape, counting.labels, name, "reference")
    if counting.labels.ignored is None:
        return indices
    held = indices == IGNORED
    if held.any():
        beside = int(np.count_nonzero(held & (reference != IGNORED)))
        if beside:
            raise DataError(
                f"{name}: the prediction holds the ignore_label {counting.labels.ignored} at {beside} pixels where the "
                "reference has a class; expected a class there: of a value that is a class in predictions, name all of "
                "them in predictions.label_values"
            )
        indices[held] = 0
    return indices


def _of_probabilities(
    reference: NDArray[np.uint8], read: Probabilities, name: str, counting: Counting
) -> LabelPair | ProbabilityPair | RegionPair:
    n_classes = counting.labels.n_classes
    if counting.kind_found:
        _check_no_labels(read.values, name)
    if _has_region_channels(read.values, reference.shape, name, counting):
        return region_pair(reference, read, counting.region_channels, counting.threshold, name)
    values = channels_of_classes(read.values, reference.shape, n_classes, counting.regions, name)
    counted = reference != IGNORED
    stacked = values.ndim > reference.ndim
    probabilities = checked(
        Probabilities(values, read.rounding), counted[..., np.newaxis] if stacked else counted, name
    )
    if not stacked or not counting.channels:
        if stacked:
            _check_distribution(probabilities, counted, read.sum_rounding(n_classes), name)
        return ProbabilityPair(reference, probabilities, counting.threshold)
    if counting.channels == "independent" and n_classes == 2:
        return ProbabilityPair(reference, probabilities[..., 1], counting.threshold)
    chosen = (
        probabilities.argmax(axis=-1)
        if counting.channels == "argmax"
        else _independent(probabilities, counted, counting.threshold, name)
    )
    return LabelPair(reference, chosen.astype(np.uint8))


def _has_region_channels(values: NDArray[Any], size: tuple[int, ...], name: str, counting: Counting) -> bool:
    if counting.channels or not counting.region_channels:
        return counting.channels == "regions"
    return are_of_regions(values, size, counting.labels.n_classes, len(counting.region_channels), name)


def _independent(
    probabilities: NDArray[np.float32], counted: NDArray[np.bool_], threshold: float, name: str
) -> NDArray[np.integer[Any]]:
    """The class whose channel reaches the threshold, 0 where none does."""
    reached = probabilities[..., 1:] >= np.float32(threshold)
    several = int(np.count_nonzero((np.count_nonzero(reached, axis=-1) > 1) & counted))
    if several:
        raise DataError(
            f"{name}: at {several} pixels two or more foreground channels reach the threshold; expected one class a "
            'pixel: predictions.channels = "argmax" takes the largest'
        )
    chosen: NDArray[np.integer[Any]] = np.where(reached.any(axis=-1), reached.argmax(axis=-1) + 1, 0)
    return chosen


def _check_distribution(
    probabilities: NDArray[np.float32], counted: NDArray[np.bool_], rounding: float, name: str
) -> None:
    sums = probabilities.sum(axis=-1, dtype=np.float64)
    off = int(np.count_nonzero((np.abs(sums - 1) > rounding) & counted))
    if off:
        raise DataError(
            f"{name}: its {probabilities.shape[-1]} channels sum to {sums[counted].min():.4g} to "
            f"{sums[counted].max():.4g}, at {off} of {counted.size} pixels not to 1, as a softmax does; of independent "
            'sigmoids set predictions.channels = "independent" (a class where its channel reaches the threshold) or '
            '"argmax" (the largest channel)'
        )


def _check_no_labels(values: NDArray[Any], name: str) -> None:
    highest = np.nanmax(values) if not np.isnan(values).all() else 0
    if highest > 1 and are_whole(values[~np.isnan(values)]).all():
        raise ContradictionError(
            f"{name}: whole numbers up to {highest:g}, as of label maps saved as floats, while the files looked at "
            'before hold probabilities; say which they are: predictions.kind = "labels" or "probabilities"'
        )


def _check_whole(values: NDArray[Any], name: str) -> None:
    known = values[~np.isnan(values)]
    whole = are_whole(known)
    if not whole.all():
        raise ContradictionError(
            f"{name}: values like {float(known[~whole][0]):g}, which are no whole numbers, while the files looked at "
            'before hold label maps saved as floats; say which they are: predictions.kind = "labels" or "probabilities"'
        )
