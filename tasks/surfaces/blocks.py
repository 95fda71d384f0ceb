"""Blocks of rows, of which one row of bits says what is set in any of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import BitRows
from segscale.tasks.compiled import compiled

BLOCK_DEPTH, BLOCK_HEIGHT = 4, 8
"""Rows of a block."""


def block_rows(rows: BitRows, starts: NDArray[np.int64], shape: tuple[int, int, int]) -> BitRows:
    """What is set in any row of each block: (items * blocks along depth * blocks along height, words). Rows that hold
    nothing by their starts are left out.
    """
    items, depth, height = shape
    blocks = np.zeros(
        (items * n_blocks(depth, BLOCK_DEPTH) * n_blocks(height, BLOCK_HEIGHT), rows.shape[-1]), np.uint64
    )
    unite(rows, starts, depth, height, blocks)
    return blocks


def block_gaps(depth: int, height: int, steps: NDArray[np.float64]) -> tuple[Any, ...]:
    """All blocks around one, nearest first: how many away along depth and height (n,), and the squared distance of the
    nearest rows of the two.
    """
    away_z, away_y = (
        np.arange(1 - n_blocks(n, size), n_blocks(n, size))
        for n, size in ((depth, BLOCK_DEPTH), (height, BLOCK_HEIGHT))
    )
    bases = (_gap(away_z, BLOCK_DEPTH)[:, None] * steps[0]) ** 2 + (_gap(away_y, BLOCK_HEIGHT) * steps[1]) ** 2
    order = np.argsort(bases, axis=None, kind="stable")
    return np.repeat(away_z, away_y.size)[order], np.tile(away_y, away_z.size)[order], bases.ravel()[order]


def n_blocks(rows: int, size: int) -> int:
    """Blocks along so many rows."""
    return -(-rows // size)


def _gap(blocks: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.asarray(np.maximum(np.abs(blocks) * size - (size - 1), 0))


@compiled
def block_of(item: int, z: int, y: int, depth: int, height: int) -> int:
    """Place of the block that row (z, y) of an item is in."""
    in_depth, in_height = (depth + BLOCK_DEPTH - 1) // BLOCK_DEPTH, (height + BLOCK_HEIGHT - 1) // BLOCK_HEIGHT
    return (item * in_depth + z // BLOCK_DEPTH) * in_height + y // BLOCK_HEIGHT


@compiled
def unite(rows: BitRows, starts: NDArray[np.int64], depth: int, height: int, blocks: BitRows) -> None:
    """Set in the blocks what is set in their rows (items * depth * height, words)."""
    for r in range(rows.shape[0]):
        if starts[r + 1] > starts[r]:
            block = block_of(r // (depth * height), r // height % depth, r % height, depth, height)
            for w in range(rows.shape[1]):
                blocks[block, w] |= rows[r, w]


@compiled
def reach(blocks: BitRows, shape: Any, gaps: Any, limit: float, n_voxels: int, reached: BitRows) -> None:
    """Set in each block all places that may lie within the limit, squared, of what is set in any block; along the rows
    that is so many voxels.
    """
    (in_depth, in_height), (away_z, away_y, bases) = shape, gaps
    words = blocks.shape[1]
    wide = np.empty(words, np.uint64)
    for b in range(blocks.shape[0]):
        any_set = np.uint64(0)
        for w in range(words):
            wide[w] = blocks[b, w]
            any_set |= wide[w]
        if not any_set:
            continue
        widen(wide, n_voxels)
        y, z = b % in_height, b // in_height % in_depth
        for k in range(bases.size):
            if bases[k] > limit:
                break
            to_z, to_y = z + away_z[k], y + away_y[k]
            if 0 <= to_z < in_depth and 0 <= to_y < in_height:
                for w in range(words):
                    reached[b + away_z[k] * in_height + away_y[k], w] |= wide[w]


@compiled
def widen(row: BitRows, n_voxels: int) -> None:
    """Set all bits of the row (words,) that are at most so many places from one that is set."""
    left, done = n_voxels, 1
    while left > 0:
        n = min(left, done, 63)
        up, down = np.uint64(n), np.uint64(64 - n)
        before = np.uint64(0)
        for w in range(row.size):
            word = row[w]
            after = row[w + 1] << down if w + 1 < row.size else np.uint64(0)
            row[w] = word | (word << up) | (word >> up) | (before >> down) | after
            before = word
        left, done = left - n, done + n
