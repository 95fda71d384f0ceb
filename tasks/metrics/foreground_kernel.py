"""The compiled pass over two classes, the common case: one read of the inputs, no copy, no Python between two pixels.

Arrays have three axes (depth, height, width) in any memory order. They are taken in C order through buffers of a few
kilobytes that stay in the first cache, so the costly loops meet contiguous memory whatever the strides are, and the
order of all sums follows from the shape alone.

Soft sums are float64 in fixed partial sums, without fast-math: each GROUP of pixels in C order gives lane l the sum
(a + b) + (c + d) of its pixels l, l + LANES, l + 2 LANES and l + 3 LANES, and the lanes are halved onto each other at
the end. Products of two float32 are exact in float64, so a fused multiply-add changes nothing either: the sums depend
neither on the compiler nor on the width of the machine's vectors. Sums of uint8 codes are integers until they are
divided, once.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.pixel_runs import (
    ZERO,
    Float32Array,
    Float64Array,
    Int64Array,
    IntegerArray,
    Uint16Array,
    Uint32Array,
    as_float32,
    contiguous,
)

EDGES = BINS + 1
CELLS = 3 * EDGES
BLOCK = 4096
LANES = 64
GROUP = 4 * LANES
UNIFORM = 128
"""Pixels that are counted at once where all have one cell, as most have: predictions are 0 or 1 almost everywhere."""
INTERLEAVED = 8
FLUSH_BLOCKS = 512
"""Blocks after which the 32-bit cells go over to the 64-bit ones, long before one could overflow."""

BACKGROUND, FOREGROUND, IGNORED = np.uint16(0), np.uint16(EDGES), np.uint16(2 * EDGES)
"""First cells of the rows."""
ONE = np.float32(1)


@compiled
def locate(
    labels: IntegerArray,
    probabilities: Float32Array,
    ignored_label: Any,
    has_ignore: bool,
    threshold: np.float32,
    value: Float32Array,
    cell: Uint16Array,
) -> bool:
    """Value and cell of each pixel; False where a label or a probability is out of range.

    The cell is the row of the pixel's label, then the bin, with the threshold as one more edge inside its bin.
    """
    # Truth stays bool: numba adds and joins small integers as 64-bit ones, which fill vectors with few pixels.
    valid = True
    for i in range(labels.size):
        label, p = labels[i], probabilities[i]
        ignored = has_ignore & (label == ignored_label)
        valid &= (p >= ZERO) & (p <= ONE) & (ignored | (label == 0) | (label == 1))
        p = ZERO if ignored else p
        row = IGNORED if ignored else (FOREGROUND if label != 0 else BACKGROUND)
        bin_index = min(np.int32(p * np.float32(BINS)), np.int32(BINS - 1))
        value[i] = p
        cell[i] = row + np.uint16(bin_index) + np.uint16(p >= threshold)
    return valid


@compiled
def _locate_codes(
    labels: IntegerArray,
    codes: NDArray[np.uint8],
    ignored_label: Any,
    has_ignore: bool,
    threshold: np.float32,
    cell: Uint16Array,
) -> bool:
    """The same of uint8 codes, which are their bins."""
    edge, valid = np.uint16(threshold * np.float32(BINS)), True
    for i in range(labels.size):
        label, code = labels[i], np.uint16(codes[i])
        ignored = has_ignore & (label == ignored_label)
        valid &= ignored | (label == 0) | (label == 1)
        row = IGNORED if ignored else (FOREGROUND if label != 0 else BACKGROUND)
        cell[i] = row + code + np.uint16(code >= edge)
    return valid


@compiled
def add_soft_sums(value: Float32Array, cell: Uint16Array, lanes: Float64Array) -> None:
    """Add whole groups to the lanes (3, LANES) of the soft intersection, sum and sum of squares."""
    intersection, total, squares = lanes[0], lanes[1], lanes[2]
    for start in range(0, value.size, GROUP):
        # Slices of fixed length let the compiler see that the inner loop is contiguous; it is 5 times faster so.
        values, cells = value[start : start + GROUP], cell[start : start + GROUP]
        for lane in range(LANES):
            a: Any = np.float64(values[lane])
            b: Any = np.float64(values[lane + LANES])
            c: Any = np.float64(values[lane + 2 * LANES])
            d: Any = np.float64(values[lane + 3 * LANES])
            total[lane] += (a + b) + (c + d)
            squares[lane] += (a * a + b * b) + (c * c + d * d)
        has_foreground = False
        for i in range(GROUP):
            has_foreground |= cells[i] >= FOREGROUND
        # Most groups have none, and would add zeros.
        if not has_foreground:
            continue
        for lane in range(LANES):
            # p of ignored pixels is 0, so that whatever is not background is foreground.
            a = np.float64(values[lane]) if cells[lane] >= FOREGROUND else 0.0
            b = np.float64(values[lane + LANES]) if cells[lane + LANES] >= FOREGROUND else 0.0
            c = np.float64(values[lane + 2 * LANES]) if cells[lane + 2 * LANES] >= FOREGROUND else 0.0
            d = np.float64(values[lane + 3 * LANES]) if cells[lane + 3 * LANES] >= FOREGROUND else 0.0
            intersection[lane] += (a + b) + (c + d)


@compiled
def add_cells(cell: IntegerArray, counts: Uint32Array) -> None:
    """Count the pixels of each cell, in any of the copies (INTERLEAVED, cells)."""
    for start in range(0, cell.size, UNIFORM):
        run = cell[start : start + UNIFORM]
        first, uniform = run[0], True
        for i in range(UNIFORM):
            uniform &= run[i] == first
        if uniform:
            counts[0, first] += np.uint32(UNIFORM)
            continue
        for i in range(0, UNIFORM, INTERLEAVED):
            # Neighbouring pixels count in copies of their own: one bin does not wait for its last increment.
            for copy in range(INTERLEAVED):
                counts[copy, run[i + copy]] += np.uint32(1)


@compiled
def flush(counts: Uint32Array, totals: Int64Array) -> None:
    """Move the counts over to the totals; cells beyond them are forgotten."""
    for copy in range(INTERLEAVED):
        row = counts[copy]
        for place in range(totals.size):
            totals[place] += np.int64(row[place])
    counts[:] = 0


@compiled
def _without_threshold_edge(totals: Int64Array, threshold: np.float32) -> tuple[Int64Array, Int64Array]:
    confusion, histograms = np.zeros((2, 2), np.int64), np.zeros((2, BINS), np.int64)
    split = min(int(np.float32(BINS) * threshold), BINS - 1)
    for row in range(2):
        for edge in range(EDGES):
            beyond, count = int(edge > split), totals[row * EDGES + edge]
            histograms[row, edge - beyond] += count
            confusion[row, beyond] += count
    return confusion, histograms


@compiled
def sums_of_lanes(lanes: Float64Array) -> tuple[float, float, float]:
    """Soft intersection, sum and sum of squares; the lanes are used up."""
    width = LANES // 2
    while width > 0:
        for row in range(3):
            for lane in range(width):
                lanes[row, lane] += lanes[row, lane + width]
        width //= 2
    return lanes[0, 0], lanes[1, 0], lanes[2, 0]


@compiled
def sums_of_codes(histograms: Int64Array) -> tuple[float, float, float]:
    intersection, total, squares = 0, 0, 0
    for code in range(BINS):
        background, foreground = histograms[0, code], histograms[1, code]
        intersection += code * foreground
        total += code * (background + foreground)
        squares += code * code * (background + foreground)
    return intersection / BINS, total / BINS, squares / BINS**2


@compiled
def by_class(confusion: Int64Array, sums: tuple[float, float, float]) -> tuple[Int64Array, Float64Array]:
    # Made here, as the small arrays of a small image take Python longer than its pixels take the loops above.
    (tn, fp), (fn, tp) = (confusion[0, 0], confusion[0, 1]), (confusion[1, 0], confusion[1, 1])
    counts = np.array([[tn, tp], [fn, fp], [fp, fn], [tp, tn], [tn + fp, fn + tp]])
    intersection, total, squares = sums
    n_background, n_counted = tn + fp, tn + fp + fn + tp
    soft = np.empty((3, 2))
    soft[0, 1], soft[1, 1], soft[2, 1] = sums
    # Of 1 - p over the same pixels; where p is 1 almost everywhere, rounding could leave a sum just below 0.
    soft[0, 0] = max(n_background - (total - intersection), 0.0)
    soft[1, 0] = max(n_counted - total, 0.0)
    soft[2, 0] = max(n_counted - 2 * total + squares, 0.0)
    return counts, soft


@compiled
def _count_block(
    filled: int, of_codes: bool, value: Float32Array, cell: Uint16Array, lanes: Float64Array, cells: Uint32Array
) -> None:
    padded = -(-filled // GROUP) * GROUP
    cell[filled:padded] = IGNORED
    if not of_codes:
        value[filled:padded] = ZERO
        add_soft_sums(value[:padded], cell[:padded], lanes)
    add_cells(cell[:padded], cells)


@compiled
def count_two_classes(
    reference: IntegerArray, probabilities: Any, ignore_index: int, has_ignore: bool, threshold: np.float32
) -> tuple[Int64Array, Float64Array, Int64Array, bool]:
    """Counts, soft sums and histograms of foreground probabilities: floats, float16 as uint16 bits, or uint8 codes.

    Returns counts, int64 (5, 2): true and false positives, false and true negatives, reference pixels of background and
    foreground; soft intersection, sum and sum of squares, float64 (3, 2), the background's of 1 - p; histograms, int64
    (2, BINS), background first; and whether all values were in range. If they were not, the rest of the answer is void.
    Of uint8 codes the threshold must be a multiple of 1/256 below 1.
    """
    of_codes = probabilities.itemsize == 1
    labels, raw = np.empty(BLOCK, reference.dtype), np.empty(BLOCK, probabilities.dtype)
    decoded, value, cell = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint16)
    lanes, cells = np.zeros((3, LANES), np.float64), np.zeros((INTERLEAVED, CELLS), np.uint32)
    totals = np.zeros(2 * EDGES, np.int64)
    depth, height, width = reference.shape
    # In the labels' own type, as wider ones fill vectors with fewer pixels.
    ignored_label = reference.dtype.type(ignore_index)
    has_ignore = has_ignore & (np.int64(ignored_label) == ignore_index)
    filled, n_blocks, n_left, valid = 0, 0, reference.size, True
    for z in range(depth):
        for y in range(height):
            x = 0
            while x < width:
                end = x + min(width - x, BLOCK - filled)
                run, given = contiguous(reference[z, y, x:end], labels), probabilities[z, y, x:end]
                place = slice(filled, filled + end - x)
                if of_codes:
                    codes = contiguous(given, raw)
                    valid &= _locate_codes(run, codes, ignored_label, has_ignore, threshold, cell[place])
                else:
                    p = as_float32(given, decoded)
                    valid &= locate(run, p, ignored_label, has_ignore, threshold, value[place], cell[place])
                filled, n_left, x = filled + end - x, n_left - (end - x), end
                if filled < BLOCK and n_left > 0:
                    continue
                # A pixel out of range has no cell that may be counted.
                if not valid:
                    return np.zeros((5, 2), np.int64), np.zeros((3, 2)), np.zeros((2, BINS), np.int64), False
                _count_block(filled, of_codes, value, cell, lanes, cells)
                filled, n_blocks = 0, n_blocks + 1
                if n_left == 0 or n_blocks % FLUSH_BLOCKS == 0:
                    flush(cells, totals)
    confusion, histograms = _without_threshold_edge(totals, threshold)
    counts, soft = by_class(confusion, sums_of_codes(histograms) if of_codes else sums_of_lanes(lanes))
    return counts, soft, histograms, True
