"""Numpy .npy files: label maps, probabilities, and pictures whose axes leave no doubt."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.picture import (
    Header,
    Picture,
    check_signature,
    check_size,
    decoding,
    native_pixels,
    picture_dtype,
    type_in_words,
)

_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What a .npy file says about its array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        """Of all numbers."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


class NumpyReader:
    """Reader of .npy: (height, width), (depth, height, width) or (depth, height, width, channels).

    Axes of length 1 before these are passed over. An array of three axes whose last is 2 to 4 raises: it may be
    (height, width, channels), and taking it for a volume would pass unnoticed.
    """

    suffixes = (".npy",)

    def header(self, data: bytes, name: str) -> Header:
        """Shape and type from the header of the file."""
        return picture_header(read_array_header(data, name), name)

    def read(self, data: bytes, name: str) -> Picture:
        """Picture whose full scale is 1 for booleans and floats, else the largest number of the type."""
        header = self.header(data, name)
        stored = read_array(data, name)
        full_scale = float(np.iinfo(stored.dtype).max) if stored.dtype.kind in "iu" else 1.0
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which normalisation reports
            pixels = stored.reshape(header.shape).astype(header.dtype)
        return Picture(native_pixels(pixels), full_scale, None)

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """Numbers as stored."""
        stored = read_array(data, name)
        return stored.reshape(_picture_shape(stored.shape, name))

    def orientation(self, data: bytes, name: str) -> int:
        """0: the format has no such thing."""
        check_signature(data, name, (_MAGIC,), "a .npy file of numpy")
        return 0


def picture_header(array: ArrayHeader, name: str) -> Header:
    """Of the picture that an array is; UnreadableImage where its axes leave doubt, or its type cannot be kept."""
    depth, height, width, channels = _picture_shape(array.shape, name)
    return check_size(Header(depth, height, width, channels, picture_dtype(array.dtype, name)), name)


def read_array_header(data: bytes, name: str) -> ArrayHeader:
    """Shape and type of a .npy file; UnreadableImage when it is damaged, cut off or holds Python objects."""
    check_signature(data, name, (_MAGIC,), "a .npy file of numpy")
    stream = io.BytesIO(data)
    header = parse_array_header(stream, name)
    found = len(data) - stream.tell()
    if found < header.n_bytes:
        raise UnreadableImage(
            f"{name}: cut off: {found} of {header.n_bytes} bytes of shape {header.shape}, {type_in_words(header.dtype)}"
        )
    return header


def parse_array_header(stream: io.BytesIO, name: str) -> ArrayHeader:
    """The same of a stream, up to its numbers, however many of them follow."""
    with decoding(name, ".npy file"):
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject or dtype.names is not None:
        raise UnreadableImage(f"{name}: holds {type_in_words(dtype)}; expected numbers")
    return ArrayHeader(shape, dtype)


def read_array(data: bytes, name: str) -> NDArray[Any]:
    """The array of a .npy file in its own shape, C-contiguous and in native byte order; never unpickles."""
    read_array_header(data, name)
    with decoding(name, ".npy file"):
        return native_pixels(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False))


def _picture_shape(shape: tuple[int, ...], name: str) -> tuple[int, int, int, int]:
    kept = shape
    # Axes of length 1 that frameworks put before an image; (1, 3, height, width) may be colours or three planes.
    while len(kept) > 3 and kept[0] == 1 and kept[-1] > 4 and (len(kept) > 4 or not 1 < kept[1] <= 4):
        kept = kept[1:]
    match kept:
        case (height, width) | (height, width, 1):
            return 1, height, width, 1
        case (depth, height, width) if width > 4:
            return depth, height, width, 1
        case (depth, height, width, channels) if channels <= 4:
            return depth, height, width, channels
    raise UnreadableImage(
        f"{name}: array of shape {shape}; expected (height, width), (depth, height, width) with a width above 4, or "
        "(depth, height, width, channels)"
    )
