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
def reach(blocks: BitRows, in_blocks: Any, n_planes: int, n_rows: int, reached: BitRows) -> None:
    """Set in each block what is set in any block that has a row at most so many planes and rows away from one of its
    own.
    """
    in_depth, in_height = in_blocks
    away_z, away_y = (n_planes + BLOCK_DEPTH - 1) // BLOCK_DEPTH, (n_rows + BLOCK_HEIGHT - 1) // BLOCK_HEIGHT
    for b in range(blocks.shape[0]):
        y, z = b % in_height, b // in_height % in_depth
        for to_z in range(max(z - away_z, 0), min(z + away_z + 1, in_depth)):
            for to_y in range(max(y - away_y, 0), min(y + away_y + 1, in_height)):
                to = b + (to_z - z) * in_height + to_y - y
                for w in range(blocks.shape[1]):
                    reached[to, w] |= blocks[b, w]
