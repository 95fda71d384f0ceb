"""Padding to the sides that a network takes, and overlapped tiles for images too large for one pass."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError

STRIDE = 32
"""Padded sides are multiples of this: twice the 16 by which four poolings divide a side."""

PaddingMode = Literal["reflect", "edge", "zero"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def bucket_side(n: int) -> int:
    """The padded side of an image side of `n` pixels: the next of 32, 64, 96, 128, 160, 192, 224, 256, 320, 384, ...

    Multiples of 32 in at most four steps per octave, so that images of many sizes share few shapes and padding adds
    less than a quarter of a side beyond 128 pixels.
    """
    if n < 1:
        raise ArgumentError(f"side of {n} pixels; expected at least 1")
    octave = 1 << ((n - 1).bit_length() - 1) if n > 1 else 1
    step = max(STRIDE, octave // 4)
    return next_multiple(n, step)


def next_multiple(n: int, step: int) -> int:
    """The least multiple of `step` that is no smaller than `n`."""
    return -(-n // step) * step


def pad_to(pixels: NDArray[Any], height: int, width: int, mode: PaddingMode) -> NDArray[Any]:
    """`pixels` (depth, rows, columns, ...) extended at the bottom and right to `height` x `width`.

    reflect  mirrored at the last row and column without repeating them, back and forth as often as needed
    edge     the last row and column repeated
    zero     zeros

    The array itself comes back where it has the size already. A smaller target raises ValueError.
    """
    rows, columns = pixels.shape[1:3]
    if (height, width) == (rows, columns):
        return pixels
    padded = np.empty((pixels.shape[0], height, width, *pixels.shape[3:]), pixels.dtype)
    fill_padded(padded, pixels, mode)
    return padded


def fill_padded(target: NDArray[Any], pixels: NDArray[Any], mode: PaddingMode) -> None:
    """Fill `target` with `pixels`, extended at the bottom and right as `pad_to` does it: no second copy is made."""
    (height, width), (rows, columns) = target.shape[1:3], pixels.shape[1:3]
    if height < rows or width < columns:
        raise ArgumentError(f"padding {rows} x {columns} pixels to {height} x {width}; expected no smaller size")
    target[:, :rows, :columns] = pixels
    if mode == "zero":
        target[:, :rows, columns:] = 0
        target[:, rows:] = 0
        return
    if width > columns:
        target[:, :rows, columns:] = pixels[:, :, _sources(columns, width, mode)[columns:]]
    if height > rows:
        target[:, rows:] = target[:, _sources(rows, height, mode)[rows:]]


def tile_starts(length: int, tile: int, overlap: float) -> tuple[int, ...]:
    """Where tiles of `tile` pixels begin along a side of `length`, evenly placed: first 0, last length - tile.

    Neighbours share at least the fraction `overlap` of a tile. One tile where the side is no longer than a tile.

    >>> tile_starts(10, 4, 0.25)
    (0, 3, 6)
    """
    if length < 1 or tile < 1 or not 0 <= overlap < 1:
        raise ArgumentError(
            f"length {length}, tile {tile}, overlap {overlap}: expected both from 1 and an overlap in [0, 1)"
        )
    if length <= tile:
        return (0,)
    stride = max(1, math.floor(tile * (1 - overlap)))
    gaps = -(-(length - tile) // stride)
    return tuple(gap * (length - tile) // gaps for gap in range(gaps + 1))


def plan_tiles(height: int, width: int, tile: int | tuple[int, int], overlap: float) -> tuple[Tile, ...]:
    """Tiles that cover an image, row by row, all of the size `tile` (one side, or height and width).

    Where a side of the image is shorter than the tile, the tiles are as short.
    """
    tile_height, tile_width = (tile, tile) if isinstance(tile, int) else tile
    tops, lefts = tile_starts(height, tile_height, overlap), tile_starts(width, tile_width, overlap)
    size = min(tile_height, height), min(tile_width, width)
    return tuple(Tile(top, left, *size) for top in tops for left in lefts)


def side_window(length: int) -> NDArray[np.float64]:
    """Weight (length,) of the pixels along a side of a tile: half a sine wave, above 0 everywhere."""
    window: NDArray[np.float64] = np.sin(np.pi * (np.arange(length) + 0.5) / length)
    return window


def tile_window(height: int, width: int) -> NDArray[np.float64]:
    """Weight (height, width) of the pixels of a tile: the product of those along its sides.

    The centre, where the network sees most context, weighs most, and tiles blend without seams.
    """
    window: NDArray[np.float64] = np.outer(side_window(height), side_window(width))
    return window


class TileSum:
    """Overlapping tiles of one image, averaged by `tile_window`; rows leave as soon as no further tile touches them.

    Tiles come in the order of their plan. The weighted sums are float64, so where tiles agree the mean is exactly what
    they say, and only as many rows of them are kept as a tile is high, whatever the height of the image. Which rows
    leave together, and the order of additions, are fixed by the plan, so equal tiles give equal bits.
    """

    def __init__(self, plan: Sequence[Tile], heads: int, channels: int) -> None:
        """The tiles of `plan_tiles`, each with `channels` probabilities of `heads` heads per pixel."""
        self._plan, self._added = plan, 0
        last, size = plan[-1], (plan[0].height, plan[0].width)
        # A grid of tiles: the weights of a pixel, summed, are a product as those of one tile are.
        self._row_weights = _weights(sorted({tile.top for tile in plan}), size[0], last.top + last.height)
        self._column_weights = _weights(sorted({tile.left for tile in plan}), size[1], last.left + last.width)
        self._window = tile_window(*size)[..., np.newaxis]
        self._sums = np.zeros((heads, size[0], len(self._column_weights), channels))

    def add(self, tile: Tile, probabilities: NDArray[np.floating[Any]]) -> tuple[int, NDArray[np.float32]] | None:
        """Count in the next tile, (heads, tile height, tile width, channels).

        The last tile of a row of them finishes rows of the image: the first one's number and the merged probabilities
        (heads, rows, width, channels) come back. ValueError for another tile than the next one, or another shape.
        """
        heads, height, _, channels = self._sums.shape
        expected = self._plan[self._added] if self._added < len(self._plan) else None
        if tile != expected:
            raise ArgumentError(f"tile {self._added} of {len(self._plan)}: expected {expected}, as planned, got {tile}")
        if probabilities.shape != (heads, height, tile.width, channels):
            raise ArgumentError(
                f"{tile}: expected probabilities of shape {(heads, height, tile.width, channels)}, "
                f"got {probabilities.shape}"
            )
        self._sums[:, :, tile.left : tile.left + tile.width] += probabilities * self._window
        self._added += 1
        if self._added == len(self._plan):
            return tile.top, self._finish(tile.top, tile.height)
        below = self._plan[self._added].top
        return (tile.top, self._finish(tile.top, below - tile.top)) if below > tile.top else None

    def _finish(self, top: int, rows: int) -> NDArray[np.float32]:
        finished, means = self._sums[:, :rows], np.empty((len(self._sums), rows, *self._sums.shape[2:]), np.float32)
        finished /= self._row_weights[top : top + rows, np.newaxis, np.newaxis]
        np.divide(finished, self._column_weights[:, np.newaxis], out=means, casting="same_kind")
        kept = self._sums.shape[1] - rows
        self._sums[:, :kept] = self._sums[:, rows:]
        self._sums[:, kept:] = 0
        return means


def _weights(starts: Sequence[int], tile: int, length: int) -> NDArray[np.float64]:
    """The weights of all tiles along a side of `length`, summed."""
    total = np.zeros(length)
    for start in starts:
        total[start : start + tile] += side_window(tile)
    return total


def _sources(length: int, padded: int, mode: PaddingMode) -> NDArray[np.intp]:
    """For each place along a padded side, the place that it copies."""
    places = np.arange(padded)
    if mode == "edge" or length == 1:
        return np.minimum(places, length - 1)
    if mode == "reflect":
        period = 2 * (length - 1)
        phase = places % period
        return np.minimum(phase, period - phase)
    raise ArgumentError(f"padding {mode!r}: expected reflect, edge or zero")
