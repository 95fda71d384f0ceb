"""The nearest set bit among rows of bits, row by row from the nearest on.

Distances are squared, in mm: `(dz * step_z)**2 + (dy * step_y)**2 + (dx * step_x)**2` between centres of voxels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import NONE, BitRows, highest_bit, lowest_bit, n_bits
from segscale.tasks.compiled import compiled
from segscale.tasks.surfaces.blocks import block_of

Steps = NDArray[np.float64]
"""(3,): from voxel to voxel along depth, height and width, in mm."""
NEVER = 1 << 40
"""Further than any row is long."""


@dataclass(frozen=True, slots=True)
class RowOrder:
    """The rows around a voxel, nearest first."""

    depths: NDArray[np.int64]
    """(n,): planes away."""
    heights: NDArray[np.int64]
    """(n,): rows away."""
    bases: NDArray[np.float64]
    """(n,): no voxel of the row is nearer, squared."""
    limit: float
    """Rows that are not among them are at least so far, squared; infinite where these are all."""


def row_order(depth: int, height: int, steps: Steps, n_rows: int) -> RowOrder:
    """At least about `n_rows` nearest ones of the rows of a mask, or all."""
    radius = np.inf
    if (2 * depth - 1) * (2 * height - 1) > n_rows:
        disc, strip = np.sqrt(n_rows * steps[0] * steps[1] / np.pi), n_rows * steps[:2] / 2
        # A mask of few planes, or few rows, is a strip and no disc.
        radius = max(disc, strip[1] / (2 * depth - 1), strip[0] / (2 * height - 1))
    reach = np.minimum(np.floor(radius / steps[:2]), (depth - 1, height - 1)).astype(np.int64)
    z, y = (np.arange(-n, n + 1) for n in reach)
    bases = (z[:, None] * steps[0]) ** 2 + (y * steps[1]) ** 2
    within = np.argwhere(bases <= radius**2) - reach
    order = np.argsort(bases[tuple((within + reach).T)], kind="stable")
    away = within[order]
    return RowOrder(away[:, 0].copy(), away[:, 1].copy(), bases[tuple((away + reach).T)], float(radius**2))


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
    targets: BitRows,
    target_starts: NDArray[np.int64],
    reached: BitRows,
    shape: Any,
    steps: Steps,
    order: Any,
    part: Any,
    squared: NDArray[np.float64],
    far: BitRows,
) -> int:
    """Squared distances of the queries in rows `part[0]` to `part[1]`, of which `part[2]` is the first one's place.

    The order's rows alone are looked at (depths, heights, bases, limit). Queries that need more are marked as far,
    those outside of what is reached from blocks of targets at once. Returns how many. Where an item has no targets
    distances are infinite.
    """
    (depth, height), (depths, heights, bases, limit), (first, last, at) = shape, order, part
    step_z, step_y, step_x = steps
    known, n_far, n_rows = False, 0, depth * height
    there_z, there_y, there_x = 0, 0, 0
    for r in range(first, last):
        y, z, item_first = r % height, r // height % depth, r // n_rows * n_rows
        known = known and r > item_first
        exist = target_starts[item_first + n_rows] > target_starts[item_first]
        block = block_of(r // n_rows, z, y, depth, height)
        for w in range(queries.shape[1]):
            word = queries[r, w]
            marks = word & ~reached[block, w] if exist else NONE
            while word:
                x, bit, best = w * 64 + lowest_bit(word), word & (~word + np.uint64(1)), np.inf
                word ^= bit
                if exist and not marks & bit:
                    if known:
                        # What was nearest to the query before is the first candidate.
                        base = ((z - there_z) * step_z) ** 2 + ((y - there_y) * step_y) ** 2
                        best = base + ((x - there_x) * step_x) ** 2
                    for k in range(bases.size):
                        base = bases[k]
                        if base >= best:
                            break
                        to_z, to_y = z + depths[k], y + heights[k]
                        if 0 <= to_z < depth and 0 <= to_y < height:
                            dx = nearest_x(targets, item_first + to_z * height + to_y, x, step_x, best - base)
                            if dx != NEVER and base + (dx * step_x) ** 2 < best:
                                best = base + (dx * step_x) ** 2
                                known, there_z, there_y, there_x = True, to_z, to_y, x + dx
                    if best > limit:
                        marks |= bit
                squared[at] = best
                at += 1
            far[r, w] = marks
            n_far += n_bits(marks)
    return n_far
