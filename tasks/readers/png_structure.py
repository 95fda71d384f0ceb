"""The chunks of a PNG file, read far enough to know what a decoder must return and that nothing is missing.

Decoders fill missing rows with zeros or scale small bit depths without saying so; what is known here comes from the
file itself. Specification: PNG (Third Edition), W3C, sections 5 and 11.
"""

import struct
import zlib
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError, UnreadableImage
from segscale.tasks.readers.orientation import exif_orientation
from segscale.tasks.readers.picture import check_signature

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6

_SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
_BIT_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
_HEADER, _CHUNK_HEAD, _CHECKSUM = struct.Struct(">IIBBBBB"), struct.Struct(">I4s"), struct.Struct(">I")
_NO_PALETTE = np.empty((0, 3), np.uint8)
_ANY_LENGTH = range(2**31)
_HARMLESS: dict[bytes, Container[int]] = {
    b"IHDR": (13,),
    b"IEND": (0,),
    b"PLTE": range(3, 769, 3),
    b"gAMA": (4,),
    b"cHRM": (32,),
    b"sRGB": (1,),
    b"pHYs": (9,),
    b"sBIT": _ANY_LENGTH,
    b"bKGD": _ANY_LENGTH,
    b"tIME": _ANY_LENGTH,
    b"eXIf": _ANY_LENGTH,
    b"tEXt": _ANY_LENGTH,
}
"""Lengths of the chunks that every decoder takes or passes over."""
_TRANSPARENCY: dict[int, Container[int]] = {GREY: (2,), RGB: (6,), PALETTE: range(1, 257)}
_BLOCK_BYTES = 2**14
_ADAM7_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, slots=True)
class PngStructure:
    """What the chunks of a PNG file say about its pixels."""

    width: int
    height: int
    bit_depth: int  # bits per sample: 1, 2, 4, 8 or 16
    colour_type: int  # GREY, RGB, PALETTE, GREY_ALPHA or RGB_ALPHA
    interlaced: bool
    palette: NDArray[np.uint8]  # (entries, 3); no entries without a palette
    transparency: bytes  # the tRNS chunk: alpha per palette entry, or one colour of 16 bits per sample; b"" without
    image_data: tuple[tuple[int, int], ...]  # (start, stop) in the file of the parts of the compressed pixels
    orientation: int  # of the eXIf chunk, 1 to 8; 0 without
    significant_bits: int  # of the sBIT chunk, fewer than the bit depth; 0 without
    is_plain: bool  # not interlaced, with known chunks in their usual order: nothing in which decoders could differ

    @property
    def samples(self) -> int:
        """Stored numbers per pixel, alpha included."""
        return _SAMPLES[self.colour_type]

    @property
    def inflated_bytes(self) -> int:
        """Length of the decompressed scanlines, each with its filter byte."""
        if not self.interlaced:
            return self._scanline_bytes(self.width, self.height)
        return sum(
            self._scanline_bytes(-(-(self.width - left) // across), -(-(self.height - top) // down))
            for left, top, across, down in _ADAM7_PASSES
        )

    def _scanline_bytes(self, width: int, height: int) -> int:
        if width <= 0 or height <= 0:
            return 0
        return height * (1 + (width * self.samples * self.bit_depth + 7) // 8)


def parse_png(data: bytes, name: str) -> PngStructure:
    """Structure of a PNG file; UnreadableImage when a chunk is missing, cut off, damaged or contradicts another."""
    check_signature(data, name, (SIGNATURE,), "a PNG image")
    chunks, image_data, is_orderly = _walk_chunks(data, name)
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13 or not image_data:
        raise UnreadableImage(f"{name}: damaged PNG, without a valid IHDR chunk or without image data")
    width, height, bit_depth, colour_type, compression, filtering, interlace = _HEADER.unpack(header)
    if bit_depth not in _BIT_DEPTHS.get(colour_type, ()):
        raise UnreadableImage(
            f"{name}: damaged PNG, no such combination: {bit_depth} bits of colour type {colour_type}"
        )
    frames = int.from_bytes(chunks.get(b"acTL", b"")[:4], "big")
    if frames > 1:
        raise UnreadableImage(f"{name}: an animated PNG of {frames} frames; expected one image")
    palette_bytes = chunks.get(b"PLTE", b"") if colour_type == PALETTE else b""
    if colour_type == PALETTE and (not palette_bytes or len(palette_bytes) % 3):
        raise UnreadableImage(f"{name}: damaged PNG, {len(palette_bytes)} bytes of palette; expected 3 per entry")
    palette = np.frombuffer(palette_bytes, np.uint8).reshape(-1, 3) if palette_bytes else _NO_PALETTE
    transparency = chunks.get(b"tRNS", b"")
    return PngStructure(
        width,
        height,
        bit_depth,
        colour_type,
        interlace == 1,
        palette,
        transparency,
        image_data,
        exif_orientation(chunks[b"eXIf"]) if b"eXIf" in chunks else 0,
        _significant_bits(chunks[b"sBIT"], colour_type, bit_depth) if b"sBIT" in chunks else 0,
        is_orderly and compression == filtering == interlace == 0 and _are_harmless(chunks, colour_type),
    )


def _are_harmless(chunks: dict[bytes, bytes], colour_type: int) -> bool:
    """Whether each chunk is one that every decoder takes, or passes over, with a body of this length."""
    for kind, body in chunks.items():
        lengths = _TRANSPARENCY.get(colour_type, ()) if kind == b"tRNS" else _HARMLESS.get(kind, ())
        if len(body) not in lengths:
            return False
    return True


def _significant_bits(chunk: bytes, colour_type: int, bit_depth: int) -> int:
    """Most significant bits of a colour sample; 0 where these are all, or where the chunk makes no sense."""
    # Of a palette they are said of its entries, of which there are always 8 bits.
    if colour_type == PALETTE or len(chunk) != _SAMPLES[colour_type]:
        return 0
    colours = chunk[: 1 if colour_type in (GREY, GREY_ALPHA) else 3]
    return max(colours) if min(colours) > 0 and max(colours) < bit_depth else 0


def check_image_data(structure: PngStructure, data: bytes, name: str) -> None:
    """Raise UnreadableImage unless the compressed pixels are whole, their checksum included."""
    expected = structure.inflated_bytes
    try:
        found, is_whole = _inflate(structure, data, expected + 1)
    except zlib.error as error:
        raise UnreadableImage(f"{name}: damaged PNG, its pixels cannot be decompressed ({error})") from error
    if found < expected or (found == expected and not is_whole):
        raise UnreadableImage(f"{name}: cut off: its compressed pixels end after {found} of {expected} bytes")


def _inflate(structure: PngStructure, data: bytes, most: int) -> tuple[int, bool]:
    """How many bytes the pixels inflate to, and whether their stream ended; given up once there are `most`.

    Block by block, as all at once would need as much memory as the image itself.
    """
    stream, view, found = zlib.decompressobj(), memoryview(data), 0
    for start, stop in structure.image_data:
        for first in range(start, stop, _BLOCK_BYTES):
            if found < most:
                found += len(stream.decompress(view[first : min(first + _BLOCK_BYTES, stop)]))
    return found, stream.eof


def transparent_pixels(structure: PngStructure, stored: NDArray[Any]) -> int:
    """How many pixels of `stored` (height, width, samples) the tRNS chunk makes less than opaque."""
    if not structure.transparency or structure.colour_type not in (GREY, RGB, PALETTE):
        return 0
    if structure.colour_type == PALETTE:
        alpha = np.full(256, 255, np.uint8)
        listed = np.frombuffer(structure.transparency[:256], np.uint8)
        alpha[: len(listed)] = listed
        return int(np.count_nonzero(alpha[stored[..., 0]] != 255))
    try:
        key = np.frombuffer(structure.transparency, ">u2")[: structure.samples]
    except ValueError as error:
        raise DataError(str(error)) from None
    return int(np.count_nonzero(np.all(stored[..., : structure.samples] == key, axis=-1)))


def _walk_chunks(data: bytes, name: str) -> tuple[dict[bytes, bytes], tuple[tuple[int, int], ...], bool]:
    """Bodies of the chunks by type, and the places of the image data; every checksum is checked.

    Last comes whether the order is the one in which all decoders find the same: IHDR first, each other chunk once and
    before the image data, that in one row, and the end.
    """
    bodies: dict[bytes, bytes] = {}
    image_data: list[tuple[int, int]] = []
    position, n_bytes, view = len(SIGNATURE), len(data), memoryview(data)
    is_orderly = True
    while b"IEND" not in bodies:
        if position + 12 > n_bytes:
            raise UnreadableImage(f"{name}: cut off: the PNG ends after {n_bytes} bytes without its IEND chunk")
        length, kind = _CHUNK_HEAD.unpack_from(data, position)
        start, stop = position + 8, position + 8 + length
        if stop + 4 > n_bytes:
            raise UnreadableImage(f"{name}: cut off: a PNG chunk reaches to byte {stop + 4}, the file has {n_bytes}")
        if zlib.crc32(view[position + 4 : stop]) != _CHECKSUM.unpack_from(data, stop)[0]:
            raise UnreadableImage(f"{name}: damaged PNG, wrong checksum of the chunk at byte {position}")
        if kind == b"IHDR" and kind in bodies:
            # Which of the two a decoder believes is its own affair.
            raise UnreadableImage(f"{name}: damaged PNG, a second header at byte {position}")
        if kind == b"IDAT":
            image_data.append((start, stop))
            is_orderly &= len(bodies) > 0
        else:
            is_orderly &= kind == b"IEND" or (
                not image_data and kind not in bodies and (kind == b"IHDR") == (not bodies)
            )
            bodies.setdefault(kind, data[start:stop])
        position = stop + 4
    return bodies, tuple(image_data), is_orderly
