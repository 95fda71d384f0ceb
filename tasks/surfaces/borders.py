"""Borders of masks as rows of bits: the voxels that touch the background with a face, or the end of the image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import NONE, BitRows, n_bits
from segscale.tasks.compiled import compiled


@dataclass(frozen=True, slots=True)
class Border:
    """Border voxels of a stack of masks."""

    rows: BitRows
    """(items * depth * height, words)."""
    starts: NDArray[np.int64]
    """(items * depth * height + 1,): how many border voxels lie before each row, and in all of them."""
    shape: tuple[int, int, int]
    """Items, depth, height."""

    @property
    def n_voxels(self) -> int:
        return int(self.starts[-1])

    @property
    def item_starts(self) -> NDArray[np.int64]:
        """(items + 1,): how many border voxels lie before each mask, and in all of them."""
        items, depth, height = self.shape
        return self.starts[:: depth * height] if depth * height else np.zeros(items + 1, np.int64)


def border(rows: BitRows, *, solid: bool) -> Border:
    """The border of each mask of a stack (items, depth, height, words); solid ones have neighbours above and below."""
    items, depth, height, words = rows.shape
    found, starts = np.empty((items * depth * height, words), np.uint64), np.zeros(items * depth * height + 1, np.int64)
    if found.size:
        find_border(np.ascontiguousarray(rows).reshape(-1, words), depth, height, solid, found, starts[1:])
        np.cumsum(starts, out=starts)
    return Border(found, starts, (items, depth, height))


def n_shared(one: Border, other: Border) -> NDArray[np.int64]:
    """(items,): border voxels that two stacks of the same shape have in common."""
    items, depth, height = one.shape
    counts = np.zeros(items, np.int64)
    count_shared(one.rows, one.starts, other.rows, depth * height, counts)
    return counts


def box(*masks: BitRows) -> tuple[slice, ...]:
    """Where any of the masks (items, depth, height, words) has voxels: slices of their last three axes."""
    depth, height, words = masks[0].shape[1:]
    lowest, highest = np.array([depth, height, words]), np.zeros(3, np.int64)
    for mask in masks:
        find_extent(np.ascontiguousarray(mask), lowest, highest)
    return tuple(slice(min(low, high), high) for low, high in zip(lowest.tolist(), highest.tolist(), strict=True))


@compiled
def find_border(rows: BitRows, depth: int, height: int, solid: bool, found: BitRows, counts: NDArray[np.int64]) -> None:
    """Fill the border voxels of rows (items * depth * height, words), and how many each row has."""
    one, last, words = np.uint64(1), np.uint64(63), rows.shape[1]
    for r in range(rows.shape[0]):
        y, z, n = r % height, r // height % depth, 0
        for w in range(words):
            word = rows[r, w]
            inner = word
            if word:
                inner &= rows[r - 1, w] if y > 0 else NONE
                inner &= rows[r + 1, w] if y < height - 1 else NONE
                if solid:
                    inner &= rows[r - height, w] if z > 0 else NONE
                    inner &= rows[r + height, w] if z < depth - 1 else NONE
                inner &= (word << one) | (rows[r, w - 1] >> last if w > 0 else NONE)
                inner &= (word >> one) | (rows[r, w + 1] << last if w < words - 1 else NONE)
                n += n_bits(word & ~inner)
            found[r, w] = word & ~inner
        counts[r] = n


@compiled
def count_shared(
    one: BitRows, starts: NDArray[np.int64], other: BitRows, n_rows: int, counts: NDArray[np.int64]
) -> None:
    """Add up the bits that two stacks with so many rows in each item have in common; `starts` are those of the one."""
    for r in range(one.shape[0]):
        if starts[r + 1] > starts[r]:
            for w in range(one.shape[1]):
                counts[r // n_rows] += n_bits(one[r, w] & other[r, w])


@compiled
def find_extent(mask: Any, lowest: NDArray[np.int64], highest: NDArray[np.int64]) -> None:
    """Let the box that starts at `lowest` and ends before `highest` hold all words of the mask that are not zero."""
    items, depth, height, words = mask.shape
    columns = np.zeros(words, np.uint64)
    for i in range(items):
        for z in range(depth):
            for y in range(height):
                any_set = np.uint64(0)
                for w in range(words):
                    any_set |= mask[i, z, y, w]
                    columns[w] |= mask[i, z, y, w]
                if any_set:
                    lowest[0], highest[0] = min(lowest[0], z), max(highest[0], z + 1)
                    lowest[1], highest[1] = min(lowest[1], y), max(highest[1], y + 1)
    for w in range(words):
        if columns[w]:
            lowest[2], highest[2] = min(lowest[2], w), max(highest[2], w + 1)
