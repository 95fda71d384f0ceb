"""What may enter the counting of overlap, and the words for what may not."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError, DataError

SHOWN = 8
"""Offending values named in a message; more would hide the sentence."""
CODES = (np.arange(256) / 256).astype(np.float32)
"""Probabilities of uint8 codes."""
HALVES = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
"""Values of float16 by their bits."""
NEXT_HALF = np.float16(1) + np.finfo(np.float16).eps
"""The number after 1 in float16, to which a softmax may be rounded; it is taken for 1."""
NO_TABLE = np.empty(0, np.float32)
MOST_IN_BYTES = 254
"""Classes that uint8 can hold beside one value for ignored pixels and one for what is no class."""


def native_labels(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """A view of integer labels in the machine's byte order (a copy only where the order is foreign); bool as uint8."""
    _refuse_masked(labels, name)
    if labels.dtype.kind not in "biu":
        raise ArgumentError(
            f"{name}: expected class indices as integers or bool, got dtype {labels.dtype}: "
            f"cast a label map with .astype(np.uint8), pass model outputs as probabilities"
        )
    if labels.ndim not in (2, 3) or labels.size == 0:
        raise ArgumentError(
            f"{name}: expected (height, width) or (depth, height, width) with at least one pixel, "
            f"got shape {labels.shape}: pass one image at a time, as class indices without a channel axis"
        )
    return labels.view(np.uint8) if labels.dtype.kind == "b" else _native(labels)


def label_codes(labels: NDArray[Any], n_classes: int, ignore_index: int | None) -> tuple[NDArray[Any], int | None]:
    """The labels in the type that the kernels are compiled for, and the value that is ignored among them.

    A kernel is compiled anew for each type of its arguments, which takes seconds: eight types of labels become uint8
    (uint16 where there are more classes than that holds). uint8 labels are taken as they are, without a copy.
    """
    if labels.dtype == np.uint8:
        return labels, ignore_index
    code = np.uint8 if n_classes <= MOST_IN_BYTES else np.uint16
    ignored = int(np.iinfo(code).max)
    codes = labels.astype(code)
    # What is no class must not wrap around into one: the kernels find it, and it is refused by its own value.
    codes[(labels < 0) | (labels >= n_classes)] = ignored - 1
    if ignore_index is None:
        return codes, None
    codes[labels == ignore_index] = ignored
    return codes, ignored


def native_probabilities(
    probabilities: NDArray[Any], shape: tuple[int, ...], n_classes: int, threshold: float
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Probabilities for a reference of `shape`, and the table that their codes look up (empty for float32, float64).

    Two classes give the reference's shape, more classes an axis of channels more. float16 comes back as its bits.
    """
    _refuse_masked(probabilities, "probabilities")
    values = _foreground_or_channels(probabilities, shape, n_classes)
    if not 0.0 <= threshold <= 1.0:
        raise ArgumentError(f"threshold: expected a probability from 0 to 1, got {threshold!r}")
    if values.dtype == np.uint8:
        _refuse_labels(values)
        if n_classes == 2 and not (float(threshold * 256).is_integer() and threshold < 1.0):
            raise ArgumentError(
                f"threshold: uint8 probabilities hold floor(256 p), so expected a multiple of 1/256 below 1, got "
                f"{threshold!r}: choose {min(round(threshold * 256), 255)}/256, or pass float probabilities"
            )
        return values, CODES
    if values.dtype.kind != "f" or values.dtype.itemsize > 8:
        raise ArgumentError(
            f"probabilities: expected float16, float32, float64 or quantised uint8, got dtype {values.dtype}: "
            f"pass predicted class indices as label_map"
        )
    native = _native(values)
    if native.dtype == np.float16:
        within = np.minimum(native, np.float16(1)) if native.max() == NEXT_HALF else native
        return within.view(np.uint16), HALVES
    return native, NO_TABLE


def refuse_bad_labels(labels: NDArray[Any], name: str, n_classes: int, ignore_index: int | None) -> None:
    """Raise ValueError if a label is neither a class nor ignored, naming the values and what they look like."""
    values = np.unique(labels)
    bad = [int(value) for value in values if not (0 <= int(value) < n_classes or int(value) == ignore_index)]
    if not bad:
        return
    ignored = "" if ignore_index is None else f" or the ignored {ignore_index}"
    hint = "label values such as 0 and 255 are mapped to class indices first" if bad == [255] else (
        "map label values to class indices first, or raise n_classes"
    )  # fmt: skip
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    raise DataError(f"{name}: expected class indices 0..{n_classes - 1}{ignored}, got also {bad[:SHOWN]}{more}: {hint}")


def refuse_bad_probabilities(probabilities: NDArray[Any], table: NDArray[np.float32]) -> None:
    """Raise ValueError if a probability is not finite or outside 0..1, with their number and the first of them."""
    values = table[probabilities] if table.size else probabilities.astype(np.float32)
    bad = ~((values >= 0) & (values <= 1))
    if not bad.any():
        return
    place = tuple(int(axis) for axis in np.unravel_index(int(bad.argmax()), bad.shape))
    raise DataError(
        f"probabilities: expected finite values from 0 to 1, got {int(bad.sum())} others, the first of them "
        f"{values[place]!s} at {place}: apply the sigmoid or softmax to logits; NaN means that the model broke down"
    )


def _foreground_or_channels(probabilities: NDArray[Any], shape: tuple[int, ...], n_classes: int) -> NDArray[Any]:
    if n_classes == 2 and probabilities.shape == shape:
        return probabilities
    if n_classes == 2 and probabilities.shape in ((*shape, 1), (*shape, 2)):
        return probabilities[..., -1]
    if n_classes > 2 and probabilities.shape == (*shape, n_classes):
        return probabilities
    expected = f"{shape}, {(*shape, 1)} or {(*shape, 2)}" if n_classes == 2 else f"{(*shape, n_classes)}"
    if shape[-1] in (1, n_classes) and probabilities.shape[:-1] == shape[:-1]:
        advice = (
            "the reference seems to have a channel axis: pass class indices, reference[..., 0] or argmax of one-hot"
        )
    elif probabilities.shape[:-1] == shape:
        advice = f"the prediction has {probabilities.shape[-1]} channels for {n_classes} classes: check n_classes"
    else:
        advice = "crop or resample the prediction to the grid of the reference, and pass one image at a time"
    raise ArgumentError(
        f"probabilities: expected shape {expected} for a reference of shape {shape} and {n_classes} classes, "
        f"got {probabilities.shape}: {advice}"
    )


def _refuse_labels(codes: NDArray[Any]) -> None:
    """Raise ArgumentError for 0 and 1 alone: as codes they would be probabilities of 0 and 1/256."""
    if int(codes.max()) == 1:
        raise ArgumentError(
            "probabilities: expected floats, or uint8 that holds floor(256 p), got integers of 0 and 1 alone: "
            "pass predicted class indices as label_map"
        )


def _refuse_masked(array: object, name: str) -> None:
    """Raise ArgumentError for what is no array, and for a masked one, whose mask the kernels would not see."""
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"{name}: expected a numpy array, got {type(array).__name__}: numpy.asarray makes one")
    if isinstance(array, np.ma.MaskedArray):
        raise ArgumentError(
            f"{name}: expected a plain array, got a masked one: to leave its masked pixels out, fill the reference "
            f"there, reference.filled(255), and say ignore_index=255"
        )


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)
