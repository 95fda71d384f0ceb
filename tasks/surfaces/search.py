"""The nearest set bit among rows of bits: along a row, and for whole words of voxels among the places around them.

Distances are squared, in mm: `(dz * step_z)**2 + (dy * step_y)**2 + (dx * step_x)**2` between centres of voxels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import NONE, WORD, BitRows, highest_bit, lowest_bit, n_bits
from segscale.tasks.compiled import compiled
from segscale.tasks.surfaces.blocks import block_of

Steps = NDArray[np.float64]
"""(3,): from voxel to voxel along depth, height and width, in mm."""
NEVER = 1 << 40
"""Further than any row is long."""
GROWTH = 1.2
"""Of the radius within which places are taken, until they are enough."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """All places within some distance of a voxel, nearest first; those to the left are as far as those to the right."""

    depths: NDArray[np.int64]
    """(n,): planes away."""
    heights: NDArray[np.int64]
    """(n,): rows away."""
    widths: NDArray[np.int64]
    """(n,): voxels away, to both sides, fewer than a word has."""
    squared: NDArray[np.float64]
    """(n,): distances."""


def place_order(depth: int, height: int, steps: Steps, n_places: int) -> PlaceOrder:
    """About `n_places` nearest ones, or all that lie in a mask of so many planes and rows and less than a word away."""
    ends = np.array([depth - 1, height - 1, WORD - 1])
    furthest, radius = ends[2] * steps[2], steps.min()
    while True:
        reach = np.minimum(np.floor(radius / steps), ends).astype(np.int64)
        z, y, x = np.arange(-reach[0], reach[0] + 1), np.arange(-reach[1], reach[1] + 1), np.arange(reach[2] + 1)
        squared = ((z[:, None] * steps[0]) ** 2 + (y * steps[1]) ** 2)[..., None] + (x * steps[2]) ** 2
        within = np.argwhere(squared <= radius**2)
        are_all = (reach == ends).all() and len(within) == squared.size
        if len(within) >= n_places or radius >= furthest or are_all:
            break
        radius = min(radius * GROWTH, furthest)
    distances = squared[tuple(within.T)]
    order = np.argsort(distances, kind="stable")
    depths, heights, widths = np.ascontiguousarray((within - (reach[0], reach[1], 0))[order].T)
    return PlaceOrder(depths, heights, widths, distances[order])


@compiled
def nearest_x(rows: BitRows, r: int, x: int, step: float, room: float) -> int:
    """Voxels from x to the nearest one that is set in row r, negative to the left; NEVER where none has a squared
    distance below the room.
    """
    w, place = x >> 6, x & 63
    right, left, word = NEVER, NEVER, rows[r, w]
    behind, before = word >> np.uint64(place), word << np.uint64(63 - place)
    if behind:
        right = lowest_bit(behind)
    else:
        away = 64 - place
        for k in range(w + 1, rows.shape[1]):
            if (away * step) ** 2 >= room:
                break
            if rows[r, k]:
                right = away + lowest_bit(rows[r, k])
                break
            away += 64
    if before:
        left = 63 - highest_bit(before)
    else:
        away = place + 1
        for k in range(w - 1, -1, -1):
            if away >= right or (away * step) ** 2 >= room:
                break
            if rows[r, k]:
                left = away + 63 - highest_bit(rows[r, k])
                break
            away += 64
    return right if right <= left else -left


@compiled
def search_near(
    queries: BitRows,
    query_starts: NDArray[np.int64],
    targets: BitRows,
    target_starts: NDArray[np.int64],
    reached: BitRows,
    shape: Any,
    order: Any,
    part: Any,
    squared: NDArray[np.float64],
    far: BitRows,
) -> int:
    """Squared distances of the queries in rows `part[0]` to `part[1]`.

    The order's places alone are looked at (depths, heights, widths, squared), for all queries of a word at once, and
    only where they are reached from blocks of targets. Queries that have no target there are marked as far, which holds
    zeros; returns how many. Where an item has no targets distances are infinite.
    """
    (depth, height), (depths, heights, widths, distances) = shape, order
    n_far, n_rows, words, one = 0, depth * height, queries.shape[1], np.uint64(1)
    for r in range(part[0], part[1]):
        at = query_starts[r]
        if query_starts[r + 1] == at:
            continue
        y, z, item_first = r % height, r // height % depth, r // n_rows * n_rows
        if target_starts[item_first + n_rows] == target_starts[item_first]:
            squared[at : query_starts[r + 1]] = np.inf
            continue
        block = block_of(r // n_rows, z, y, depth, height)
        for w in range(words):
            word = queries[r, w]
            rest = word & reached[block, w]
            marks = word ^ rest
            for k in range(distances.size):
                if not rest:
                    break
                to_z, to_y = z + depths[k], y + heights[k]
                if 0 <= to_z < depth and 0 <= to_y < height:
                    t, up = item_first + to_z * height + to_y, np.uint64(widths[k])
                    here, down = targets[t, w], np.uint64(63) - up
                    before = targets[t, w - 1] if w > 0 else NONE
                    after = targets[t, w + 1] if w < words - 1 else NONE
                    found = rest & (here << up | here >> up | before >> one >> down | after << one << down)
                    rest ^= found
                    while found:
                        below = (found & (~found + one)) - one
                        squared[at + n_bits(word & below)] = distances[k]
                        found &= found - one
            marks |= rest
            far[r, w] = marks
            n_far += n_bits(marks)
            at += n_bits(word)
    return n_far
