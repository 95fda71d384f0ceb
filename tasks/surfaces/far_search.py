"""The nearest set bit where it is far: voxels that lie together look among the few targets that are nearest to any.

A target is left out of a group of queries where another one, nearest to the middle of the group, is nearer to all of
the box around it: `excess` says by how much, of blocks of rows first, then of rows, then of voxels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import WORD, BitRows, highest_bit, lowest_bit
from segscale.tasks.compiled import compiled
from segscale.tasks.surfaces.blocks import BLOCK_DEPTH, BLOCK_HEIGHT
from segscale.tasks.surfaces.envelopes import rank_in_row
from segscale.tasks.surfaces.search import NEVER, Steps, nearest_x

PART_WIDTH = 16
PARTS_OF_WORD, PART_OF_WORD = WORD // PART_WIDTH, np.uint64(2**PART_WIDTH - 1)
GROUP = BLOCK_DEPTH * BLOCK_HEIGHT * PART_WIDTH
"""Voxels that a group has at most."""
ROUNDING = 1e-9
"""Of squared distances, by which nothing is left out."""
AT_ONCE = 8
"""Queries whose distances to a target are taken in the time in which a row is looked at."""


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
    """Squared distances of the queries that are marked as far.

    Of the groups, queries of a block in a part of a word, every `part[1]`-th from `part[0]` on is looked at. Returns
    how many rows and blocks of targets were looked at, or what took as long.
    """
    in_depth, in_height = (shape[0] + BLOCK_DEPTH - 1) // BLOCK_DEPTH, (shape[1] + BLOCK_HEIGHT - 1) // BLOCK_HEIGHT
    space, known_item, n_looked, (nth, every) = (shape, (in_depth, in_height), steps, gaps), -1, 0, part
    group, places, best = np.empty((3, GROUP)), np.empty(GROUP, np.int64), np.empty(GROUP)
    box, there = np.empty((3, 2), np.int64), np.zeros(3, np.int64)
    for b in range(far_blocks.shape[0]):
        item, any_far = b // (in_depth * in_height), np.uint64(0)
        here = item, b // in_height % in_depth, b % in_height
        for w in range(far_blocks.shape[1]):
            any_far |= far_blocks[b, w]
        for part_of_word in range(far_blocks.shape[1] * PARTS_OF_WORD if any_far else 0):
            w = part_of_word // PARTS_OF_WORD
            within = PART_OF_WORD << np.uint64(part_of_word % PARTS_OF_WORD * PART_WIDTH)
            if not far_blocks[b, w] & within:
                continue
            nth -= 1
            if nth >= 0:
                continue
            nth += every
            n = find_group(queries, row_starts, far, (here, w, within), space, group, places, box)
            middle = (box[0, 0] + box[0, 1]) // 2, (box[1, 0] + box[1, 1]) // 2, (box[2, 0] + box[2, 1]) // 2
            found = squared_between(middle, there, steps) if known_item == item else np.inf
            found, looked = find_nearest(targets, blocks, here, space, middle, found, there)
            known_item, n_looked = item, n_looked + looked
            best[:n] = np.inf
            n_looked += look_around(targets, blocks, here, space, found, (box, there, group[:, :n], best[:n]))
            for i in range(n):
                squared[places[i]] = best[i]
    return n_looked


@compiled
def find_group(
    queries: BitRows,
    row_starts: NDArray[np.int64],
    far: BitRows,
    part: Any,
    space: Any,
    group: NDArray[np.float64],
    places: NDArray[np.int64],
    box: NDArray[np.int64],
) -> int:
    """Fill in the far queries of a block in part of a word (the block, the word, its bits): where they are (3, n),
    their places in order, and the first and last place of their box along each axis. Returns how many.
    """
    ((item, z, y), w, within), (depth, height), n = part, space[0], 0
    first_z, end_z, first_y, end_y = rows_of_block(z, y, space)
    box[:, 0], box[:, 1] = NEVER, -1
    for z in range(first_z, end_z):
        for y in range(first_y, end_y):
            r = (item * depth + z) * height + y
            word = far[r, w] & within
            while word:
                x = w * 64 + lowest_bit(word)
                word &= word - np.uint64(1)
                group[0, n], group[1, n], group[2, n] = z, y, x
                places[n] = row_starts[r] + rank_in_row(queries, r, x)
                box[0, 0], box[0, 1] = min(box[0, 0], z), max(box[0, 1], z)
                box[1, 0], box[1, 1] = min(box[1, 0], y), max(box[1, 1], y)
                box[2, 0], box[2, 1] = min(box[2, 0], x), max(box[2, 1], x)
                n += 1
    return n


@compiled
def rows_of_block(z: int, y: int, space: Any) -> Any:
    """The first plane of a block, the one behind its last, and likewise rows."""
    depth, height = space[0]
    first_z, first_y = z * BLOCK_DEPTH, y * BLOCK_HEIGHT
    return first_z, min(first_z + BLOCK_DEPTH, depth), first_y, min(first_y + BLOCK_HEIGHT, height)


@compiled
def squared_between(one: Any, other: Any, steps: Steps) -> Any:
    """The squared distance of two voxels (z, y, x)."""
    along = ((one[0] - other[0]) * steps[0]) ** 2 + ((one[1] - other[1]) * steps[1]) ** 2
    return along + ((one[2] - other[2]) * steps[2]) ** 2


@compiled
def find_nearest(
    targets: BitRows, blocks: BitRows, here: Any, space: Any, query: Any, best: float, there: NDArray[np.int64]
) -> Any:
    """The squared distance of a voxel (z, y, x) in a block (item, depth, height) to the nearest target of its item, and
    how many rows and blocks were looked at; `there` becomes the place of the target, unless none is nearer than the
    best one known.
    """
    ((depth, height), (in_depth, in_height), steps, (away_z, away_y, bases)), (z, y, x) = space, query
    n_looked, item_first = 0, here[0] * depth * height
    for k in range(bases.size):
        if bases[k] >= best:
            break
        block_z, block_y = here[1] + away_z[k], here[2] + away_y[k]
        if not (0 <= block_z < in_depth and 0 <= block_y < in_height):
            continue
        n_looked += 1
        block = (here[0] * in_depth + block_z) * in_height + block_y
        first_z, end_z, first_y, end_y = rows_of_block(block_z, block_y, space)
        gap_z, gap_y = max(first_z - z, z - end_z + 1, 0), max(first_y - y, y - end_y + 1, 0)
        base = (gap_z * steps[0]) ** 2 + (gap_y * steps[1]) ** 2
        if base >= best:
            continue
        along = (nearest_x(blocks, block, x, steps[2], best - base) * steps[2]) ** 2
        if base + along >= best:
            continue
        for to_z in range(first_z, end_z):
            for to_y in range(first_y, end_y):
                base = ((to_z - z) * steps[0]) ** 2 + ((to_y - y) * steps[1]) ** 2
                if base + along < best:
                    n_looked += 1
                    dx = nearest_x(targets, item_first + to_z * height + to_y, x, steps[2], best - base)
                    if dx != NEVER and base + (dx * steps[2]) ** 2 < best:
                        best = base + (dx * steps[2]) ** 2
                        there[0], there[1], there[2] = to_z, to_y, x + dx
    return best, n_looked


@compiled
def look_around(targets: BitRows, blocks: BitRows, here: Any, space: Any, found: float, around: Any) -> int:
    """Lower the best squared distances of a group in a block (item, depth, height) to those of all targets that can be
    nearest to a voxel of the box around it, whose middle has a target at the squared distance that was found.

    `around`: the box (3, 2), the place of that target (3,), the group (3, n), its distances (n,). Returns how many rows
    and blocks were looked at, or what took as long.
    """
    (_, (in_depth, in_height), steps, (away_z, away_y, bases)), (box, there, _, _), n_looked = space, around, 0
    half = (box[:, 1] - box[:, 0] + 1) // 2 * steps
    bound = (np.sqrt(found) + np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)) ** 2 * (1 + ROUNDING)
    for k in range(bases.size):
        if bases[k] > bound:
            break
        z, y = here[1] + away_z[k], here[2] + away_y[k]
        if not (0 <= z < in_depth and 0 <= y < in_height):
            continue
        first_z, end_z, first_y, end_y = rows_of_block(z, y, space)
        of_block = excess(box, 0, first_z, end_z - 1, there) * steps[0] ** 2
        of_block += excess(box, 1, first_y, end_y - 1, there) * steps[1] ** 2
        for w in range(blocks.shape[1]):
            n_looked += 1
            word = blocks[(here[0] * in_depth + z) * in_height + y, w]
            if word:
                low, high = w * 64 + lowest_bit(word), w * 64 + highest_bit(word)
                if of_block + excess(box, 2, low, high, there) * steps[2] ** 2 <= bound * ROUNDING:
                    n_looked += look_into(targets, (here[0], z, y), w, space, bound * ROUNDING, around)
    return n_looked


@compiled
def look_into(targets: BitRows, block: Any, w: int, space: Any, room: float, around: Any) -> int:
    """Lower the best squared distances of a group to those of the targets in word w of a block (item, depth, height)
    that can be nearest to a voxel of the box, as `look_around` does.
    """
    ((depth, height), _, steps, _), (box, there, group, best), n_looked = space, around, 0
    first_z, end_z, first_y, end_y = rows_of_block(block[1], block[2], space)
    for z in range(first_z, end_z):
        of_plane = excess(box, 0, z, z, there) * steps[0] ** 2
        for y in range(first_y, end_y):
            of_row = of_plane + excess(box, 1, y, y, there) * steps[1] ** 2
            word = targets[(block[0] * depth + z) * height + y, w]
            n_looked += 1
            while word:
                x = w * 64 + lowest_bit(word)
                word &= word - np.uint64(1)
                n_looked += 1
                if of_row + excess(box, 2, x, x, there) * steps[2] ** 2 <= room:
                    n_looked += best.size // AT_ONCE
                    lower(best, group, (z, y, x), (steps[0], steps[1], steps[2]))
    return n_looked


@compiled
def excess(box: NDArray[np.int64], axis: int, low: int, high: int, there: NDArray[np.int64]) -> Any:
    """By how much, along one axis and squared, in voxels, the targets from low to high are further from where they gain
    most in the box than the target that is `there`.

    The difference of two squared distances along an axis is concave, so that an end of the box is where it is least;
    axes add up.
    """
    first, last, at = box[axis, 0], box[axis, 1], there[axis]
    from_first, from_last = max(low - first, first - high, 0), max(low - last, last - high, 0)
    return min(from_first**2 - (first - at) ** 2, from_last**2 - (last - at) ** 2)


@compiled
def lower(best: NDArray[np.float64], group: NDArray[np.float64], target: Any, steps: Any) -> None:
    """Lower the best squared distances of a group (3, n) to those of one target (z, y, x)."""
    for i in range(best.size):
        along = ((group[0, i] - target[0]) * steps[0]) ** 2 + ((group[1, i] - target[1]) * steps[1]) ** 2
        new = along + ((group[2, i] - target[2]) * steps[2]) ** 2
        best[i] = new if new < best[i] else best[i]


@compiled
def count_groups(far_blocks: BitRows) -> int:
    """Groups of far queries, of which the blocks say what is set in any of their rows."""
    n = 0
    for b in range(far_blocks.shape[0]):
        for part_of_word in range(far_blocks.shape[1] * PARTS_OF_WORD):
            within = PART_OF_WORD << np.uint64(part_of_word % PARTS_OF_WORD * PART_WIDTH)
            n += (far_blocks[b, part_of_word // PARTS_OF_WORD] & within) != 0
    return n
