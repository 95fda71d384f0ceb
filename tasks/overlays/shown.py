"""What is shown of an image: one slice, one class, cut to what there is to see and small enough for a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.overlays.brightness import brightness

SIDE = 240
"""Pixels of a picture along its longer side, at most."""
MARGIN = 0.2
"""Of what is cut out, on each side, of its own length."""
LEAST_SIDE = 32
"""Pixels of the image that are cut out along each side, where it has as many."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class LabelStack:
    """The label maps of an image, slices first: (S, H, W)."""

    reference: NDArray[np.uint8]
    """Class indices; from `n_classes` on ignored."""
    prediction: NDArray[np.uint8]
    """Class indices; anything where the reference is ignored."""
    n_classes: int
    region_masks: Mapping[int, Mask] = field(default_factory=dict)
    """By class index what is predicted of a region by itself, not as the union of its classes."""
    pixels: NDArray[Any] | None = None
    """Of the image, (S, H, W, C); None where no pixel is to be shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One class in one slice, (H, W) each."""

    reference: Mask
    prediction: Mask
    ignored: Mask
    pixels: NDArray[np.float32] | None = None
    """0 to 1."""
    slice_index: int = 0
    """Along the slice axis of the image, from 0."""
    n_slices: int = 1


def shown_of(stack: LabelStack, index: int, members: tuple[int, ...]) -> Shown:
    """The slice of a class or region with most wrong pixels, the first of several.

    Where none is wrong it is the slice with the largest reference. index: of the class or region; members: the classes
    in it.
    """
    ignored = stack.reference >= stack.n_classes
    own = stack.region_masks.get(index)
    reference = np.isin(stack.reference, members)
    prediction = (np.isin(stack.prediction, members) if own is None else own) & ~ignored
    wrong = (reference != prediction).sum(axis=(1, 2))
    chosen = int(np.argmax(wrong if wrong.any() else reference.sum(axis=(1, 2))))
    pixels = None if stack.pixels is None else brightness(stack.pixels[chosen])
    masks = reference[chosen], prediction[chosen], ignored[chosen]
    return Shown(*masks, pixels, chosen, len(stack.reference))


def cut(shown: Shown) -> Shown:
    """The part that holds reference and prediction, with a margin; all of it where there is neither."""
    held = shown.reference | shown.prediction
    if not held.any():
        return shown
    rows, columns = (_span(np.any(held, axis=axis)) for axis in (1, 0))
    return _each(shown, lambda plane: plane[rows, columns])


def reduced(shown: Shown) -> Shown:
    """At most SIDE pixels along each side: of masks a block is set where any of its pixels is, of pixels it is their
    mean.
    """
    step = -(-max(shown.reference.shape) // SIDE)
    return shown if step == 1 else _each(shown, lambda plane: _blocks(plane, step))


def enlargement(shown: Shown) -> int:
    """How many pixels of a picture each pixel becomes along each side, at least 1."""
    height, width = shown.reference.shape
    return max(1, SIDE // max(int(height), int(width)))


def _span(held: Mask) -> slice:
    places = np.flatnonzero(held)
    first, last = int(places[0]), int(places[-1]) + 1
    margin = max(int(np.ceil(MARGIN * (last - first))), (LEAST_SIDE - (last - first) + 1) // 2, 2)
    return slice(max(0, first - margin), min(held.size, last + margin))


def _each(shown: Shown, change: Any) -> Shown:
    masks = {name: change(getattr(shown, name)) for name in ("reference", "prediction", "ignored")}
    return replace(shown, **masks, pixels=None if shown.pixels is None else change(shown.pixels))


def _blocks(plane: NDArray[Any], step: int) -> NDArray[Any]:
    """Blocks of `step` by `step` pixels as one each; those at the end may be smaller."""
    starts = [np.arange(0, side, step) for side in plane.shape]
    if plane.dtype == np.bool_:
        return np.logical_or.reduceat(np.logical_or.reduceat(plane, starts[0], axis=0), starts[1], axis=1)
    sums = np.add.reduceat(np.add.reduceat(plane.astype(np.float64), starts[0], axis=0), starts[1], axis=1)
    sizes = [np.diff(np.append(start, side)) for start, side in zip(starts, plane.shape, strict=True)]
    return (sums / np.outer(*sizes)).astype(plane.dtype)
