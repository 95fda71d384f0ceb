"""The rows of a PNG, out of compressed scanlines that were inflated as a whole: their filters undone.

Specification: PNG (Third Edition), W3C, sections 7.2 and 9.
"""

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled

NONE, SUB, UP, AVERAGE, PAETH = range(5)


@compiled
def unfilter(scanlines: NDArray[np.uint8], pixel_bytes: int, rows: NDArray[np.uint8]) -> bool:
    """Fill rows, uint8 (height, bytes), from scanlines (height, 1 + bytes).

    False where a scanline names a filter that does not exist; the rows are void then.
    """
    nothing = np.zeros(rows.shape[1], np.uint8)
    for y in range(len(scanlines)):
        line, row = scanlines[y, 1:], rows[y]
        above = rows[y - 1] if y > 0 else nothing
        kind = scanlines[y, 0]
        if kind == NONE:
            for i in range(line.size):
                row[i] = line[i]
        elif kind == SUB:
            _add_left(line, row, pixel_bytes)
        elif kind == UP:
            for i in range(line.size):
                row[i] = line[i] + above[i]
        elif kind == AVERAGE:
            _add_average(line, above, row, pixel_bytes)
        elif kind == PAETH and pixel_bytes == 1:
            _add_paeth_of_bytes(line, above, row)
        elif kind == PAETH:
            _add_paeth(line, above, row, pixel_bytes)
        else:
            return False
    return True


@compiled
def _add_left(line: NDArray[np.uint8], row: NDArray[np.uint8], pixel_bytes: int) -> None:
    if pixel_bytes == 1:
        left = np.uint8(0)
        for i in range(line.size):
            left = np.uint8(left + line[i])
            row[i] = left
    else:
        row[:pixel_bytes] = line[:pixel_bytes]
        for i in range(pixel_bytes, line.size):
            row[i] = line[i] + row[i - pixel_bytes]


@compiled
def _add_average(line: NDArray[np.uint8], above: NDArray[np.uint8], row: NDArray[np.uint8], pixel_bytes: int) -> None:
    for i in range(line.size):
        left = np.int32(row[i - pixel_bytes]) if i >= pixel_bytes else np.int32(0)
        row[i] = line[i] + np.uint8((left + np.int32(above[i])) >> 1)


@compiled
def _add_paeth_of_bytes(line: NDArray[np.uint8], above: NDArray[np.uint8], row: NDArray[np.uint8]) -> None:
    """Of masks nearly all is a run in which nothing changes, neither along the row nor from the one above."""
    left, corner = np.uint8(0), np.uint8(0)
    i, n = 0, line.size
    while i < n:
        if left == corner:
            while i < n and line[i] == 0 and above[i] == left:
                row[i] = left
                i += 1
            if i == n:
                return
        left = np.uint8(line[i] + _nearest(left, above[i], corner))
        corner = above[i]
        row[i] = left
        i += 1


@compiled
def _add_paeth(line: NDArray[np.uint8], above: NDArray[np.uint8], row: NDArray[np.uint8], pixel_bytes: int) -> None:
    for i in range(min(pixel_bytes, line.size)):
        row[i] = line[i] + above[i]
    for i in range(pixel_bytes, line.size):
        row[i] = line[i] + _nearest(row[i - pixel_bytes], above[i], above[i - pixel_bytes])


@compiled
def _nearest(left: np.uint8, up: np.uint8, corner: np.uint8) -> np.uint8:
    """That of the three which is nearest to left + up - corner; of equally near ones the first in this order."""
    a, b, c = np.int32(left), np.int32(up), np.int32(corner)
    to_left, to_up, to_corner = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner
