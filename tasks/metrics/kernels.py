"""Compiled passes over pixels: one read of the inputs, no copy of them, no Python between two pixels.

Every kernel takes arrays of three axes (depth, height, width) in any memory order. Two classes, the common case, are
gathered in C order into buffers of a few kilobytes that stay in the first cache, so the costly loops meet contiguous
memory whatever the strides are, and the order of all sums follows from the shape alone.

Soft sums are float64 in fixed partial sums, without fast-math: pixel i of C order belongs to lane i modulo LANES; of
several classes, column x of each row to lane x modulo COPIES. Products of two float32 are exact in float64, so a fused
multiply-add changes nothing either: the sums depend neither on the compiler nor on the width of the machine's vectors.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tasks.metrics.compiled import compiled

IntegerArray = NDArray[np.integer[Any]]
Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

BINS = 256
EDGES = BINS + 1
BLOCK = 4096
LANES = 256
COPIES = 4

BACKGROUND, FOREGROUND, IGNORED, INVALID = np.uint8(0), np.uint8(1), np.uint8(2), np.uint8(3)
ZERO, ONE = np.float32(0), np.float32(1)


def _probability(raw: Any, table: Float32Array) -> Any:  # noqa: ARG001 - the overload below reads both
    """float32 value of a stored probability: a cast of floats, a look-up of integer codes (uint8, bits of float16)."""
    raise AssertionError("only compiled code calls this")


def _compile_probability(raw: Any, table: Any) -> Callable[..., Any]:  # noqa: ARG001 - numba matches both names
    if isinstance(raw, numba.types.Float):
        return lambda raw, table: np.float32(raw)  # noqa: ARG005
    return lambda raw, table: table[raw]


# Not strict: numba would demand the annotations on the lambdas, too.
overload(_probability, strict=False)(_compile_probability)


@compiled
def _gather(
    reference: IntegerArray,
    probabilities: Any,
    table: Float32Array,
    ignore_index: int,
    has_ignore: bool,
    code: NDArray[np.uint8],
    value: Float32Array,
) -> Any:
    """Fill one run of the buffers; nonzero where a label or a probability is out of range."""
    invalid = np.uint8(0)
    for i in range(reference.size):
        label = np.int64(reference[i])
        p = _probability(probabilities[i], table)
        c = BACKGROUND if label == 0 else (FOREGROUND if label == 1 else INVALID)
        c = IGNORED if (has_ignore & (label == ignore_index)) else c
        invalid = invalid | np.uint8(not ((p >= ZERO) & (p <= ONE))) | np.uint8(c == INVALID)
        code[i] = c
        value[i] = p if c < IGNORED else ZERO
    return invalid


@compiled
def _add_soft_sums(
    code: NDArray[np.uint8],
    value: Float32Array,
    intersection: Float64Array,
    total: Float64Array,
    squares: Float64Array,
) -> None:
    for start in range(0, value.size, LANES):
        # Slices of fixed length let the compiler see that the inner loop is contiguous; it is 5 times faster so.
        values = value[start : start + LANES]
        codes = code[start : start + LANES]
        for lane in range(LANES):
            p = np.float64(values[lane])
            total[lane] += p
            squares[lane] += p * p
            intersection[lane] += p * np.float64(codes[lane] == FOREGROUND)


@compiled
def _locate_cells(code: NDArray[np.uint8], value: Float32Array, threshold: np.float32, cell: NDArray[np.int32]) -> None:
    """Cell of each pixel: its code, then its bin, with the threshold as one more edge inside the bin that holds it."""
    for i in range(value.size):
        p = value[i]
        bin_index = min(np.int32(p * np.float32(BINS)), np.int32(BINS - 1))
        cell[i] = np.int32(code[i]) * np.int32(EDGES) + bin_index + np.int32(p >= threshold)


@compiled
def _add_cells(
    cell: NDArray[np.int32], first: Int64Array, second: Int64Array, third: Int64Array, fourth: Int64Array
) -> None:
    for i in range(0, cell.size, COPIES):
        # Four histograms, loads before stores: neighbours of one bin do not wait for each other's increments.
        a, b, c, d = np.uint64(cell[i]), np.uint64(cell[i + 1]), np.uint64(cell[i + 2]), np.uint64(cell[i + 3])
        first[a] += 1
        second[b] += 1
        third[c] += 1
        fourth[d] += 1


@compiled
def count_two_classes(
    reference: IntegerArray,
    probabilities: Any,
    table: Float32Array,
    ignore_index: int,
    has_ignore: bool,
    threshold: np.float32,
) -> tuple[Int64Array, Float64Array, bool]:
    """Cells and soft sums of foreground probabilities.

    Returns cells, int64 (COPIES, 3, EDGES), to be summed over the first axis (rows: reference background, reference
    foreground, and a row of ignored pixels and padding that is to be dropped); the lanes of the soft intersection,
    sum and sum of squares, float64 (3, LANES); and whether all values were in range. If they were not, the rest of the
    answer is void.
    """
    code, value, cell = np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.int32)
    cells, lanes = np.zeros((COPIES, 3 * EDGES), np.int64), np.zeros((3, LANES), np.float64)
    depth, height, width = reference.shape
    filled, invalid = 0, np.uint8(0)
    n_left = reference.size
    for z in range(depth):
        for y in range(height):
            x = 0
            while x < width:
                run = min(width - x, BLOCK - filled)
                end = filled + run
                invalid |= _gather(
                    reference[z, y, x : x + run], probabilities[z, y, x : x + run], table, ignore_index, has_ignore,
                    code[filled:end], value[filled:end],
                )  # fmt: skip
                x, filled, n_left = x + run, end, n_left - run
                if filled < BLOCK and n_left > 0:
                    continue
                if invalid:
                    return cells.reshape(COPIES, 3, EDGES), lanes, False
                padded = -(-filled // LANES) * LANES
                code[filled:padded] = IGNORED
                value[filled:padded] = ZERO
                _add_soft_sums(code[:padded], value[:padded], lanes[0], lanes[1], lanes[2])
                _locate_cells(code[:padded], value[:padded], threshold, cell[:padded])
                _add_cells(cell[:padded], cells[0], cells[1], cells[2], cells[3])
                filled = 0
    return cells.reshape(COPIES, 3, EDGES), lanes, True


@compiled
def count_argmax(
    reference: IntegerArray, probabilities: Any, table: Float32Array, ignore_index: int, has_ignore: bool
) -> tuple[Int64Array, Int64Array, Float64Array, bool]:
    """Confusion, histograms and soft sums of class probabilities (depth, height, width, C); the first maximum wins.

    Returns confusion, int64 (C, C) of reference against prediction; histograms, int64 (2, C, BINS), background first;
    lanes of the soft intersection, sum and sum of squares, float64 (COPIES, 3, C); and whether all values were in
    range. If they were not, the rest is void.
    """
    depth, height, _, n_classes = probabilities.shape
    confusion = np.zeros((n_classes, n_classes), np.int64)
    histograms = np.zeros((2, n_classes, BINS), np.int64)
    lanes = np.zeros((COPIES, 3, n_classes), np.float64)
    for z in range(depth):
        for y in range(height):
            if not _add_row(
                reference[z, y], probabilities[z, y], table, ignore_index, has_ignore, confusion, histograms, lanes
            ):
                return confusion, histograms, lanes, False
    return confusion, histograms, lanes, True


@compiled
def _add_row(
    reference: IntegerArray,
    probabilities: Any,
    table: Float32Array,
    ignore_index: int,
    has_ignore: bool,
    confusion: Int64Array,
    histograms: Int64Array,
    lanes: Float64Array,
) -> bool:
    # One function a row, not a pixel: each call counts references to its arrays, which costs more than a pixel does.
    # Unsigned places spare the compiled code the question whether an index counts from the end.
    width, n_classes = probabilities.shape
    for x in range(width):
        best, highest, valid = np.uint64(0), np.float32(-1), True
        for c in range(n_classes):
            p = _probability(probabilities[x, c], table)
            valid &= (p >= ZERO) & (p <= ONE)
            if p > highest:
                best, highest = np.uint64(c), p
        ignored = has_ignore and reference[x] == ignore_index
        if not valid or not (ignored or 0 <= reference[x] < n_classes):
            return False
        if ignored:
            continue
        label, lane = np.uint64(reference[x]), np.uint64(x % COPIES)
        confusion[label, best] += 1
        for c in range(n_classes):
            p = _probability(probabilities[x, c], table)
            lanes[lane, 1, c] += np.float64(p)
            lanes[lane, 2, c] += np.float64(p) * np.float64(p)
            histograms[0, c, _bin(p)] += 1
        # Every class counted as background above; that of the reference moves over: no branch per class.
        p = _probability(probabilities[x, label], table)
        lanes[lane, 0, label] += np.float64(p)
        histograms[0, label, _bin(p)] -= 1
        histograms[1, label, _bin(p)] += 1
    return True


@compiled
def _bin(p: Any) -> np.uint64:
    return np.uint64(min(int(p * np.float32(BINS)), BINS - 1))


@compiled
def count_labels(
    reference: IntegerArray, label_map: IntegerArray, n_classes: int, ignore_index: int, has_ignore: bool
) -> tuple[Int64Array, bool]:
    """Confusion, int64 (COPIES, C, C) of reference against label map, to be summed over the first axis.

    The second answer is False, and the first void, where a label was out of range.
    """
    confusion = np.zeros((COPIES, n_classes, n_classes), np.int64)
    depth, height, width = reference.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                label, predicted = np.int64(reference[z, y, x]), np.int64(label_map[z, y, x])
                ignored = has_ignore and label == ignore_index
                if predicted < 0 or predicted >= n_classes or not (ignored or 0 <= label < n_classes):
                    return confusion, False
                if not ignored:
                    confusion[x % COPIES, label, predicted] += 1
    return confusion, True
