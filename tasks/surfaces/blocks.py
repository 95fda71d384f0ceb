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
def unite(rows: BitRows, starts: NDArray[np.int64], depth: int, height: int, blocks: BitRows) -> None:
    """Set in the blocks what is set in their rows (items * depth * height, words)."""
    in_depth, in_height = (depth + BLOCK_DEPTH - 1) // BLOCK_DEPTH, (height + BLOCK_HEIGHT - 1) // BLOCK_HEIGHT
    for r in range(rows.shape[0]):
        if starts[r + 1] > starts[r]:
            item, z, y = r // (depth * height), r // height % depth, r % height
            block = (item * in_depth + z // BLOCK_DEPTH) * in_height + y // BLOCK_HEIGHT
            for w in range(rows.shape[1]):
                blocks[block, w] |= rows[r, w]
