"""Orientation: how a viewer turns stored pixels before it shows them, as EXIF and TIFF say it in tag 274.

Specification: EXIF 2.32 (CIPA DC-008), section 4.6.4; TIFF 6.0, section 8. Rows and columns change their order, no
pixel its value.
"""

import struct
from typing import Any

from numpy.typing import NDArray

TAG = 274
UPRIGHT = 1
_EXIF_PREFIX = b"Exif\0\0"
_FORMATS = {3: "H", 4: "I"}  # SHORT and LONG
# Whether rows are reversed, whether columns are, and whether rows then become columns.
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}


def known_orientation(value: int) -> int:
    """`value` where it is one of the eight orientations, else 0: viewers show such a picture as it is stored."""
    return value if value in _TURNS else 0


def entry_orientation(kind: int, count: int, value: bytes, order: str) -> int:
    """The orientation in the value of a directory entry: one SHORT or LONG; others say nothing, as for viewers."""
    if kind not in _FORMATS or count != 1:
        return 0
    return known_orientation(int(struct.unpack_from(order + _FORMATS[kind], value)[0]))


def exif_orientation(block: bytes) -> int:
    """The orientation in a block of EXIF, with or without its prefix: 1 to 8, or 0 for none.

    A damaged block says nothing, as for viewers: the pixels are whole, and other files of the set carry none either.
    """
    block = block.removeprefix(_EXIF_PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 0
    try:
        magic, directory = struct.unpack_from(f"{order}HI", block, 2)
        if magic != 42:
            return 0
        (entries,) = struct.unpack_from(f"{order}H", block, directory)
        for place in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", block, place)
            if tag == TAG:
                return entry_orientation(kind, count, block[place + 8 : place + 12], order)
    except struct.error:
        return 0
    return 0


def turned(pixels: NDArray[Any], orientation: int, axes: tuple[int, int] = (1, 2)) -> NDArray[Any]:
    """A view of `pixels` as a viewer shows them; `axes` are those of rows and of columns, all others stay."""
    if orientation not in _TURNS or orientation == UPRIGHT:
        return pixels
    rows, columns = axes
    rows_reversed, columns_reversed, swapped = _TURNS[orientation]
    places = [slice(None)] * pixels.ndim
    if rows_reversed:
        places[rows] = slice(None, None, -1)
    if columns_reversed:
        places[columns] = slice(None, None, -1)
    upright = pixels[tuple(places)]
    return upright.swapaxes(rows, columns) if swapped else upright


def turned_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Height and width as a viewer shows them."""
    return (width, height) if _TURNS.get(orientation, _TURNS[UPRIGHT])[2] else (height, width)
