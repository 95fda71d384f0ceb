"""Codecs of DICOM frames, by the UID of the transfer syntax: which keep every value, and what decodes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError, UnreadableImage
from segscale.tasks.readers.libjpeg import decode_jpeg
from segscale.tasks.readers.stream_sizes import jpeg_2000_size

NATIVE: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"})
"""Transfer syntaxes whose pixels are not compressed by themselves (one deflates the whole file)."""


_END: Final = b"\xff\xd9"
"""Ends streams of JPEG, JPEG-LS and JPEG 2000; decoders fill up with grey what lies behind a cut."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How one frame is compressed."""

    title: str
    is_lossless: bool
    """Whether every value comes back, whoever wrote the file."""
    decode: Callable[[bytes, int, int], NDArray[Any] | bytes]
    """Of the bytes of a frame, its bytes and the bytes a pixel takes: pixels, or the bytes of native ones."""
    size: Callable[[bytes], tuple[int, int]] | None
    """(rows, columns) that the stream itself claims; None where it claims nothing."""
    package: str = ""
    """The part of imagecodecs that decodes it; empty where none is needed."""


def codec_of(syntax: str, name: str) -> Codec:
    """The codec of a transfer syntax; UnreadableImage where none is kept, or a package is missing that has it."""
    codec = _CODECS.get(syntax)
    if codec is None:
        from pydicom.uid import UID_dictionary

        title = UID_dictionary[syntax][0] if syntax in UID_dictionary else "that DICOM does not know"
        raise UnreadableImage(
            f"{name}: pixels in a transfer syntax {title}; expected uncompressed ones, deflated, RLE, JPEG, JPEG-LS or "
            "JPEG 2000: transcode the file, with gdcmconv or dcmdjpeg say"
        )
    if codec.package and not _is_here(codec.package):
        raise UnreadableImage(
            f"{name}: pixels compressed with {codec.title}, which nothing here decodes: pip install imagecodecs"
        )
    return codec


def decode_frame(
    codec: Codec, frame: bytes, shape: tuple[int, int], pixel_bytes: int, name: str
) -> NDArray[Any] | bytes:
    """Pixels (rows, columns) of one frame, or the bytes of native ones; UnreadableImage for another size or damage."""
    try:
        if codec.size is not None and codec.size(frame) != shape:
            rows, columns = codec.size(frame)
            raise UnreadableImage(
                f"{name}: a frame holds {rows} x {columns} pixels; expected {shape[0]} x {shape[1]} as the header says"
            )
        if codec.size is not None and _END not in frame[-16:]:
            raise UnreadableImage(
                f"{name}: a frame of {codec.title} is cut off: no end marker in its {len(frame)} bytes"
            )
        return codec.decode(frame, shape[0] * shape[1] * pixel_bytes, pixel_bytes)
    except (UnreadableImage, MemoryError, ImportError):
        raise
    except Exception as error:  # noqa: BLE001  # each codec has errors of its own, besides struct.error and IndexError
        raise UnreadableImage(f"{name}: a damaged frame of {codec.title} ({type(error).__name__})") from None


def _is_here(package: str) -> bool:
    try:
        import imagecodecs

        return bool(getattr(imagecodecs, package).available)
    except (ImportError, AttributeError):
        return False


def _inflate_frame(frame: bytes, expected: int, _: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, expected + 2)


def _run_lengths(frame: bytes, expected: int, pixel_bytes: int) -> bytes:
    """Runs of each byte of the pixels by itself, the highest first, behind a table of where they begin."""
    import imagecodecs

    count, *offsets = struct.unpack_from("<16I", frame)
    bounds = [*offsets[:count], len(frame)]
    if count != pixel_bytes or bounds[0] < 64 or sorted(bounds) != bounds:
        raise DataError("no table of segments")
    # At most 64 bytes come of each, so that nothing has to be claimed first. (`dicomrle_decode` trusts the table.)
    runs = [imagecodecs.packbits_decode(frame[start:stop]) for start, stop in pairwise(bounds)]
    size = expected // pixel_bytes
    if pixel_bytes > 1 and not all(size <= len(run) <= size + 1 for run in runs):
        raise DataError("segments of other sizes")
    return np.stack([np.frombuffer(run, np.uint8)[:size] for run in reversed(runs)], axis=-1).tobytes()


def _jpeg(frame: bytes, *_: int) -> NDArray[Any]:
    return decode_jpeg(frame)


def _jpeg_ls(frame: bytes, *_: int) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.jpegls_decode(frame))


def _jpeg_2000(frame: bytes, *_: int) -> NDArray[Any]:
    """HTJ2K too, which is a part of JPEG 2000; `htj2k_decode` of imagecodecs passes over errors."""
    import imagecodecs

    return np.asarray(imagecodecs.jpeg2k_decode(frame))


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    """Rows and columns of the start of frame, of JPEG (C0 to CF but three) or of JPEG-LS (F7)."""
    place = 2
    while True:
        prefix, marker = frame[place], frame[place + 1]
        if prefix != 0xFF:
            raise DataError("no marker")
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack_from(">HH", frame, place + 5)
            return int(rows), int(columns)
        place += 1 if marker == 0xFF else 2 + int(struct.unpack_from(">H", frame, place + 2)[0])


def _jpeg_2000_size(frame: bytes) -> tuple[int, int]:
    """Rows and columns of the marker SIZ; one component, for which memory is taken at once."""
    rows, columns, components = jpeg_2000_size(frame)
    if components != 1:
        raise DataError("several components")
    return rows, columns


_RLE: Final = Codec("RLE", True, _run_lengths, None, "PACKBITS")
_CODECS: Final[Mapping[str, Codec]] = {
    "1.2.840.10008.1.2.5": _RLE,
    "1.2.840.10008.1.2.8.1": Codec("Deflate", True, _inflate_frame, None),
    "1.2.840.10008.1.2.4.50": Codec("JPEG", False, _jpeg, _jpeg_size, "JPEG8"),
    "1.2.840.10008.1.2.4.51": Codec("JPEG of 12 bits", False, _jpeg, _jpeg_size, "JPEG8"),
    "1.2.840.10008.1.2.4.57": Codec("lossless JPEG", True, _jpeg, _jpeg_size, "JPEG8"),
    "1.2.840.10008.1.2.4.70": Codec("lossless JPEG", True, _jpeg, _jpeg_size, "JPEG8"),
    "1.2.840.10008.1.2.4.80": Codec("lossless JPEG-LS", True, _jpeg_ls, _jpeg_size, "JPEGLS"),
    "1.2.840.10008.1.2.4.81": Codec("JPEG-LS", False, _jpeg_ls, _jpeg_size, "JPEGLS"),
    "1.2.840.10008.1.2.4.90": Codec("lossless JPEG 2000", True, _jpeg_2000, _jpeg_2000_size, "JPEG2K"),
    "1.2.840.10008.1.2.4.91": Codec("JPEG 2000", False, _jpeg_2000, _jpeg_2000_size, "JPEG2K"),
    "1.2.840.10008.1.2.4.201": Codec("lossless HTJ2K", True, _jpeg_2000, _jpeg_2000_size, "JPEG2K"),
    "1.2.840.10008.1.2.4.202": Codec("lossless HTJ2K", True, _jpeg_2000, _jpeg_2000_size, "JPEG2K"),
    "1.2.840.10008.1.2.4.203": Codec("HTJ2K", False, _jpeg_2000, _jpeg_2000_size, "JPEG2K"),
}
