"""Probabilities of existing predictions: floats in [0, 1], or, where asked, pictures from black, 0, to white, 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.grids import Grid
from segscale.tasks.readers.archives import NpzReader, read_member, read_member_header
from segscale.tasks.readers.arrays import NumpyReader, read_array, read_array_header
from segscale.tasks.readers.choice import NO_CHOICE, Choice
from segscale.tasks.readers.formats import reader_for
from segscale.tasks.readers.jpeg import JpegReader
from segscale.tasks.readers.picture import Reader, type_in_words
from segscale.tasks.readers.png import PngReader
from segscale.tasks.readers.tiff import TiffReader, read_tiff_array, tiff_dtype
from segscale.tasks.readers.volume import VolumeReader

ROUNDING = 1e-5
"""How far beyond 0 or 1 a probability of 32 bits or more may lie through rounding; it is then set to 0 or 1."""
HALF_ROUNDING = float(np.finfo(np.float16).eps)
"""The same of 16 bits: the distance from 1 to the next number."""
SUM_ROUNDING, HALF_SUM_ROUNDING = 2.0**-8, 2.0**-6
"""How far from 1 the channels of a distribution may sum to."""


@dataclass(frozen=True, slots=True)
class Probabilities:
    """The probabilities of a file, not yet checked: for that the caller must know which pixels count."""

    values: NDArray[Any]
    """Floats, in the shape of the file; which axis is which, the caller knows. NaN is possible."""
    rounding: float
    """How far off a value may be by the rounding of its stored type."""
    grid: Grid | None = None
    """Where its voxels lie; None of a picture and of an array, which say nothing of that."""
    notes: tuple[str, ...] = ()
    """What was passed over or assumed and has to be said, a line each, without the name of the file."""

    def sum_rounding(self, n_channels: int) -> float:
        """How far from 1 the sum over so many channels may lie by the rounding of each."""
        least = HALF_SUM_ROUNDING if self.values.dtype == np.float16 else SUM_ROUNDING
        return max(least, n_channels * self.rounding)


def stores_floats(data: bytes, name: str, choice: Choice = NO_CHOICE) -> bool:
    """Whether the file stores floats, so that it can hold probabilities rather than labels; decodes no pixels."""
    match reader_for(name, choice):
        case VolumeReader() as reader:
            return reader.value_dtype(data, name).kind == "f"
        case NumpyReader():
            return read_array_header(data, name).dtype.kind == "f"
        case NpzReader():
            return read_member_header(data, name).dtype.kind == "f"
        case TiffReader():
            return tiff_dtype(data, name).kind == "f"
    return False


def read_probabilities(data: bytes, name: str, choice: Choice = NO_CHOICE) -> Probabilities:
    """The floats of an array, a TIFF file or a volume; of integers of 8 and 16 bits the share of full scale (float32).

    Raises UnreadableImage for other types, and for JPEG, which changes the numbers near every edge.
    """
    read = _floats(data, name, choice)
    if read is not None:
        return read
    reader = reader_for(name, choice)
    header = reader.header(data, name) if isinstance(reader, VolumeReader) else None
    stored, full_scale = _shares(reader, data, name)
    if stored.dtype.kind not in "bu" or stored.dtype.itemsize > 2:
        raise UnreadableImage(
            f"{name}: values of type {type_in_words(stored.dtype)}; expected probabilities as floats from 0 to 1, or "
            "as unsigned integers of 8 or 16 bits that stand for their share of full scale"
        )
    if stored.dtype != np.bool_ and int(stored.max()) == 1:
        raise UnreadableImage(
            f"{name}: integers of 0 and 1 alone, as of a label map; as shares of full scale they would be next to "
            'nothing: set predictions.kind = "labels", or save floats'
        )
    # Rounded to the nearest, or cut off.
    shares = stored.astype(np.float32) / np.float32(full_scale)
    grid, notes = (header.grid, header.notes) if header else (None, ())
    return Probabilities(shares, max(ROUNDING, 1 / full_scale), grid, notes)


def _floats(data: bytes, name: str, choice: Choice) -> Probabilities | None:
    """The floats of a file, in its own shape; None where it stores none."""
    if not stores_floats(data, name, choice):
        return None
    grid: Grid | None = None
    notes: tuple[str, ...] = ()
    match reader_for(name, choice):
        case VolumeReader() as reader:
            volume = reader.volume(data, name)
            values, grid, notes = volume.values(name), volume.grid, volume.notes
            stored = values[..., 0] if values.shape[-1] == 1 else values
        case NumpyReader():
            stored = read_array(data, name)
        case NpzReader():
            stored = read_member(data, name)
        case _:
            stored = read_tiff_array(data, name)
    rounding = HALF_ROUNDING if stored.dtype == np.float16 else ROUNDING
    return Probabilities(_not_empty(stored, name), rounding, grid, notes)


def _shares(reader: Reader, data: bytes, name: str) -> tuple[NDArray[Any], float]:
    """Stored numbers, and the one that stands for 1."""
    if isinstance(reader, NumpyReader | NpzReader):
        stored = _not_empty(
            read_array(data, name) if isinstance(reader, NumpyReader) else read_member(data, name), name
        )
        return stored, float(np.iinfo(stored.dtype).max) if stored.dtype.kind in "iu" else 1.0
    if isinstance(reader, JpegReader):
        raise UnreadableImage(
            f"{name}: JPEG does not keep probabilities (edges blur into other numbers); expected PNG, TIFF or .npy"
        )
    if not isinstance(reader, PngReader):
        # Raised for lossy codecs, which change the numbers near every edge.
        reader.stored_values(data, name)
    picture = reader.read(data, name)
    is_grey = picture.pixels.shape[-1] == 3 and bool((picture.pixels == picture.pixels[..., :1]).all())
    return picture.pixels[..., :1] if is_grey else picture.pixels, picture.full_scale


def _not_empty(stored: NDArray[Any], name: str) -> NDArray[Any]:
    if not stored.size:
        raise UnreadableImage(f"{name}: an array without values, of shape {stored.shape}")
    return stored


def checked(read: Probabilities, counted: NDArray[np.bool_] | None, name: str) -> NDArray[np.float32]:
    """`read.values` as float32 from 0 to 1, where `counted` is broadcast over them; NaN elsewhere becomes 0.

    `counted` None counts all. Raises UnreadableImage for NaN at a counted pixel, and for numbers outside [0, 1]
    beyond rounding (logits, percentages, labels).
    """
    values = read.values
    missing = np.isnan(values) if np.isnan(values.min()) else None
    if missing is not None:
        told = missing if counted is None else missing & counted
        if told.any():
            raise UnreadableImage(f"{name}: {np.count_nonzero(told)} of {values.size} probabilities are NaN")
        values = np.where(missing, 0, values)
    lowest, highest = float(values.min()), float(values.max())
    if lowest < -read.rounding or highest > 1 + read.rounding:
        raise UnreadableImage(
            f"{name}: values from {lowest:g} to {highest:g}; expected probabilities from 0 to 1: "
            'apply the sigmoid or softmax before saving; of label maps saved as floats set predictions.kind = "labels"'
        )
    probabilities = values.astype(np.float32, copy=False)
    return np.clip(probabilities, 0, 1) if lowest < 0 or highest > 1 else probabilities
