"""Measuring: the surfaces and the lesions of an image, and the rows that they are kept as."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.storage.catalog import SLICE_AXIS, SPACING
from segscale.storage.side_parts import DISTANCES, HISTOGRAMS, LESIONS, SURFACES
from segscale.tasks.distance_unit import distance_unit
from segscale.tasks.geometry import Vector
from segscale.tasks.metrics.regions import Regions
from segscale.tasks.slice_axis import axis_index

# What measures is imported by those who measure: workers that count alone start without it.
if TYPE_CHECKING:
    from segscale.tasks.lesions.inputs import Instances
    from segscale.tasks.lesions.matching import Rule

_OF_LESIONS = (
    "label", "voxels", "volume_mm3", "area_mm2", "n_overlapping", "matched", "matched_with", "dice", "iou", "distance",
)  # fmt: skip
IN_A_PLANE = {26: 8, 18: 8, 6: 4}
"""How many of a voxel's neighbours lie in its plane: of pictures these are meant."""


@dataclass(frozen=True, slots=True)
class LesionRule:
    """What a lesion is, and when it is found."""

    neighbours: int = 26
    """Of a voxel, which belong to its component; in a picture those of them that lie in a plane."""
    rule: Rule = "overlap"
    threshold: float | None = None
    """Of the rules of one to one."""
    instances: Instances = ""


@dataclass(frozen=True, slots=True)
class Measuring:
    """What is measured of each image beside the counts of its pixels."""

    tolerances: tuple[float, ...] | None
    """Of surfaces, in mm (pixels where there is no spacing); None: no surfaces."""
    lesions: LesionRule | None
    spacing_mm: Vector | None = None
    """Of files that say nothing of it."""

    @property
    def has_instances(self) -> bool:
        """Whether references number their lesions."""
        return self.lesions is not None and self.lesions.instances != ""


