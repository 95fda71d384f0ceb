"""Reference files: label maps that say what is right, read as class indices with or without their image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ContradictionError, DataError
from segscale.tasks.alignment import AS_THEY_ARE, Alignment, Volumes, aligned
from segscale.tasks.axes import by
from segscale.tasks.grids import Grid, Size
from segscale.tasks.labels import LabelRule, class_indices
from segscale.tasks.readers import LabelMap, read_label_map


@dataclass(frozen=True, slots=True)
class Place:
    """How large the reference of an image is, and where it lies."""

    size: Size | None
    """(D, H, W) of its file, or of the image that is named; None where it is what an array without either says."""
    grid: Grid | None
    """Of its file; of one that says nothing, that of the image. None of pictures and arrays alone."""
    said: tuple[tuple[str, str], ...] = ()
    """Roles, and what was done or taken for granted of their files: ends of sentences."""
    of_image: Alignment | None = None
    """What brings the pixels of the image there; None where they are in their place."""

    def also_said(self, role: str, sentences: Sequence[str]) -> Place:
        """The same with more that was done."""
        return replace(self, said=(*self.said, *((role, one) for one in sentences)))


def place_of(labels: LabelMap, image: Grid | None, name: str, volumes: Volumes = AS_THEY_ARE) -> Place:
    """The place of a reference, `image` being the grid of the image that is named; `name` is that of the image's file.

    The axes are those of the reference as they are stored. Raises DataError where the image lies on another grid.
    """
    notes = tuple(("reference", note) for note in labels.notes)
    place = place_between(labels.grid, image, name, volumes)
    return place if labels.grid is None else replace(place, said=(*notes, *place.said))


def place_between(reference: Grid | None, image: Grid | None, name: str, volumes: Volumes = AS_THEY_ARE) -> Place:
    """The same of the grids alone; `reference` is None where its file says nothing of it."""
    if reference is None:
        if image is None or image.spacing is None:
            return Place(image.size if image else None, None)
        by_shape = aligned(image, Grid(image.size), "", False, False).said
        return Place(image.size, image, tuple(("reference", one) for one in by_shape))
    if image is None:
        return Place(reference.size, reference)
    way = aligned(reference, image, name, volumes.resample, True)
    return Place(reference.size, reference, tuple(("image", one) for one in way.said), way)


def read_reference(data: bytes, name: str, rule: LabelRule, size: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """The class indices of a reference file, uint8 (D, H, W); what counts in nothing is `labels.IGNORED`.

    size: (D, H, W) of the image that it belongs to; None where no image is named: then it is what the file says.

    Raises DataError where the file cannot be used or does not fit its image, ContradictionError where the set cannot be
    what it was taken for.
    """
    return reference_of(read_label_map(data, name), name, rule, size)


def reference_of(
    labels: NDArray[Any], name: str, rule: LabelRule, size: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """The same of what `read_label_map` has read of the file."""
    try:
        return class_indices(labels, _own_size(labels, rule.n_classes, name) if size is None else size, rule, name)
    except ContradictionError as error:
        raise ContradictionError(f"dataset.label_values: reference {error}") from None


def _own_size(labels: NDArray[Any], n_classes: int, name: str) -> Size:
    """(D, H, W) of a label map of which no image is named; DataError where planes could be slices or classes.

    As over an image, axes of length 1 may stand anywhere.
    """
    if labels.ndim == 3 and labels.shape[0] == 1:
        _, height, width = labels.shape
        return 1, height, width
    squeezed = labels.squeeze()
    sides = squeezed.shape
    sizes = [_volume(sides)] if len(sides) <= 3 else []
    for axis in range(len(sides)) if 3 <= len(sides) <= 4 else ():
        # Of a flat image the middle axis is one of its sides, of a volume it may hold the planes of each slice.
        is_place = axis in (0, len(sides) - 1) or (axis, len(sides)) == (1, 4)
        if is_place and sides[axis] == n_classes and _is_one_hot(squeezed, axis):
            sizes.append(_volume(sides[:axis] + sides[axis + 1 :]))
    if len(sizes) == 1:
        return sizes[0]
    found = f"{name}: labels of shape {by(labels.shape)}"
    if not sizes:
        raise DataError(f"{found}; expected height and width, or depth, height and width, of one class a pixel")
    raise DataError(
        f"{found} could be {len(labels)} slices, or one-hot planes of {n_classes} classes; expected a file that can be "
        "read in one way: save the class of each pixel as a number, or name the images (dataset.images), whose size "
        "decides"
    )


def _volume(sides: tuple[int, ...]) -> Size:
    depth, height, width = (1,) * (3 - len(sides)) + sides
    return depth, height, width


def _is_one_hot(planes: NDArray[Any], axis: int) -> bool:
    """Whether along the axis exactly one plane is set at every pixel, and all by one value."""
    is_set = planes != 0
    return bool((np.count_nonzero(is_set, axis=axis) == 1).all()) and len(np.unique(planes[is_set])) == 1
