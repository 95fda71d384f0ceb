"""The record that every reader returns, and the protocol and the one error that readers share."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segscale.errors import SegscaleError, UnreadableImage
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid

PLANE_PIXELS_LIMIT = 2**29
"""Most pixels of one plane: a slide of 20,000 x 20,000 is read, what claims more is taken for a decompression bomb."""

DECODED_BYTES_LIMIT = 2**31
"""Most decoded bytes of one file: a small file that claims more is taken for a decompression bomb."""


_OF_LOST_MEMORY = frozenset({"PngError"})
"""Errors of imagecodecs whose texts are read where libpng wrote them once: other bytes may be there by then."""


@dataclass(frozen=True, slots=True)
class Header:
    """Shape and type of the picture that `read` of the same bytes returns, known without decoding pixels."""

    depth: int  # planes; 1 for a flat picture
    height: int  # as a viewer shows it: orientations 5 to 8 change places with the width
    width: int
    channels: int  # after reading, an opaque alpha channel not counted
    dtype: str  # numpy name
    orientation: int = 0  # 1 (not turned) to 8; 0 where the file says nothing
    stated_maximum: int = 0
    """Where samples end, 2^k - 1, if the file says that it is below what their type holds; 0 where it does not.

    `readers.UNDECIDED` where only the pixels tell, to `read_stated_maximum`."""
    geometry: Geometry | None = None
    """Where the voxels lie; None where the file does not say all of it."""
    spacing_mm: tuple[float, float, float] | None = None
    """Along depth, height and width; that of `geometry`, or all that a file without one knows; None for nothing."""
    series_id: str | None = None
    """Of a DICOM series its UID, hashed."""
    frame_of_reference_id: str | None = None
    notes: tuple[str, ...] = ()
    """What was passed over or assumed and has to be said, a line each, without the name of the file."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(depth, height, width, channels)."""
        return self.depth, self.height, self.width, self.channels

    @property
    def grid(self) -> Grid:
        """Where its voxels lie, as far as the file says."""
        size = self.depth, self.height, self.width
        return Grid(size, self.geometry, self.spacing_mm, self.series_id, self.frame_of_reference_id)


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels with what is needed to give them a meaning."""

    pixels: NDArray[Any]  # (depth, height, width, channels), C-contiguous, native byte order
    full_scale: float  # stored value that means 1.0: 1, 3, 15, 255, 4095, 65535 ...; 1.0 for floats
    spacing_mm: tuple[float, ...] | None  # (depth, height, width) in millimetres; None where the format does not say


class Reader(Protocol):
    """Decodes one file format from bytes. Every method raises UnreadableImage, and nothing else, for bad bytes."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File name endings of the format: lower case, with the dot."""

    def header(self, data: bytes, name: str) -> Header:
        """Shape and type of what `read` would return."""

    def read(self, data: bytes, name: str) -> Picture:
        """The picture as it is meant to be seen: turned, palettes resolved, an opaque alpha channel dropped."""

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """Numbers of a label map, (depth, height, width, channels), turned as `read` turns them.

        A palette with colours gives its indices; a palette of greys and an image whose zero is white are the grey
        image that a viewer shows. Small bit depths are not scaled; one bit comes as bool. Transparency that belongs to
        a value (a palette entry, a colour key) is display only and ignored here; a separate alpha channel must be
        opaque. Lossy formats raise, because they do not keep label values.
        """

    def orientation(self, data: bytes, name: str) -> int:
        """What the file says of how it is to be turned, 1 (not at all) to 8; 0 where it says nothing."""


def check_signature(data: bytes, name: str, signatures: tuple[bytes, ...], format_name: str) -> None:
    """Raise UnreadableImage unless `data` starts with one of `signatures`."""
    if not data:
        raise UnreadableImage(f"{name}: the file is empty (0 bytes); expected {format_name}")
    if not data.startswith(signatures):
        begins_as = _looks_like(data)
        if begins_as == format_name:
            raise UnreadableImage(f"{name}: the first bytes of {format_name} are damaged; copy it again, not as text")
        raise UnreadableImage(
            f"{name}: not {format_name}, whatever its name says: it begins as {begins_as}; give it the ending of what "
            f"it is, or save it as {format_name}"
        )


