"""The samples of an ordinary PNG, decoded at a multiple of the speed of decoders that know every kind."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.readers.png_structure import GREY, PngStructure

_LARGEST_WINDOW = 7
"""Of the head of a zlib stream: 2^(8 + 7) bytes. Of a smaller one decoders differ in whether to look back beyond it."""


def plain_samples(structure: PngStructure, data: bytes) -> NDArray[Any] | None:
    """Samples (height, width, samples), uint8 or of 16 bits uint16, as stored; None where others have to decide.

    They decide on what is interlaced, has chunks in which decoders could differ, samples of colours of 16 bits, or
    compressed pixels that are not whole and exactly as many as the header says, checksum included.
    """
    if not structure.is_plain or (structure.bit_depth == 16 and structure.colour_type != GREY):
        return None
    # numba takes half a second to load: a run that decodes nothing does without.
    import imagecodecs

    from segscale.tasks.readers.png_rows import unfilter

    stream, n_inflated = _stream(structure, data), structure.inflated_bytes
    window = stream[0] >> 4 if len(stream) else 0
    if window < _LARGEST_WINDOW and n_inflated > 1 << (8 + window):
        return None
    try:
        inflated = imagecodecs.deflate_decode(stream, out=np.empty(n_inflated, np.uint8))
    except imagecodecs.DeflateError:
        return None
    if inflated.size != n_inflated:
        return None
    height, samples = structure.height, structure.width * structure.samples
    pixel_bytes = max(1, structure.samples * structure.bit_depth // 8)
    rows = np.empty((height, samples * (2 if structure.bit_depth == 16 else 1)), np.uint8)
    if not unfilter(inflated.reshape(height, -1), pixel_bytes, structure.bit_depth, rows):
        return None
    stored: NDArray[Any] = rows.view(">u2").astype(np.uint16) if structure.bit_depth == 16 else rows
    return stored.reshape(height, structure.width, structure.samples)


def _stream(structure: PngStructure, data: bytes) -> bytes | memoryview:
    """The compressed pixels in one piece."""
    view = memoryview(data)
    parts = [view[start:stop] for start, stop in structure.image_data]
    return parts[0] if len(parts) == 1 else b"".join(parts)
