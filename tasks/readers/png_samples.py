"""The samples of an ordinary PNG, decoded at a multiple of the speed of decoders that know every kind."""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import EFFORT
from segscale.tasks.readers.png_structure import GREY, PALETTE, PngStructure

_LARGEST_WINDOW = 7
"""Of the head of a zlib stream: 2^(8 + 7) bytes. Of a smaller one decoders differ in whether to look back beyond it."""
_FILE_COST = 2**12
"""Bytes that take as long as what is done once for each file."""


def plain_samples(structure: PngStructure, data: bytes) -> NDArray[Any] | None:
    """Samples (height, width, samples), uint8 or of 16 bits uint16, as stored; None where others have to decide.

    They decide on what is interlaced, has chunks in which decoders could differ, samples of colours of 16 bits, or
    compressed pixels that are not whole and exactly as many as the header says, checksum included; and on palettes and
    samples of fewer than 8 bits, as long as the compiled loop is not worth loading.
    """
    if not structure.is_plain or (structure.bit_depth == 16 and structure.colour_type != GREY):
        return None
    if EFFORT.spend(structure.inflated_bytes + _FILE_COST):
        scanlines = _inflated(structure, data)
        return None if scanlines is None else _unfiltered(structure, scanlines)
    if structure.bit_depth < 8 or structure.colour_type == PALETTE or _inflated(structure, data) is None:
        return None
    return _without_loop(structure, data)


def _inflated(structure: PngStructure, data: bytes) -> NDArray[np.uint8] | None:
    """Scanlines (height, 1 + bytes), of which the first is the filter; None where they are not whole."""
    import imagecodecs  # others need not wait for this import

    view, n_inflated = memoryview(data), structure.inflated_bytes
    parts = [view[start:stop] for start, stop in structure.image_data]
    stream = parts[0] if len(parts) == 1 else b"".join(parts)
    window = stream[0] >> 4 if len(stream) else 0
    if window < _LARGEST_WINDOW and n_inflated > 1 << (8 + window):
        return None
    with suppress(imagecodecs.DeflateError):
        # Its types know neither views nor arrays.
        decode: Any = imagecodecs.deflate_decode
        inflated: NDArray[np.uint8] = decode(stream, out=np.empty(n_inflated, np.uint8))
        return inflated.reshape(structure.height, -1) if inflated.size == n_inflated else None
    return None


def _without_loop(structure: PngStructure, data: bytes) -> NDArray[Any] | None:
    """As libpng decodes it, which inflates a second time; None where that finds something wrong."""
    import imagecodecs

    with suppress(imagecodecs.PngError):
        stored = np.asarray(imagecodecs.png_decode(data)).reshape(structure.height, structure.width, -1)
        return stored[..., : structure.samples]  # it adds alpha where the file has a transparent colour
    return None


def _unfiltered(structure: PngStructure, scanlines: NDArray[np.uint8]) -> NDArray[Any] | None:
    """As the compiled loop decodes them; None where a filter does not exist."""
    from segscale.tasks.readers.png_rows import unfilter

    depth, samples = structure.bit_depth, structure.samples
    rows = np.empty((len(scanlines), scanlines.shape[1] - 1), np.uint8)
    if not unfilter(scanlines, max(1, samples * depth // 8), rows):
        return None
    stored: NDArray[Any] = rows
    if depth == 16:
        stored = rows.view(">u2").astype(np.uint16)
    elif depth < 8:
        stored = _unpacked(rows, depth)[:, : structure.width]
    return stored.reshape(len(scanlines), structure.width, samples)


def _unpacked(rows: NDArray[np.uint8], bit_depth: int) -> NDArray[np.uint8]:
    """Samples of 1, 2 or 4 bits as bytes; the first one of a byte has its highest bits."""
    if bit_depth == 1:
        return np.unpackbits(rows, axis=1)
    shifts = np.arange(8 - bit_depth, -1, -bit_depth, dtype=np.uint8)
    samples: NDArray[np.uint8] = (rows[:, :, np.newaxis] >> shifts) & np.uint8(2**bit_depth - 1)
    return samples.reshape(len(rows), -1)
