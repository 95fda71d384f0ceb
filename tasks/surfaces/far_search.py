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

    Of the groups, queries of a block in a part of a word, every `part[1]`-th from `part[0]` on is looked at. Returns how
    many rows and blocks of targets were looked at, or what took as long.
    """
    in_height, (nth, every) = (shape[1] + BLOCK_HEIGHT - 1) // BLOCK_HEIGHT, part
    in_blocks = (shape[0] + BLOCK_DEPTH - 1) // BLOCK_DEPTH, in_height
    group, places, best = np.empty((3, GROUP)), np.empty(GROUP, np.int64), np.empty(GROUP)
    box, there, known_item, n_looked = np.empty((3, 2), np.int64), np.zeros(3, np.int64), -1, 0
    for b in range(far_blocks.shape[0]):
        item, any_far = b // (in_blocks[0] * in_height), np.uint64(0)
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
            n = find_group(queries, row_starts, far, (b, w, within), shape, in_blocks, group, places, box)
            middle = (box[0, 0] + box[0, 1]) // 2, (box[1, 0] + box[1, 1]) // 2, (box[2, 0] + box[2, 1]) // 2
            found = squared_between(middle, there, steps) if known_item == item else np.inf
            found, looked = find_nearest(targets, blocks, b, in_blocks, shape, steps, gaps, middle, found, there)
            known_item, n_looked = item, n_looked + looked
            best[:n] = np.inf
            n_looked += look_around(
                targets, blocks, b, in_blocks, shape, steps, gaps, box, found, there, group[:, :n], best[:n]
            )
            for i in range(n):
                squared[places[i]] = best[i]
    return n_looked


@compiled
def find_group(
    queries: BitRows,
    row_starts: NDArray[np.int64],
    far: BitRows,
    part: Any,
    shape: Any,
    in_blocks: Any,
    group: NDArray[np.float64],
    places: NDArray[np.int64],
    box: NDArray[np.int64],
) -> int:
    """Fill in the far queries of a block in part of a word (block, word, bits): where they are (3, n), their places in
    order, and the first and last place of their box along each axis. Returns how many.
    """
    (b, w, within), (depth, height), n = part, shape, 0
    first_z, first_y = b // in_blocks[1] % in_blocks[0] * BLOCK_DEPTH, b % in_blocks[1] * BLOCK_HEIGHT
    item_first = b // (in_blocks[0] * in_blocks[1]) * depth * height
    box[:, 0], box[:, 1] = NEVER, -1
    for z in range(first_z, min(first_z + BLOCK_DEPTH, depth)):
        for y in range(first_y, min(first_y + BLOCK_HEIGHT, height)):
            r = item_first + z * height + y
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
def squared_between(one: Any, other: Any, steps: Steps) -> Any:
    """The squared distance of two voxels (z, y, x)."""
    along = ((one[0] - other[0]) * steps[0]) ** 2 + ((one[1] - other[1]) * steps[1]) ** 2
    return along + ((one[2] - other[2]) * steps[2]) ** 2


@compiled
def find_nearest(
    targets: BitRows,
    blocks: BitRows,
    b: int,
    in_blocks: Any,
    shape: Any,
    steps: Steps,
    gaps: Any,
    query: Any,
    best: float,
    there: NDArray[np.int64],
) -> Any:
    """The squared distance of a voxel (z, y, x) in block b to the nearest target of its item, and how many rows and
    blocks were looked at; `there` becomes the place of the target, unless none is nearer than the best one known.
    """
    (depth, height), (z, y, x), (away_z, away_y, bases), n_looked = shape, query, gaps, 0
    block_y, block_z, item_first = b % in_blocks[1], b // in_blocks[1] % in_blocks[0], b // (in_blocks[0] * in_blocks[1])
    item_first *= depth * height
    for k in range(bases.size):
        if bases[k] >= best:
            break
        to_z, to_y = block_z + away_z[k], block_y + away_y[k]
        if not (0 <= to_z < in_blocks[0] and 0 <= to_y < in_blocks[1]):
            continue
        n_looked += 1
        first_z, first_y = to_z * BLOCK_DEPTH, to_y * BLOCK_HEIGHT
        end_z, end_y = min(first_z + BLOCK_DEPTH, depth), min(first_y + BLOCK_HEIGHT, height)
        gap_z, gap_y = max(first_z - z, z - end_z + 1, 0), max(first_y - y, y - end_y + 1, 0)
        base = (gap_z * steps[0]) ** 2 + (gap_y * steps[1]) ** 2
        if base >= best:
            continue
        least = nearest_x(blocks, b + away_z[k] * in_blocks[1] + away_y[k], x, steps[2], best - base)
        along = (least * steps[2]) ** 2
        if base + along >= best:
            continue
        for row_z in range(first_z, end_z):
            for row_y in range(first_y, end_y):
                base = ((row_z - z) * steps[0]) ** 2 + ((row_y - y) * steps[1]) ** 2
                if base + along < best:
                    n_looked += 1
                    dx = nearest_x(targets, item_first + row_z * height + row_y, x, steps[2], best - base)
                    if dx != NEVER and base + (dx * steps[2]) ** 2 < best:
                        best = base + (dx * steps[2]) ** 2
                        there[0], there[1], there[2] = row_z, row_y, x + dx
    return best, n_looked


@compiled
def look_around(
    targets: BitRows,
    blocks: BitRows,
    b: int,
    in_blocks: Any,
    shape: Any,
    steps: Steps,
    gaps: Any,
    box: NDArray[np.int64],
    found: float,
    there: NDArray[np.int64],
    group: NDArray[np.float64],
    best: NDArray[np.float64],
) -> int:
    """Lower the best squared distances of a group in block b (n,) to those of all targets that can be nearest to a voxel
    of the box around it, whose middle has a target at the squared distance that was found, and `there`. Returns how
    many rows and blocks were looked at, or what took as long.
    """
    (depth, height), (step_z, step_y, step_x), (away_z, away_y, bases) = shape, steps, gaps
    half = (box[:, 1] - box[:, 0] + 1) // 2 * steps
    bound = (np.sqrt(found) + np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)) ** 2 * (1 + ROUNDING)
    room, n_looked, n = bound * ROUNDING, 0, best.size
    square_z, square_y, square_x = step_z**2, step_y**2, step_x**2
    block_y, block_z, item_first = b % in_blocks[1], b // in_blocks[1] % in_blocks[0], b // (in_blocks[0] * in_blocks[1])
    item_first *= depth * height
    for k in range(bases.size):
        if bases[k] > bound:
            break
        to_z, to_y = block_z + away_z[k], block_y + away_y[k]
        if not (0 <= to_z < in_blocks[0] and 0 <= to_y < in_blocks[1]):
            continue
        block, first_z, first_y = b + away_z[k] * in_blocks[1] + away_y[k], to_z * BLOCK_DEPTH, to_y * BLOCK_HEIGHT
        end_z, end_y = min(first_z + BLOCK_DEPTH, depth), min(first_y + BLOCK_HEIGHT, height)
        of_block = square_z * excess(box, 0, first_z, end_z - 1, there)
        of_block += square_y * excess(box, 1, first_y, end_y - 1, there)
        for w in range(blocks.shape[1]):
            n_looked += 1
            word = blocks[block, w]
            if not word:
                continue
            low, high = w * 64 + lowest_bit(word), w * 64 + highest_bit(word)
            if of_block + square_x * excess(box, 2, low, high, there) > room:
                continue
            for z in range(first_z, end_z):
                of_plane = square_z * excess(box, 0, z, z, there)
                for y in range(first_y, end_y):
                    n_looked += 1
                    word = targets[item_first + z * height + y, w]
                    of_row = of_plane + square_y * excess(box, 1, y, y, there)
                    while word:
                        x = w * 64 + lowest_bit(word)
                        word &= word - np.uint64(1)
                        n_looked += 1
                        if of_row + square_x * excess(box, 2, x, x, there) <= room:
                            n_looked += n // AT_ONCE
                            lower(best, group, z, y, x, step_z, step_y, step_x)
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
def lower(
    best: NDArray[np.float64],
    group: NDArray[np.float64],
    z: float,
    y: float,
    x: float,
    step_z: float,
    step_y: float,
    step_x: float,
) -> None:
    """Lower the best squared distances of a group (3, n) to those of one target."""
    for i in range(best.size):
        along = ((group[0, i] - z) * step_z) ** 2 + ((group[1, i] - y) * step_y) ** 2
        new = along + ((group[2, i] - x) * step_x) ** 2
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
