"""The rows of a PNG, out of compressed scanlines that were inflated as a whole: their filters undone.

Specification: PNG (Third Edition), W3C, sections 7.2 and 9.
"""

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled

NONE, SUB, UP, AVERAGE, PAETH = range(5)


@compiled
def unfilter(scanlines: NDArray[np.uint8], pixel_bytes: int, rows: NDArray[np.uint8]) -> bool:
    """Fill rows, uint8 (height, bytes), from scanlines (height, 1 + bytes), which are used up.

    False where a scanline names a filter that does not exist; the rows are void then.
    """
    for y in range(len(scanlines)):
        line, above = scanlines[y, 1:], scanlines[max(y - 1, 0), 1:]
        kind = scanlines[y, 0]
        # Above the first row are zeros.
        if y == 0 and kind == UP:
            kind = np.uint8(NONE)
        elif y == 0 and kind == PAETH:
            kind = np.uint8(SUB)
        if kind == SUB:
            _add_left(line, pixel_bytes)
        elif kind == UP:
            for i in range(line.size):
                line[i] += above[i]
        elif kind == AVERAGE:
            _add_average(line, above, pixel_bytes, y == 0)
        elif kind == PAETH:
            _add_paeth(line, above, pixel_bytes)
        elif kind != NONE:
            return False
        row = rows[y]
        for i in range(line.size):
            row[i] = line[i]
    return True


@compiled
def _add_left(line: NDArray[np.uint8], pixel_bytes: int) -> None:
    if pixel_bytes == 1:
        left = np.uint8(0)
        for i in range(line.size):
            left = np.uint8(left + line[i])
            line[i] = left
    else:
        for i in range(pixel_bytes, line.size):
            line[i] += line[i - pixel_bytes]


@compiled
def _add_average(line: NDArray[np.uint8], above: NDArray[np.uint8], pixel_bytes: int, is_first: bool) -> None:
    for i in range(line.size):
        left = np.int32(line[i - pixel_bytes]) if i >= pixel_bytes else np.int32(0)
        up = np.int32(0) if is_first else np.int32(above[i])
        line[i] += np.uint8((left + up) >> 1)


@compiled
def _add_paeth(line: NDArray[np.uint8], above: NDArray[np.uint8], pixel_bytes: int) -> None:
    for i in range(min(pixel_bytes, line.size)):
        line[i] += above[i]
    for i in range(pixel_bytes, line.size):
        left, up, corner = np.int32(line[i - pixel_bytes]), np.int32(above[i]), np.int32(above[i - pixel_bytes])
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        if to_left <= to_up and to_left <= to_corner:
            line[i] += np.uint8(left)
        elif to_up <= to_corner:
            line[i] += np.uint8(up)
        else:
            line[i] += np.uint8(corner)
