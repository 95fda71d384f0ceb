"""The nearest set bit where it is far: voxels that lie together look among the same few blocks of rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import BitRows, highest_bit, lowest_bit
from segscale.tasks.compiled import compiled
from segscale.tasks.surfaces.blocks import BLOCK_DEPTH, BLOCK_HEIGHT
from segscale.tasks.surfaces.envelopes import rank_in_row
from segscale.tasks.surfaces.search import NEVER, Steps, nearest_x

PART_WIDTH = 16
PARTS_OF_WORD, PART_OF_WORD = 64 // PART_WIDTH, np.uint64(2**PART_WIDTH - 1)


@compiled
def search_far(
    queries: BitRows,
    row_starts: NDArray[np.int64],
    far: BitRows,
    far_blocks: BitRows,
    targets: BitRows,
    blocks: BitRows,
    shape: Any,
    steps: Steps,
    gaps: Any,
    part: Any,
    squared: NDArray[np.float64],
) -> int:
    """Squared distances of the queries that are marked as far, in blocks `part[0]` to `part[1]`.

    Of the groups, queries of a block in a part of a word, only every `part[2]`-th is looked at. Returns how many rows
    and blocks of targets were looked at.
    """
    (depth, height), (away_z, away_y, bases), (first, last, every) = shape, gaps, part
    in_depth, in_height = (depth + BLOCK_DEPTH - 1) // BLOCK_DEPTH, (height + BLOCK_HEIGHT - 1) // BLOCK_HEIGHT
    step_z, step_y, step_x = steps
    near_blocks, n_looked, nth = np.empty(bases.size, np.int64), 0, 0
    there, known_item = np.zeros(3, np.int64), -1
    for b in range(first, last):
        block_y, block_z, item = b % in_height, b // in_height % in_depth, b // (in_height * in_depth)
        first_z, first_y = block_z * BLOCK_DEPTH, block_y * BLOCK_HEIGHT
        end_z, end_y = min(first_z + BLOCK_DEPTH, depth), min(first_y + BLOCK_HEIGHT, height)
        for part_of_word in range(queries.shape[1] * PARTS_OF_WORD):
            w, within = (
                part_of_word // PARTS_OF_WORD,
                PART_OF_WORD << np.uint64(part_of_word % PARTS_OF_WORD * PART_WIDTH),
            )
            places = far_blocks[b, w] & within
            if not places:
                continue
            nth += 1
            if nth % every:
                continue
            low, high, n_near = w * 64 + lowest_bit(places), w * 64 + highest_bit(places), -1
            for z in range(first_z, end_z):
                for y in range(first_y, end_y):
                    r = (item * depth + z) * height + y
                    word = far[r, w] & within
                    while word:
                        x = w * 64 + lowest_bit(word)
                        word &= word - np.uint64(1)
                        best = np.inf
                        if known_item == item:
                            best = ((z - there[0]) * step_z) ** 2 + ((y - there[1]) * step_y) ** 2
                            best += ((x - there[2]) * step_x) ** 2
                        known_item = item
                        n = bases.size if n_near < 0 else n_near
                        for k in range(n):
                            if n_near < 0:
                                if bases[k] >= best:
                                    break
                                to_z, to_y = block_z + away_z[k], block_y + away_y[k]
                                if not (0 <= to_z < in_depth and 0 <= to_y < in_height):
                                    continue
                                block = (item * in_depth + to_z) * in_height + to_y
                            else:
                                block = near_blocks[k]
                            n_looked += 1
                            best, looked = look_into(
                                targets, blocks, block, (depth, height), steps, (z, y, x), best, there
                            )
                            n_looked += looked
                        squared[row_starts[r] + rank_in_row(queries, r, x)] = best
                        if n_near < 0:
                            n_near = find_near_blocks(
                                blocks, b, (in_depth, in_height), steps, gaps, (low, high), best, near_blocks
                            )
                            n_looked += n_near
    return n_looked


@compiled
def find_near_blocks(
    blocks: BitRows, b: int, shape: Any, steps: Steps, gaps: Any, group: Any, found: float, near_blocks: Any
) -> int:
    """Fill in the blocks that can hold what is nearest to any voxel of block b between two places of the width, if one
    of these voxels has a target at the squared distance that was found; returns how many.
    """
    (in_depth, in_height), (away_z, away_y, bases), (low, high) = shape, gaps, group
    step_z, step_y, step_x = steps
    across = ((BLOCK_DEPTH - 1) * step_z) ** 2 + ((BLOCK_HEIGHT - 1) * step_y) ** 2 + ((high - low) * step_x) ** 2
    bound = (np.sqrt(found) + np.sqrt(across)) ** 2 * (1 + 1e-9)
    block_y, block_z, n = b % in_height, b // in_height % in_depth, 0
    for k in range(bases.size):
        if bases[k] > bound:
            break
        to_z, to_y = block_z + away_z[k], block_y + away_y[k]
        if 0 <= to_z < in_depth and 0 <= to_y < in_height:
            block = b + away_z[k] * in_height + away_y[k]
            # No voxel between the two is nearer to a place than either of them is, less the way between them.
            from_low = nearest_x(blocks, block, low, step_x, np.inf)
            if from_low != NEVER:
                from_high = nearest_x(blocks, block, high, step_x, np.inf)
                gap = max(max(abs(from_low), abs(from_high)) - (high - low), 0)
                if bases[k] + (gap * step_x) ** 2 <= bound:
                    near_blocks[n] = block
                    n += 1
    return n


@compiled
def look_into(
    targets: BitRows, blocks: BitRows, block: int, shape: Any, steps: Steps, query: Any, best: float, there: Any
) -> Any:
    """The squared distance of a query to the nearest target of a block where it is below the best one, else that, and
    how many rows were looked at; `there` becomes the place of the target.
    """
    (depth, height), (z, y, x), (step_z, step_y, step_x) = shape, query, steps
    in_depth, in_height = (depth + BLOCK_DEPTH - 1) // BLOCK_DEPTH, (height + BLOCK_HEIGHT - 1) // BLOCK_HEIGHT
    first_z, first_y = block // in_height % in_depth * BLOCK_DEPTH, block % in_height * BLOCK_HEIGHT
    end_z, end_y = min(first_z + BLOCK_DEPTH, depth), min(first_y + BLOCK_HEIGHT, height)
    gap_z, gap_y = max(first_z - z, z - end_z + 1, 0), max(first_y - y, y - end_y + 1, 0)
    base = (gap_z * step_z) ** 2 + (gap_y * step_y) ** 2
    n_looked = 0
    if base < best:
        least = nearest_x(blocks, block, x, step_x, best - base)
        along = (least * step_x) ** 2
        if base + along < best:
            item_first = block // (in_depth * in_height) * depth
            for to_z in range(first_z, end_z):
                for to_y in range(first_y, end_y):
                    base = ((to_z - z) * step_z) ** 2 + ((to_y - y) * step_y) ** 2
                    if base + along < best:
                        n_looked += 1
                        dx = nearest_x(targets, (item_first + to_z) * height + to_y, x, step_x, best - base)
                        if dx != NEVER and base + (dx * step_x) ** 2 < best:
                            best = base + (dx * step_x) ** 2
                            there[0], there[1], there[2] = to_z, to_y, x + dx
    return best, n_looked


@compiled
def count_groups(far_blocks: BitRows) -> int:
    """Groups of far queries, of which the blocks say what is set in any of their rows."""
    n = 0
    for b in range(far_blocks.shape[0]):
        for part_of_word in range(far_blocks.shape[1] * PARTS_OF_WORD):
            within = PART_OF_WORD << np.uint64(part_of_word % PARTS_OF_WORD * PART_WIDTH)
            n += (far_blocks[b, part_of_word // PARTS_OF_WORD] & within) != 0
    return n
