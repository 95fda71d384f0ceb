"""Compiled passes over pixels of several classes and of label maps: one read of the inputs, no copy of them.

Every kernel takes arrays of three axes (depth, height, width) in any memory order. Soft sums are float64 in fixed
partial sums, without fast-math: column x of each row belongs to lane x modulo COPIES.
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
COPIES = 4

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