@dataclass(frozen=True, slots=True, eq=False)
class Structures:
    """The label maps of an image, (D, H, W)."""

    reference: NDArray[np.uint8]
    """Class indices; other values are ignored."""
    prediction: NDArray[np.uint8] | None
    """Class indices; None where there is no usable prediction."""
    n_classes: int
    regions: Regions = ()
    spacing_mm: Vector | None = None
    reference_instances: NDArray[Any] | None = None
    """Another number for each lesion; None where lesions are components."""
    prediction_instances: NDArray[Any] | None = None
    region_masks: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)
    """By class index what is predicted of a region by itself, not as the union of its classes."""

    def classes(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The index of each foreground class and region, and the classes in it."""
        for index in range(1, self.n_classes):
            yield index, (index,)
        for place, region in enumerate(self.regions):
            yield self.n_classes + place, region

    @classmethod
    def of(
        cls, reference: NDArray[np.uint8], prediction: NDArray[np.uint8] | None, n_classes: int, **more: Any
    ) -> Structures:
        """Of a prediction that holds anything where the reference is ignored: there it is background."""
        if prediction is not None and reference.max(initial=0) >= n_classes:
            counted = reference < n_classes
            prediction = np.where(counted, prediction, 0)
            own = more.get("region_masks", {})
            more["region_masks"] = {index: mask & counted for index, mask in own.items()}
        return cls(reference, prediction, n_classes, **more)

    def pair(self, index: int, members: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any], int | None]:
        """Reference and prediction of a structure that `classes` names, without axes of length 1.

        Of a class the label maps and its label, of which the measures make bits themselves; of a region masks, None.
        """
        predicted = np.zeros_like(self.reference) if self.prediction is None else self.prediction
        if len(members) == 1 and index < self.n_classes:
            return self.flat(self.reference), self.flat(predicted), index
        own = self.region_masks.get(index)
        masks = np.isin(self.reference, members), np.isin(predicted, members) if own is None else own
        return self.flat(masks[0]), self.flat(masks[1]), None

    def flat(self, values: NDArray[Any]) -> NDArray[Any]:
        """An array over the image with the axes that are measured: a plane of voxels is a picture."""
        found = values.reshape(tuple(values.shape[axis] for axis in self.axes))
        # Of pictures always row by row: distances are summed in the order in which pixels lie, and have one sum then.
        return np.ascontiguousarray(found) if found.ndim == 2 else found

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes that are measured: without those of length 1, but two at least."""
        kept = [axis for axis, side in enumerate(self.reference.shape) if side > 1]
        return tuple(sorted([*kept, *[axis for axis in (2, 1, 0) if axis not in kept]][: max(len(kept), 2)]))

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Millimetres along the axes that are measured."""
        return None if self.spacing_mm is None else tuple(self.spacing_mm[axis] for axis in self.axes)

    @property
    def worst_distance(self) -> float:
        """From one corner of the image to the other: further apart no two voxels are."""
        spacing = self.spacing_mm or (1.0, 1.0, 1.0)
        return math.hypot(*((n - 1) * step for n, step in zip(self.reference.shape, spacing, strict=True)))


def surface_rows(
    image_id: str, head: str, structures: Structures, tolerances: tuple[float, ...]
) -> list[dict[str, Any]]:
    """The rows of `storage.side_parts.SURFACES` of one image and head."""
    return [
        surface_row(image_id, head, index, structures, _surfaces_of(structures, index, members, tolerances))
        for index, members in structures.classes()
    ]


def surface_row(
    image_id: str, head: str, index: int, structures: Structures, values: Mapping[str, Any]
) -> dict[str, Any]:
    """One of them, of a class or region of which this was measured."""
    unit = {"distance_unit": distance_unit(structures.spacing), "worst_distance": structures.worst_distance}
    return {"image_id": image_id, "head": head, "class_index": index, **unit, **values}


def directed(from_reference: NDArray[np.float64], from_prediction: NDArray[np.float64]) -> dict[str, Any]:
    """What a row keeps of the distances of each side: how many, and their histogram."""
    from segscale.tasks.surfaces.histograms import distance_histogram

    found = [distance_histogram(one) for one in (from_reference, from_prediction)]
    histograms = [values.tolist() for one in found for values in (one.bins, one.counts)]
    borders = {"reference_border": from_reference.size, "prediction_border": from_prediction.size}
    return {**borders, **dict(zip(HISTOGRAMS, histograms, strict=True))}


def lesion_rows(image_id: str, head: str, structures: Structures, rule: LesionRule) -> list[dict[str, Any]]:
    """The rows of `storage.side_parts.LESIONS` of one image and head."""
    return [
        {"image_id": image_id, "head": head, "class_index": index, **row}
        for index, members in structures.classes()
        for row in _lesions_of(structures, index, members, rule)
    ]


def _surfaces_of(
    structures: Structures, index: int, members: tuple[int, ...], tolerances: tuple[float, ...]
) -> dict[str, Any]:
    from segscale.tasks.surfaces.distances import surface_distances

    if structures.prediction is None:
        return {}
    reference, prediction, label = structures.pair(index, members)
    # One thread, for there is a worker for each core.
    found = surface_distances(reference, prediction, structures.spacing, label=label, missing="nan", n_threads=1)
    return {
        **directed(found.from_reference, found.from_prediction),
        **{name: getattr(found, name) for name in DISTANCES},
        "nsd": [found.nsd(tolerance) for tolerance in tolerances],
        "boundary_iou": found.boundary_iou,
    }


def _lesions_of(
    structures: Structures, index: int, members: tuple[int, ...], rule: LesionRule
) -> Iterator[dict[str, Any]]:
    from segscale.tasks.lesions.lesions import lesions
    from segscale.tasks.lesions.rows import CENTROID

    reference, prediction, label = structures.pair(index, members)
    if rule.instances:
        reference = _numbered(reference, label, structures, structures.reference_instances)
        prediction = _numbered(prediction, label, structures, structures.prediction_instances)
    found = lesions(
        reference,
        prediction,
        structures.spacing,
        rule.neighbours if reference.ndim == 3 else IN_A_PLANE[rule.neighbours],
        rule.rule,
        threshold=rule.threshold,
        label=None if rule.instances else label,
        instances=rule.instances,
    )
    for side, lesions_of in (("reference", found.reference), ("prediction", found.prediction)):
        columns = [getattr(lesions_of, name).tolist() for name in _OF_LESIONS]
        centroids = lesions_of.centroid.tolist()
        for values, centroid in zip(zip(*columns, strict=True), centroids, strict=True):
            place = dict(zip(CENTROID, (math.nan, *centroid)[-len(CENTROID) :], strict=True))
            unit = {"side": side, "distance_unit": found.distance_unit}
            yield {**unit, **dict(zip(_OF_LESIONS, values, strict=True)), **place}


def _numbered(
    labels: NDArray[Any], label: int | None, structures: Structures, instances: NDArray[Any] | None
) -> NDArray[Any]:
    """The mask of a structure, or where there are instances their numbers in it."""
    mask = labels if label is None else labels == label
    if instances is None:
        return mask
    numbers = structures.flat(instances)
    return np.where(mask, numbers.astype(np.int64) if numbers.dtype.kind == "f" else numbers, 0)


@dataclass(frozen=True, slots=True)
class StackOf:
    """How a volume lies in a stack of slices."""

    axis: int = 0
    """Along which axis of the volume the slices follow one another."""
    spacing_mm: Vector | None = None
    """Along the axes of the volume."""

    def structures(
        self,
        reference: NDArray[np.uint8],
        prediction: NDArray[np.uint8] | None,
        n_classes: int,
        regions: Regions,
        instances: NDArray[Any] | None = None,
    ) -> Structures:
        """What is measured of label maps (slices, H, W), with the axes of the volume again."""
        volume = np.moveaxis(reference, 0, self.axis)
        found = None if prediction is None else np.moveaxis(prediction, 0, self.axis)
        numbers = None if instances is None else np.moveaxis(instances, 0, self.axis)
        more = {"regions": regions, "spacing_mm": self.spacing_mm, "reference_instances": numbers}
        return Structures.of(volume, found, n_classes, **more)


def stacks_of_images(catalog: pd.DataFrame) -> dict[str, StackOf]:
    """How the images of a catalog lie in the slices of their shards, by their ids."""
    found = {}
    for image_id, axis, *spacing in catalog[["image_id", SLICE_AXIS, *SPACING]].itertuples(index=False, name=None):
        depth, height, width = spacing
        spacing_mm = None if math.isnan(depth + height + width) else (depth, height, width)
        found[image_id] = StackOf(axis_index(axis), spacing_mm)
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """The rows of some images of a shard."""

    surfaces: tuple[dict[str, Any], ...] = ()
    lesions: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, image_id: str, of_heads: Mapping[str, Structures], measuring: Measuring) -> Measured:
        """Measure an image as each head predicts it."""
        surfaces: list[dict[str, Any]] = []
        lesions: list[dict[str, Any]] = []
        for head, structures in of_heads.items():
            if measuring.tolerances is not None:
                surfaces += surface_rows(image_id, head, structures, measuring.tolerances)
            if measuring.lesions is not None:
                lesions += lesion_rows(image_id, head, structures, measuring.lesions)
        return cls(tuple(surfaces), tuple(lesions))

    @classmethod
    def joined(cls, several: Iterable[Measured]) -> Measured:
        """The rows of several, one after the other."""
        images = tuple(several)
        surfaces, lesions = ([getattr(one, name) for one in images] for name in ("surfaces", "lesions"))
        return cls(tuple(chain.from_iterable(surfaces)), tuple(chain.from_iterable(lesions)))

    def encode(self, measuring: Measuring) -> dict[str, bytes]:
        """The side parts of the shard, by the names of their objects."""
        found: dict[str, bytes] = {}
        if measuring.tolerances is not None:
            found[SURFACES.name] = SURFACES.encode(self.surfaces)
        if measuring.lesions is not None:
            found[LESIONS.name] = LESIONS.encode(self.lesions)
        return found
