"""Label maps: files whose numbers are classes or instances, never brightness."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.grids import Grid
from segscale.tasks.readers.archives import NpzReader, read_member
from segscale.tasks.readers.arrays import NumpyReader, read_array
from segscale.tasks.readers.buffers import buffer
from segscale.tasks.readers.channels import single_channel
from segscale.tasks.readers.choice import NO_CHOICE, Choice
from segscale.tasks.readers.formats import reader_for
from segscale.tasks.readers.picture import native_pixels, type_in_words
from segscale.tasks.readers.pieces import pieces
from segscale.tasks.readers.tiff import TiffReader, holds_planes
from segscale.tasks.readers.volume import VolumeReader

_INT32 = np.iinfo(np.int32)
_LARGEST_BYTE = 255


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """What a file of labels holds."""

    values: NDArray[Any]
    """As stored, in the integer type of the file, bool where it has one bit for each."""
    grid: Grid | None
    """Where its voxels lie; None of a picture and of an array, which say nothing of that."""
    notes: tuple[str, ...] = ()
    """What was passed over or assumed and has to be said, a line each, without the name of the file."""


def read_label_map(data: bytes, name: str, missing: int | None = None) -> NDArray[Any]:
    """The values of `read_labels`, of a file that can be read in one way."""
    return read_labels(data, name, missing).values


def read_labels(
    data: bytes, name: str, missing: int | None = None, choice: Choice = NO_CHOICE, narrow: bool = False
) -> LabelMap:
    """Label values as stored, in the integer type of the file, bool where it has one bit for each.

    The axes are depth, height and width; a .npy file of more than two keeps its own, which axis is which, the caller
    knows; channels of a TIFF file that are no colours are a fourth. Palette images of colours give their indices; small
    bit depths are not stretched; three equal channels count as one; floats are accepted where all are whole numbers, as
    int32, and NaN where it stands for `missing`. With `narrow` wider types, floats among them, come as uint8 where each
    value is one, as in most label maps: whoever counts them has less to go through. Raises UnreadableImage for coloured
    images, for lossy formats and for fractions.
    """
    stored = _stored(data, name, choice)
    labels = stored.values
    as_bytes = _as_bytes(labels) if narrow else None
    if as_bytes is not None:
        return replace(stored, values=as_bytes)
    if labels.dtype.kind == "f":
        known = labels if missing is None else np.where(np.isnan(labels), missing, labels)
        return replace(stored, values=_whole_numbers(known, name))
    if labels.dtype.kind not in "biu":
        raise UnreadableImage(f"{name}: values of type {type_in_words(labels.dtype)}; expected integers")
    values = native_pixels(labels)
    return stored if values is labels else replace(stored, values=values)


def _stored(data: bytes, name: str, choice: Choice) -> LabelMap:
    match reader_for(name, choice):
        case VolumeReader() as reader:
            volume = reader.volume(data, name)
            return LabelMap(single_channel(volume.labels(name), name), volume.grid, volume.notes)
        case NumpyReader():
            return LabelMap(_of_array(read_array(data, name), name), None)
        case NpzReader():
            return LabelMap(_of_array(read_member(data, name), name), None)
        case TiffReader() as reader:
            values = reader.stored_values(data, name)
            is_stack = values.shape[-1] > 1 and holds_planes(data, name)
            return LabelMap(_equal_as_one(values) if is_stack else single_channel(values, name), None)
        case reader:
            return LabelMap(single_channel(reader.stored_values(data, name), name), None)


def _of_array(values: NDArray[Any], name: str) -> NDArray[Any]:
    if not values.size:
        raise UnreadableImage(f"{name}: an array without values, of shape {values.shape}")
    if values.ndim == 4:
        return _equal_as_one(values)
    return values[np.newaxis] if values.ndim == 2 else values


def _equal_as_one(values: NDArray[Any]) -> NDArray[Any]:
    """A stack (depth, height, width, channels), or its first channel where it is a grey saved as three colours."""
    return values[..., 0] if values.shape[-1] == 3 and bool((values == values[..., :1]).all()) else values


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Numbers of a wider type as uint8; None where one of them is none."""
    if values.dtype.kind not in "iuf" or values.dtype.itemsize == 1:
        return None
    found = buffer(values.size)
    for piece, small in zip(pieces(values), pieces(found), strict=True):
        # Of NaN neither is true.
        if not (piece.min() >= 0 and piece.max() <= _LARGEST_BYTE):
            return None
        small[:] = piece
        if piece.dtype.kind == "f" and not (small == piece).all():
            return None
    return found.reshape(values.shape)


def _whole_numbers(values: NDArray[Any], name: str) -> NDArray[np.int32]:
    n_others, example = 0, 0.0
    numbers = np.empty(values.shape, np.int32)
    for piece, out in zip(pieces(values), pieces(numbers), strict=True):
        whole = are_whole(piece)
        if whole.all():
            out[:] = piece
            continue
        example = example if n_others else float(piece[~whole][0])
        n_others += int(np.count_nonzero(~whole))
    if n_others:
        raise UnreadableImage(
            f"{name}: {n_others} of {values.size} values are not whole numbers of 32 bits, "
            f"for example {example}; expected labels (probabilities are read as such)"
        )
    return numbers


def are_whole(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where floats are whole numbers that a label can have; NaN is none."""
    with np.errstate(invalid="ignore", over="ignore"):
        whole: NDArray[np.bool_] = (np.trunc(values) == values) & (values >= _INT32.min) & (values <= _INT32.max)
    return whole
