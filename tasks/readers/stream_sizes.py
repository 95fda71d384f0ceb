"""Sizes of compressed images inside TIFF, as their own streams claim them: decoders take memory for these at once.

Specifications: ITU-T T.800 (JPEG 2000), ISO/IEC 18181-1 (JPEG XL), RFC 9649 (WebP), PNG (Third Edition), the Lerc2
header.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from segscale.tasks.readers.jpeg_xl import jpeg_xl_size
from segscale.tasks.readers.png_structure import SIGNATURE

Size = tuple[int, int, int]
"""Rows, columns and components; 1 of these where a stream does not say how many it has."""


def says_its_size(compression: int) -> bool:
    """Whether the codec of that number, as TIFF has it, is one of those that are looked at here."""
    return compression in _LOOKS


def claimed_size(compression: int, segment: bytes) -> Size | None:
    """What a strip or tile of a TIFF claims; None where its stream does not say it."""
    look = _LOOKS.get(compression)
    try:
        return look(segment) if look else None
    except (struct.error, ValueError, IndexError):
        return None  # its decoder says what is wrong


def jpeg_2000_size(stream: bytes) -> Size:
    """Of the marker SIZ, which is the first of a codestream; ValueError without it."""
    start = stream.index(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
    (components,) = struct.unpack_from(">H", stream, start + 40)
    return int(bottom - top), int(right - left), int(components)


def _png(segment: bytes) -> Size | None:
    if not segment.startswith(SIGNATURE):
        return None
    columns, rows = struct.unpack_from(">II", segment, 16)
    return int(rows), int(columns), 1


def _webp(segment: bytes) -> Size | None:
    kind = segment[12:16]
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", segment, 21)
        return int(bits >> 14 & 0x3FFF) + 1, int(bits & 0x3FFF) + 1, 1
    if kind == b"VP8X":
        columns, rows = (1 + int.from_bytes(segment[place : place + 3], "little") for place in (24, 27))
        return rows, columns, 1
    columns, rows = struct.unpack_from("<HH", segment, 26)
    return (int(rows & 0x3FFF), int(columns & 0x3FFF), 1) if kind == b"VP8 " else None


def _jpeg_xl(segment: bytes) -> Size | None:
    size = jpeg_xl_size(segment)
    return (*size, 1) if size else None


def _lerc(segment: bytes) -> Size | None:
    if not segment.startswith(b"Lerc2 "):  # compressed once more, or of an older version
        return None
    version = struct.unpack_from("<i", segment, 6)[0]
    rows, columns, numbers = struct.unpack_from("<iii", segment, 10 if version < 3 else 14)
    return int(rows), int(columns), int(numbers) if version > 3 else 1  # before that, one for each pixel


_LOOKS: Final[Mapping[int, Callable[[bytes], Size | None]]] = {
    33003: jpeg_2000_size,
    33004: jpeg_2000_size,
    33005: jpeg_2000_size,
    34712: jpeg_2000_size,
    34887: _lerc,
    34927: _webp,
    34933: _png,
    50001: _webp,
    50002: _jpeg_xl,
    52546: _jpeg_xl,
}
