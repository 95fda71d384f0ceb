"""Padding to the sides that a network takes, and overlapped tiles for images too large for one pass."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
        raise ValueError(f"side of {n} pixels; expected at least 1")
    octave = 1 << ((n - 1).bit_length() - 1) if n > 1 else 1
    step = max(STRIDE, octave // 4)
    return -(-n // step) * step


def pad_to(pixels: NDArray[Any], height: int, width: int, mode: PaddingMode) -> NDArray[Any]:
    """`pixels` (depth, rows, columns, ...) extended at the bottom and right to `height` x `width`.

    reflect  mirrored at the last row and column without repeating them, back and forth as often as needed
    edge     the last row and column repeated
    zero     zeros

    The array itself comes back where it has the size already. A smaller target raises ValueError.
    """
    rows, columns = pixels.shape[1:3]
    if height < rows or width < columns:
        raise ValueError(f"padding {rows} x {columns} pixels to {height} x {width}; expected no smaller size")
    if (height, width) == (rows, columns):
        return pixels
    if mode == "zero":
        padded = np.zeros((pixels.shape[0], height, width, *pixels.shape[3:]), pixels.dtype)
        padded[:, :rows, :columns] = pixels
        return padded
    row_sources, column_sources = _sources(rows, height, mode), _sources(columns, width, mode)
    return np.take(np.take(pixels, row_sources, axis=1), column_sources, axis=2)


def tile_starts(length: int, tile: int, overlap: float) -> tuple[int, ...]:
    """Where tiles of `tile` pixels begin along a side of `length`, evenly placed: first 0, last length - tile.

    Neighbours share at least the fraction `overlap` of a tile. One tile where the side is no longer than a tile.

    >>> tile_starts(10, 4, 0.25)
    (0, 3, 6)
    """
    if length < 1 or tile < 1 or not 0 <= overlap < 1:
        raise ValueError(
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


def tile_window(height: int, width: int) -> NDArray[np.float32]:
    """Weight (height, width) of the pixels of a tile: half a sine wave along each side, above 0 everywhere.

    The centre, where the network sees most context, weighs most, and tiles blend without seams.
    """
    rows = np.sin(np.pi * (np.arange(height) + 0.5) / height)
    columns = np.sin(np.pi * (np.arange(width) + 0.5) / width)
    return np.outer(rows, columns).astype(np.float32)


class TileSum:
    """Overlapping tiles of one image, averaged by `tile_window`.

    Tiles come in the order of `plan_tiles`. The weighted sums are float64, so where tiles agree the mean is exactly
    what they say; they are kept for one row of tiles at a time, all finished rows as float32 means only. The order of
    additions is fixed by the plan, so equal tiles give equal bits.
    """

    def __init__(self, height: int, width: int, channels: int) -> None:
        """An image of `height` x `width` pixels with `channels` probabilities each."""
        self._means = np.zeros((height, width, channels), np.float32)
        self._finished = 0  # rows of _means that no further tile touches
        self._sums = np.zeros((0, width, channels))
        self._weights = np.zeros((0, width, 1))

    def add(self, tile: Tile, probabilities: NDArray[np.floating[Any]]) -> None:
        """Count in one tile, (tile height, tile width, channels). ValueError when out of order or out of the image."""
        height, width, channels = self._means.shape
        if probabilities.shape != (tile.height, tile.width, channels):
            raise ValueError(f"probabilities of shape {probabilities.shape} for {tile} and {channels} channels")
        if tile.top < 0 or tile.left < 0 or tile.top + tile.height > height or tile.left + tile.width > width:
            raise ValueError(f"{tile} reaches outside of an image of {height} x {width} pixels")
        if tile.top < self._finished:
            raise ValueError(f"{tile} after row {self._finished} was finished: expected tiles row by row, as planned")
        self._finish_rows(tile.top)
        self._open_rows(tile.height)
        window = tile_window(tile.height, tile.width).astype(np.float64)[..., np.newaxis]
        columns = slice(tile.left, tile.left + tile.width)
        self._sums[: tile.height, columns] += probabilities * window
        self._weights[: tile.height, columns] += window

    def mean(self) -> NDArray[np.float32]:
        """The merged probabilities (height, width, channels). ValueError when tiles left pixels uncovered."""
        self._finish_rows(len(self._means))
        return self._means

    def _finish_rows(self, stop: int) -> None:
        rows = stop - self._finished
        weights = self._weights[:rows]
        if len(weights) < rows or not weights.all():
            raise ValueError(f"tiles leave pixels uncovered between rows {self._finished} and {stop}")
        np.divide(self._sums[:rows], weights, out=self._means[self._finished : stop], casting="same_kind")
        self._sums, self._weights = self._sums[rows:], self._weights[rows:]
        self._finished = stop

    def _open_rows(self, rows: int) -> None:
        missing = rows - len(self._weights)
        if missing > 0:
            _, width, channels = self._means.shape
            self._sums = np.concatenate([self._sums, np.zeros((missing, width, channels))])
            self._weights = np.concatenate([self._weights, np.zeros((missing, width, 1))])


def _sources(length: int, padded: int, mode: PaddingMode) -> NDArray[np.intp]:
    """For each place along a padded side, the place that it copies."""
    places = np.arange(padded)
    if mode == "edge" or length == 1:
        return np.minimum(places, length - 1)
    if mode == "reflect":
        period = 2 * (length - 1)
        phase = places % period
        return np.minimum(phase, period - phase)
    raise ValueError(f"padding {mode!r}: expected reflect, edge or zero")
