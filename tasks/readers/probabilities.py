"""Probabilities that some model wrote to a file: floats from 0 to 1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.arrays import NumpyReader, read_array, read_array_header
from segscale.tasks.readers.formats import reader_for
from segscale.tasks.readers.tiff import TiffReader, read_tiff_array, tiff_dtype

ROUNDING = 1e-5
"""How far beyond 0 or 1 a probability may lie through rounding (a float16 softmax); it is then set to 0 or 1."""


def holds_probabilities(data: bytes, name: str) -> bool:
    """Whether the file stores floats, so that it can hold probabilities rather than labels; decodes no pixels."""
    reader = reader_for(name)
    if isinstance(reader, NumpyReader):
        return read_array_header(data, name).dtype.kind == "f"
    return isinstance(reader, TiffReader) and tiff_dtype(data, name).kind == "f"


def read_probabilities(data: bytes, name: str) -> NDArray[np.float32]:
    """Probabilities of a .npy or TIFF file as float32, in the shape of the file; which axis is which, the caller knows.

    Raises UnreadableImage for other formats and types, for NaN, and for numbers outside [0, 1] (logits, percentages).
    """
    reader = reader_for(name)
    if isinstance(reader, NumpyReader):
        stored = read_array(data, name)
    elif isinstance(reader, TiffReader):
        stored = read_tiff_array(data, name)
    else:
        raise UnreadableImage(f"{name}: cannot hold float probabilities; expected .npy or .tif")
    if stored.dtype.kind != "f" or not stored.size:
        raise UnreadableImage(f"{name}: {stored.size} values of type {stored.dtype.name}; expected floats from 0 to 1")
    return _checked(stored, name)


def _checked(stored: NDArray[Any], name: str) -> NDArray[np.float32]:
    lowest, highest = float(stored.min()), float(stored.max())
    if np.isnan(lowest):
        raise UnreadableImage(f"{name}: {np.count_nonzero(np.isnan(stored))} of {stored.size} probabilities are NaN")
    if lowest < -ROUNDING or highest > 1 + ROUNDING:
        raise UnreadableImage(
            f"{name}: values from {lowest:g} to {highest:g}; expected probabilities from 0 to 1: "
            "apply the sigmoid or softmax before saving"
        )
    probabilities = stored.astype(np.float32, copy=False)
    return np.clip(probabilities, 0, 1) if lowest < 0 or highest > 1 else probabilities
