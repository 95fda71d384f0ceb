"""Compiled passes over pixels of several classes and of label maps.

Every kernel takes arrays of three axes (depth, height, width) in any memory order. Of several classes, blocks of pixels
in C order go class by class through the loops of `foreground_kernel`, in buffers that stay in the cache: the class is
the foreground, all others are the background. Their soft sums have the order that is written there.
"""

from typing import Any

import numpy as np

from segscale.tasks.compiled import compiled
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.foreground_kernel import (
    BLOCK,
    CELLS,
    EDGES,
    FLUSH_BLOCKS,
    GROUP,
    IGNORED,
    INTERLEAVED,
    LANES,
    add_cells,
    add_soft_sums,
    flush,
    locate,
    sums_of_lanes,
)
from segscale.tasks.metrics.pixel_runs import (
    ZERO,
    Float32Array,
    Float64Array,
    Int64Array,
    IntegerArray,
    as_float32,
)

COPIES = 4

NO_THRESHOLD = np.float32(2)
NO_CLASS = np.uint8(2)
"""What stands for ignored pixels where 1 is the class and 0 any other."""


@compiled
def _gather(pixels: Any, start: int, block: Any) -> None:
    """Fill the block with the pixels from `start` on in C order."""
    _, height, width = pixels.shape
    row, x, filled = start // width, start % width, 0
    while filled < block.size:
        z, y, n = row // height, row % height, min(width - x, block.size - filled)
        run, part = pixels[z, y, x : x + n], block[filled : filled + n]
        for i in range(n):
            part[i] = run[i]
        row, x, filled = row + 1, 0, filled + n


@compiled
def _are_classes(labels: IntegerArray, n_classes: int, ignored_label: Any, has_ignore: bool) -> bool:
    valid = True
    for i in range(labels.size):
        label = np.int64(labels[i])
        valid &= (has_ignore & (labels[i] == ignored_label)) | ((label >= 0) & (label < n_classes))
    return valid


@compiled
def _choose(probabilities: Float32Array, c: int, highest: Float32Array, best: IntegerArray) -> None:
    """Let class c win where it is above all before it: of equal ones the first stays."""
    for i in range(probabilities.size):
        wins = probabilities[i] > highest[i]
        highest[i] = probabilities[i] if wins else highest[i]
        best[i] = np.uint32(c) if wins else best[i]


@compiled
def _mark(labels: IntegerArray, c: int, ignored_label: Any, has_ignore: bool, marks: IntegerArray) -> None:
    """1 for pixels of class c, 0 for those of others."""
    label = labels.dtype.type(c)
    exists = np.int64(label) == c
    for i in range(labels.size):
        marks[i] = NO_CLASS if has_ignore & (labels[i] == ignored_label) else np.uint8(exists & (labels[i] == label))


@compiled
def _pair(
    labels: IntegerArray, n_classes: int, ignored_label: Any, has_ignore: bool, best: IntegerArray, pair: IntegerArray
) -> None:
    """Cell of each pixel in the confusion matrix, and the one behind it for ignored pixels."""
    for i in range(labels.size):
        ignored = has_ignore & (labels[i] == ignored_label)
        place = np.uint32(labels[i]) * np.uint32(n_classes) + best[i]
        pair[i] = np.uint32(n_classes * n_classes) if ignored else np.uint32(place)


@compiled
def count_argmax(
    reference: IntegerArray, probabilities: Any, ignore_index: int, has_ignore: bool
) -> tuple[Int64Array, Float64Array, Int64Array, bool]:
    """Counts of class probabilities (depth, height, width, C), stored as two classes' are; the first maximum wins.

    Returns confusion, int64 (C, C) of reference against prediction; soft intersection, sum and sum of squares, float64
    (3, C); histograms, int64 (2, C, BINS), background first; and whether all values were in range. If they were not,
    the rest is void.
    """
    n_classes = probabilities.shape[3]
    labels, raw = np.empty(BLOCK, reference.dtype), np.empty(BLOCK, probabilities.dtype)
    decoded, value, cell = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint16)
    highest, best, pair = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    marks, lanes = np.empty(BLOCK, np.uint8), np.zeros((n_classes, 3, LANES), np.float64)
    pairs, confusion = np.zeros((INTERLEAVED, n_classes**2 + 1), np.uint32), np.zeros(n_classes**2, np.int64)
    counts, totals = np.zeros((n_classes, INTERLEAVED, CELLS), np.uint32), np.zeros((n_classes, 2 * EDGES), np.int64)
    soft, histograms = np.empty((3, n_classes), np.float64), np.empty((2, n_classes, BINS), np.int64)
    ignored_label = reference.dtype.type(ignore_index)
    has_ignore = has_ignore & (np.int64(ignored_label) == ignore_index)
    for start in range(0, reference.size, BLOCK):
        n = min(BLOCK, reference.size - start)
        padded = -(-n // GROUP) * GROUP
        _gather(reference, start, labels[:n])
        if not _are_classes(labels[:n], n_classes, ignored_label, has_ignore):
            return confusion.reshape(n_classes, n_classes), soft, histograms, False
        highest[:n], best[:n] = np.float32(-1), np.uint32(0)
        for c in range(n_classes):
            _gather(probabilities[:, :, :, c], start, raw[:n])
            p = as_float32(raw[:n], decoded)
            _choose(p, c, highest[:n], best[:n])
            _mark(labels[:n], c, ignored_label, has_ignore, marks[:n])
            if not locate(marks[:n], p, NO_CLASS, has_ignore, NO_THRESHOLD, value[:n], cell[:n]):
                return confusion.reshape(n_classes, n_classes), soft, histograms, False
            value[n:padded], cell[n:padded] = ZERO, IGNORED
            add_soft_sums(value[:padded], cell[:padded], lanes[c])
            add_cells(cell[:padded], counts[c])
        _pair(labels[:n], n_classes, ignored_label, has_ignore, best[:n], pair[:n])
        pair[n:padded] = np.uint32(n_classes**2)
        add_cells(pair[:padded], pairs)
        if start + BLOCK >= reference.size or start // BLOCK % FLUSH_BLOCKS == FLUSH_BLOCKS - 1:
            flush(pairs, confusion)
            for c in range(n_classes):
                flush(counts[c], totals[c])
    for c in range(n_classes):
        soft[0, c], soft[1, c], soft[2, c] = sums_of_lanes(lanes[c])
        for row in range(2):
            histograms[row, c] = totals[c, row * EDGES : row * EDGES + BINS]
    return confusion.reshape(n_classes, n_classes), soft, histograms, True


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
