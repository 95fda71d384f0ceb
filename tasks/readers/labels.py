"""Label maps: files whose numbers are classes or instances, never brightness."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.arrays import NumpyReader, read_array
from segscale.tasks.readers.channels import single_channel
from segscale.tasks.readers.formats import reader_for
from segscale.tasks.readers.picture import native_pixels, type_in_words
from segscale.tasks.readers.tiff import TiffReader, holds_planes

_INT32 = np.iinfo(np.int32)


def read_label_map(data: bytes, name: str, missing: int | None = None) -> NDArray[Any]:
    """Label values as stored, in the integer type of the file, bool where it has one bit for each.

    The axes are depth, height and width; a .npy file of more than two keeps its own, which axis is which, the caller
    knows; channels of a TIFF file that are no colours are a fourth. Palette images of colours give their indices; small
    bit depths are not stretched; three equal channels count as one; floats are accepted where all are whole numbers, as
    int32, and NaN where it stands for `missing`. Raises UnreadableImage for coloured images, for lossy formats and for
    fractions.
    """
    labels = _stored(data, name)
    if labels.dtype.kind == "f":
        known = labels if missing is None else np.where(np.isnan(labels), missing, labels)
        return _whole_numbers(known, name)
    if labels.dtype.kind not in "biu":
        raise UnreadableImage(f"{name}: values of type {type_in_words(labels.dtype)}; expected integers")
    return native_pixels(labels)


def _stored(data: bytes, name: str) -> NDArray[Any]:
    reader = reader_for(name)
    if not isinstance(reader, NumpyReader):
        values = reader.stored_values(data, name)
        if values.shape[-1] > 1 and isinstance(reader, TiffReader) and holds_planes(data, name):
            return _equal_as_one(values)
        return single_channel(values, name)
    values = read_array(data, name)
    if not values.size:
        raise UnreadableImage(f"{name}: an array without values, of shape {values.shape}")
    if values.ndim == 4:
        return _equal_as_one(values)
    return values[np.newaxis] if values.ndim == 2 else values


def _equal_as_one(values: NDArray[Any]) -> NDArray[Any]:
    """A stack (depth, height, width, channels), or its first channel where it is a grey saved as three colours."""
    return values[..., 0] if values.shape[-1] == 3 and bool((values == values[..., :1]).all()) else values


def _whole_numbers(values: NDArray[Any], name: str) -> NDArray[np.int32]:
    whole = are_whole(values)
    if not whole.all():
        raise UnreadableImage(
            f"{name}: {np.count_nonzero(~whole)} of {values.size} values are not whole numbers of 32 bits, "
            f"for example {float(values[~whole][0])}; expected labels (probabilities are read as such)"
        )
    return native_pixels(values.astype(np.int32))


def are_whole(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where floats are whole numbers that a label can have; NaN is none."""
    with np.errstate(invalid="ignore", over="ignore"):
        whole: NDArray[np.bool_] = (np.trunc(values) == values) & (values >= _INT32.min) & (values <= _INT32.max)
    return whole
