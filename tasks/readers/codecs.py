"""Codecs inside TIFF: which of them keep every value, by their number or by the head of the compressed pixels.

Only what is known to be lossless counts as such. A JPEG 2000 stream with the reversible transform may still have been
cut to a rate; that shows in its values alone. Specifications: ITU-T T.81 (JPEG), T.800 (JPEG 2000), ISO/IEC 18181-1
(JPEG XL), RFC 9649 (WebP), the Lerc2 header.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from segscale.tasks.readers.jpeg_xl import is_lossless_jpeg_xl

# Nothing, the three of CCITT, LZW, Deflate by its three numbers, PackBits, LZMA, Zstandard by its two, PNG.
_LOSSLESS = frozenset({1, 2, 3, 4, 5, 8, 32946, 50013, 32773, 34925, 34926, 50000, 34933})
_LERC_HEAD_BYTES = 64
_JP2_STREAM, _JPEG_XL_STREAMS = b"jp2c", (b"jxlc", b"jxlp")


def keeps_values(compression: int, segment: bytes) -> bool:
    """Whether a strip or tile of a TIFF, `segment`, gives back the numbers that went into it.

    False also where that is not known: another codec, or a damaged head.
    """
    if compression in _LOSSLESS:
        return True
    look = _LOOKS.get(compression)
    try:
        return look is not None and look(segment)
    except (struct.error, IndexError, ValueError, RuntimeError, zlib.error):
        return False


def is_always_lossless(compression: int) -> bool:
    """Whether no segment needs to be looked at."""
    return compression in _LOSSLESS


def _jpeg(segment: bytes) -> bool:
    """Lossless JPEG, process 14 (SOF3), without a point transform, which drops the lowest bits."""
    is_sof3, place = False, 2
    while segment[place + 1] != 0xDA:
        marker, length = struct.unpack_from(">HH", segment, place)
        is_frame = 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC)
        if is_frame and marker != 0xFFC3:
            return False
        is_sof3 = is_sof3 or marker == 0xFFC3
        place += 2 + length
    return is_sof3 and all(_point_transform(segment, scan) == 0 for scan in _scans(segment, place))


def _scans(segment: bytes, place: int) -> Iterator[int]:
    # In compressed data no FF is followed by DA.
    while place >= 0:
        yield place
        place = segment.find(b"\xff\xda", place + 2)


def _point_transform(segment: bytes, scan: int) -> int:
    length = int(struct.unpack_from(">H", segment, scan + 2)[0])
    return segment[scan + 1 + length] & 0x0F


def _jpeg_2000(segment: bytes) -> bool:
    """The reversible transform (5-3) in every default and every override of it, in all tile-parts."""
    stream = segment
    if not stream.startswith(b"\xff\x4f"):
        stream = next((body for kind, body in _boxes(segment) if kind == _JP2_STREAM), b"")
    reversible: list[bool] = []
    place = 2
    while place + 2 <= len(stream):
        (marker,) = struct.unpack_from(">H", stream, place)
        if marker == 0xFFD9:
            break
        (length,) = struct.unpack_from(">H", stream, place + 2)
        if marker == 0xFF90:  # SOT, a tile-part: its header is read, its data passed over
            (part,) = struct.unpack_from(">I", stream, place + 6)
            header = place + 2 + length
            while stream[header : header + 2] != b"\xff\x93":
                reversible += _transforms(stream, header)
                header += 2 + int(struct.unpack_from(">H", stream, header + 2)[0])
            place = place + part if part else len(stream)
        else:
            reversible += _transforms(stream, place)
            place += 2 + length
    return bool(reversible) and all(reversible)


def _transforms(stream: bytes, place: int) -> list[bool]:
    marker, length = struct.unpack_from(">HH", stream, place)
    if marker == 0xFF52:  # COD: progression, layers and mixing before the coding style
        return [stream[place + 13] == 1]
    if marker == 0xFF53:  # COC: a component's number, of one byte or two, before it
        is_short = (length - 9) == 0 or not stream[place + 5] & 1
        return [stream[place + (10 if is_short else 11)] == 1]
    return []


def _jpeg_xl(segment: bytes) -> bool:
    if segment.startswith(b"\xff\x0a"):
        return is_lossless_jpeg_xl(segment)
    for kind, body in _boxes(segment):
        if kind in _JPEG_XL_STREAMS:
            return is_lossless_jpeg_xl(body[4:] if kind == b"jxlp" else body)
    return False


def _webp(segment: bytes) -> bool:
    place, kinds = 12, []
    while place + 8 <= len(segment):
        kind, length = struct.unpack_from("<4sI", segment, place)
        kinds.append(kind)
        place += 8 + length + (length & 1)
    return b"VP8L" in kinds and b"VP8 " not in kinds and b"ANMF" not in kinds


def _lerc(segment: bytes) -> bool:
    """Integers with a tolerance below 1, floats with none; the whole may be compressed once more."""
    if segment.startswith(b"\x28\xb5\x2f\xfd"):
        import imagecodecs  # of no use to files of other kinds

        segment = bytes(imagecodecs.zstd_decode(segment))
    elif segment.startswith(b"\x78"):
        segment = zlib.decompressobj().decompress(segment, _LERC_HEAD_BYTES)
    version = struct.unpack_from("<i", segment, 6)[0] if segment.startswith(b"Lerc2 ") else 0
    if not 3 <= version <= 6:
        return False
    kind_at = 34 if version == 3 else 38
    (kind,) = struct.unpack_from("<i", segment, kind_at)
    (tolerance,) = struct.unpack_from("<d", segment, kind_at + (12 if version == 6 else 4))
    return bool(0 <= tolerance < 1 if kind < 6 else tolerance == 0)


def _boxes(segment: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of the boxes of a JP2 or JPEG XL container."""
    place = 0
    while place + 8 <= len(segment):
        length, kind = struct.unpack_from(">I4s", segment, place)
        body = place + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", segment, body)
            body += 8
        stop = place + length if length else len(segment)
        if stop <= place:
            return
        yield kind, segment[body:stop]
        place = stop


_LOOKS: Final[Mapping[int, Callable[[bytes], bool]]] = {
    7: _jpeg,
    33003: _jpeg_2000,
    33004: _jpeg_2000,
    33005: _jpeg_2000,
    34712: _jpeg_2000,
    34887: _lerc,
    34927: _webp,
    50001: _webp,
    50002: _jpeg_xl,
    52546: _jpeg_xl,
}