_BEGINNINGS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"II+\0": "a TIFF image",
    b"MM\0+": "a TIFF image",
    b"\x93NUMPY": "a .npy file of numpy",
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive (.npz and Excel files are such)",
    b"\x1f\x8b": "a file packed with gzip",
}


def _looks_like(data: bytes) -> str:
    for beginning, words in _BEGINNINGS.items():
        if data.startswith(beginning):
            return words
    beginning = data[:64]
    is_text = beginning.isascii() and all(chr(byte).isprintable() or chr(byte).isspace() for byte in beginning)
    return "text" if is_text else "no format that is known here"


_WORDS_OF_KINDS = {"U": "text", "S": "text", "O": "Python objects", "V": "records", "M": "dates", "m": "durations"}


def type_in_words(dtype: np.dtype[Any]) -> str:
    """What an array holds, as messages say it: numbers by their type, all else in words."""
    return _WORDS_OF_KINDS.get(dtype.kind, dtype.name)


def check_size(header: Header, name: str) -> Header:
    """`header` itself, or UnreadableImage when a side is zero or the decoded size is beyond the limits."""
    if min(header.shape) < 1:
        raise UnreadableImage(f"{name}: no pixels: shape {header.shape} (depth, height, width, channels)")
    plane_pixels = header.height * header.width
    if plane_pixels > PLANE_PIXELS_LIMIT:
        raise UnreadableImage(
            f"{name}: claims {header.width} x {header.height} = {plane_pixels} pixels, expected at most "
            f"{PLANE_PIXELS_LIMIT}; cut larger images into parts"
        )
    decoded_bytes = plane_pixels * header.depth * header.channels * np.dtype(header.dtype).itemsize
    if decoded_bytes > DECODED_BYTES_LIMIT:
        raise UnreadableImage(
            f"{name}: claims {decoded_bytes} decoded bytes in shape {header.shape}, expected at most "
            f"{DECODED_BYTES_LIMIT}; cut larger volumes into parts"
        )
    return header


def native_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    """`pixels` C-contiguous and in native byte order, copied only where needed."""
    if pixels.flags.c_contiguous and pixels.dtype.isnative and type(pixels) is np.ndarray:
        return pixels
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def picture_dtype(dtype: np.dtype[Any], name: str) -> str:
    """Numpy name of the type in which pictures of stored type `dtype` are kept: float64 as float32, bool as uint8."""
    if dtype.kind == "b":
        return "uint8"
    if dtype.kind == "f" and dtype.itemsize == 8:
        return "float32"
    if (dtype.kind in "iu" and dtype.itemsize <= 4) or (dtype.kind == "f" and dtype.itemsize <= 4):
        return dtype.newbyteorder("=").name
    raise UnreadableImage(
        f"{name}: pixels of type {type_in_words(dtype)}; expected bool, integers of 8, 16 or 32 bits, or floats of 16, "
        "32 or 64"
    )


@contextmanager
def decoding(name: str, format_name: str) -> Iterator[None]:
    """Turn whatever a decoder raises about foreign bytes into UnreadableImage with a repeatable text.

    A mistake of ours around it stays what it is: an assertion or a name that fails in a module of this package.
    """
    try:
        yield
    except (SegscaleError, MemoryError, ImportError):
        raise  # the last two are about the machine, not about the bytes
    except Exception as error:  # decoders raise dozens of types for damaged bytes, RuntimeError and IndexError included
        if isinstance(error, AssertionError | NameError | AttributeError) and _is_ours(error):
            raise
        kind = type(error).__name__
        said = "" if kind in _OF_LOST_MEMORY else str(error)
        reason = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>|\b0x[0-9a-fA-F]{6,}\b", "(object)", said).strip()
        first_line = reason.splitlines()[0][:200] if reason else "no reason given"
        raise UnreadableImage(f"{name}: damaged or unsupported {format_name} ({kind}: {first_line})") from error


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by a line of this package, not in a library that it calls."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("segscale.")
