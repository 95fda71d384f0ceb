"""The pages of a TIFF file, checked for completeness before and after a decoder has looked at them.

A cut-off TIFF often opens as a shorter or a flat one, and a strip without data as zeros. Each check here closes one
of these quiet ways to lose pixels. Specification: TIFF 6.0, section 2; BigTIFF differs in field widths only.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from operator import gt
from typing import Any, Final

from segscale.errors import UnreadableImage
from segscale.tasks.readers.inflation import LARGEST_RATIO
from segscale.tasks.readers.orientation import TAG, entry_orientation
from segscale.tasks.readers.picture import DECODED_BYTES_LIMIT, check_signature
from segscale.tasks.readers.stream_sizes import claimed_size, says_its_size

_COLOR_MAP = 320
_LARGEST_RATIOS: Final = {
    6: 3072, 7: 3072,  # JPEG: 64 pixels, of four components of 12 bits at most, of a bit (Huffman coding)
    5: 2560,  # LZW: 3,838 bytes, the longest string, of 12 bits
    8: LARGEST_RATIO, 32946: LARGEST_RATIO, 50013: LARGEST_RATIO,  # Deflate
    32773: 64,  # PackBits: 128 bytes of two
    34925: 2**13,  # LZMA, which makes 0.3 bits at least of 273 bytes
    50000: 2**15, 34926: 2**15,  # Zstandard: a block of 128 KiB of four bytes
}  # fmt: skip
"""Bytes that one byte of compressed pixels can stand for, by the number of the codec."""
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True, slots=True)
class Page:
    """What each page says for itself, and a decoder often takes from the first one for all."""

    orientation: int = 0
    """1 to 8, or 0 for none."""
    palette: bytes | memoryview = b""
    """As stored, in the bytes of the file; empty for none."""


def chain_of_pages(data: bytes, name: str) -> list[Page]:
    """The pages in the chain of a TIFF file.

    UnreadableImage when the chain is cut or circular.
    """
    check_signature(data, name, _SIGNATURES, "a TIFF image")
    order = "<" if data[:2] == b"II" else ">"
    big = 0x2B in data[2:4]
    count_format, entry_bytes, offset_format = (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
    visited: set[int] = set()
    pages: list[Page] = []
    try:
        (offset,) = struct.unpack_from(offset_format, data, 8 if big else 4)
        while offset:
            if offset in visited:
                raise UnreadableImage(f"{name}: damaged TIFF, page {len(visited)} leads back to byte {offset}")
            visited.add(offset)
            (entries,) = struct.unpack_from(count_format, data, offset)
            first = offset + struct.calcsize(count_format)
            next_offset = first + entries * entry_bytes
            pages.append(_page(memoryview(data), data[first:next_offset], entry_bytes, order))
            (offset,) = struct.unpack_from(offset_format, data, next_offset)
    except (struct.error, OverflowError) as error:
        raise UnreadableImage(
            f"{name}: cut off: page directory {len(visited)} lies beyond the {len(data)} bytes of the TIFF file"
        ) from error
    if not visited:
        raise UnreadableImage(f"{name}: a TIFF file without pages")
    return pages


def _page(data: memoryview, directory: bytes, entry_bytes: int, order: str) -> Page:
    number = "Q" if entry_bytes == 20 else "I"
    orientation, palette = 0, data[:0]
    for place in range(0, len(directory) - entry_bytes + 1, entry_bytes):
        tag, kind, count = struct.unpack_from(f"{order}HH{number}", directory, place)
        value = directory[place + 4 + struct.calcsize(number) : place + entry_bytes]
        if tag == TAG:
            orientation = entry_orientation(kind, count, value, order)
        elif tag == _COLOR_MAP:
            (offset,) = struct.unpack_from(order + number, value)
            palette = data[offset : offset + 2 * count]
    return Page(orientation, palette)


def check_series(tiff: Any, page_count: int, size_bytes: int, name: str) -> None:
    """Raise UnreadableImage unless all pages of the open `tifffile.TiffFile` form one whole image.

    `page_count` is what `chain_of_pages` found, `size_bytes` the length of the file. Reduced copies of the image
    (pyramid levels) may follow it and are not read.
    """
    if len(tiff.series) != 1:
        shapes = ", ".join(str(series.shape) for series in tiff.series[:4])
        raise UnreadableImage(
            f"{name}: holds {len(tiff.series)} images of unlike shape or type ({shapes}); expected one"
        )
    series = tiff.series[0]
    for flavour, present in (("imagej", tiff.is_imagej), ("ome", tiff.is_ome)):
        if present and series.kind != flavour:
            raise UnreadableImage(f"{name}: its {flavour} description of the axes does not fit the pixels in the file")
    planes = [_planes(level) for level in series.levels]
    contiguous = page_count == 1 and series.dataoffset is not None
    if not contiguous and page_count not in (planes[0], sum(planes)):
        raise UnreadableImage(
            f"{name}: {planes[0]} planes described, {page_count} pages in the file: cut off or damaged"
        )
    segment_bytes = math.prod(series.keyframe.chunks) * series.dtype.itemsize
    if segment_bytes > DECODED_BYTES_LIMIT:
        raise UnreadableImage(
            f"{name}: claims strips or tiles of {segment_bytes} decoded bytes; expected at most {DECODED_BYTES_LIMIT}"
        )
    if contiguous and series.dataoffset + series.nbytes > size_bytes:
        raise UnreadableImage(
            f"{name}: cut off: pixels reach to byte {series.dataoffset + series.nbytes}, the file has {size_bytes}"
        )
    for index, page in enumerate(series.pages):
        if page is not None:
            _check_segments(page, index, size_bytes, name)
            _check_complete(page, series.keyframe, index, name)


def check_streams(series: Any, data: bytes, name: str) -> None:
    """Raise UnreadableImage for a strip or tile that claims to hold more than there is room for in it."""
    page = series.keyframe
    if not says_its_size(int(page.compression)):
        return
    sides = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    room = (*map(int, sides), int(page.samplesperpixel))
    for segment in segments(series, data):
        size = claimed_size(int(page.compression), segment)
        if size is not None and any(map(gt, size, room)):
            raise UnreadableImage(
                f"{name}: damaged TIFF, a strip or tile that claims {size[0]} x {size[1]} pixels of {size[2]} numbers; "
                f"expected at most {room[0]} x {room[1]} of {room[2]}"
            )


def segments(series: Any, data: bytes) -> Iterator[bytes]:
    """The compressed strips or tiles of all pages."""
    for page in series.pages:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True) if page is not None else ():
            yield data[offset : offset + count]


def _planes(series: Any) -> int:
    return int(math.prod(series.shape)) // max(1, int(math.prod(series.keyframe.shape)))


def _check_segments(page: Any, index: int, size_bytes: int, name: str) -> None:
    if not page.dataoffsets:
        raise UnreadableImage(f"{name}: page {index} of the TIFF file has no pixels")
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset <= 0 or count <= 0:
            raise UnreadableImage(f"{name}: page {index} has an empty strip or tile; expected every pixel to be stored")
        if offset + count > size_bytes:
            raise UnreadableImage(
                f"{name}: cut off: pixels of page {index} reach to byte {offset + count}, the file has {size_bytes}"
            )


def _check_complete(page: Any, keyframe: Any, index: int, name: str) -> None:
    """Raise UnreadableImage for a page with fewer strips than it is made of, or too few bytes for what these claim."""
    expected, found = int(math.prod(keyframe.chunked)), len(page.dataoffsets)
    if found < expected and not keyframe.is_contiguous:
        raise UnreadableImage(
            f"{name}: cut off or damaged: page {index} has {found} of the {expected} strips or tiles of its "
            f"{keyframe.imagewidth} x {keyframe.imagelength} pixels"
        )
    ratio, stored = _LARGEST_RATIOS.get(int(keyframe.compression)), sum(page.databytecounts)
    numbers = max(
        int(math.prod(keyframe.shape)), int(math.prod(keyframe.chunks))
    )  # a tile may be larger than its image
    claimed = numbers * int(keyframe.bitspersample) // 8
    if ratio is not None and claimed > ratio * stored:
        raise UnreadableImage(
            f"{name}: {stored} compressed bytes cannot hold the {claimed} bytes of pixels that page {index} claims (at "
            f"most {ratio} for each): damaged"
        )
