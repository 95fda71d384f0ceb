"""The compiled passes over stacks: many images of one size in one call, each with counts of its own.

Images are rows of words, as `label_words` makes them: most of these hold one and the same label eight times.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.foreground_kernel import by_class, sums_of_codes
from segscale.tasks.metrics.label_words import WORD
from segscale.tasks.metrics.pixel_runs import Float64Array, Int64Array, Uint32Array

Uint64Array = NDArray[np.uint64]

ROWS, COPIES = 3, 4
"""Of the cells of codes: background, foreground, ignored; as often as neighbours may not wait for each other."""

EACH, LOWEST = np.uint64(0x0101010101010101), np.uint64(0xFF)
HIGHEST_BITS, BEYOND_ONE = np.uint64(0x8080808080808080), np.uint64(0xFEFEFEFEFEFEFEFE)
ALL_VALID, NOTHING_IGNORED = -1, -1
RUN = 248
"""Words of bytes up to 1 that are added up as they stand: no byte carries over into the next."""
EVERY_OTHER, PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)


@compiled
def count_two_labels(
    references: Uint64Array, label_maps: Uint64Array, n_filled: int, has_ignore: bool
) -> tuple[Int64Array, int]:
    """Pixels by reference and label map, int64 (N, 2, 2), of labels 0 and 1 and, where `has_ignore`, 255 in references.

    Void, with the number of the image, where there is another label.
    """
    n_images, n_words = references.shape
    confusion = np.empty((n_images, 2, 2), np.int64)
    ignore_bits = HIGHEST_BITS if has_ignore else np.uint64(0)
    for image in range(n_images):
        wrong: Any = np.uint64(0)
        in_both, in_reference, predicted, n_ignored = 0, 0, 0, 0
        for start in range(0, n_words, RUN):
            # Of slices, unlike of places in the whole, the compiler takes many words at once.
            labels, predictions = references[image, start : start + RUN], label_maps[image, start : start + RUN]
            both, ones, predicted_ones, ignored_ones = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
            for i in range(labels.size):
                highest = labels[i] & ignore_bits
                ignored = highest | (highest - (highest >> np.uint64(7)))
                wrong |= ((labels[i] ^ ignored) & (BEYOND_ONE | ignored)) | (predictions[i] & BEYOND_ONE)
                label, prediction = labels[i] & ~ignored, predictions[i] & ~ignored
                both += label & prediction
                ones += label
                predicted_ones += prediction
                ignored_ones += highest >> np.uint64(7)
            in_both, in_reference = in_both + _sum_of_bytes(both), in_reference + _sum_of_bytes(ones)
            predicted, n_ignored = predicted + _sum_of_bytes(predicted_ones), n_ignored + _sum_of_bytes(ignored_ones)
        if wrong:
            return confusion, image
        of_background = n_words * WORD - n_filled - n_ignored - in_reference
        confusion[image, 1, 1], confusion[image, 1, 0] = in_both, in_reference - in_both
        confusion[image, 0, 1] = predicted - in_both
        confusion[image, 0, 0] = of_background - confusion[image, 0, 1]
    return confusion, ALL_VALID


@compiled
def _sum_of_bytes(word: Any) -> int:
    halves = (word & EVERY_OTHER) + ((word >> np.uint64(8)) & EVERY_OTHER)
    return int(np.int64((halves * PAIRS) >> np.uint64(48)))


@compiled
def count_many_labels(
    references: Uint64Array, label_maps: Uint64Array, n_classes: int, n_filled: int, ignored_label: int
) -> tuple[Int64Array, int]:
    """The same of `n_classes`, int64 (N, C, C); any label may be the ignored one, or `NOTHING_IGNORED`."""
    n_images, n_words = references.shape
    confusion = np.zeros((n_images, n_classes, n_classes), np.int64)
    for image in range(n_images):
        counts = confusion[image]
        for i in range(n_words):
            labels, predicted = references[image, i], label_maps[image, i]
            label, prediction = labels & LOWEST, predicted & LOWEST
            uniform = (labels == label * EACH) & (predicted == prediction * EACH)
            for _ in range(1 if uniform else WORD):
                label, prediction = labels & LOWEST, predicted & LOWEST
                ignored = np.int64(label) == ignored_label
                if prediction >= n_classes or (label >= n_classes and not ignored):
                    return confusion, image
                if not ignored:
                    counts[label, prediction] += WORD if uniform else 1
                labels, predicted = labels >> np.uint64(8), predicted >> np.uint64(8)
        if ignored_label != 0:
            counts[0, 0] -= n_filled
    return confusion, ALL_VALID


@compiled
def count_codes(
    references: Uint64Array, codes: Uint64Array, n_filled: int, has_ignore: bool, edge: int
) -> tuple[Int64Array, Float64Array, Int64Array, int]:
    """Counts (N, 5, 2), soft sums (N, 3, 2), and histograms (N, 2, BINS) of codes of foreground probabilities.

    Stacks are those of `count_many_labels`, of references with 0, 1 and, where `has_ignore`, 255. The rows are those of
    `count_two_classes`, with foreground from the code `edge` on. Void, with the number of the image, where a reference
    holds another label, and where the codes of an image are 0 and 1 alone.
    """
    n_images = len(references)
    counts, soft = np.empty((n_images, 5, 2), np.int64), np.empty((n_images, 3, 2), np.float64)
    histograms = np.empty((n_images, 2, BINS), np.int64)
    cells = np.zeros((COPIES, ROWS * BINS), np.uint32)
    ignore_bits = HIGHEST_BITS if has_ignore else np.uint64(0)
    for image in range(n_images):
        wrong = _add_cells(references[image], codes[image], ignore_bits, cells)
        highest = _flush(cells, n_filled, histograms[image])
        if wrong or highest == 1:
            return counts, soft, histograms, image
        confusion = np.zeros((2, 2), np.int64)
        for row in range(2):
            for code in range(BINS):
                confusion[row, np.int64(code >= edge)] += histograms[image, row, code]
        counts[image], soft[image] = by_class(confusion, sums_of_codes(histograms[image]))
    return counts, soft, histograms, ALL_VALID


@compiled
def _add_cells(references: Uint64Array, codes: Uint64Array, ignore_bits: Any, cells: Uint32Array) -> bool:
    """Count each pixel in the cell of its label and code, in any of the copies; whether a label was none."""
    wrong: Any = np.uint64(0)
    for i in range(references.size):
        labels, code = references[i], codes[i]
        highest = labels & ignore_bits
        ignored = highest | (highest - (highest >> np.uint64(7)))
        wrong |= (labels ^ ignored) & (BEYOND_ONE | ignored)
        # 2 is the row of ignored pixels; what is no label is counted somewhere, and then void.
        rows = (labels & ~ignored & EACH) | (ignored & (EACH << np.uint64(1)))
        first, first_row = code & LOWEST, rows & LOWEST
        if (code == first * EACH) & (rows == first_row * EACH):
            cells[0, first_row * np.uint64(BINS) + first] += np.uint32(WORD)
            continue
        for place in range(WORD):
            shift = np.uint64(8 * place)
            row, one = (rows >> shift) & LOWEST, (code >> shift) & LOWEST
            cells[place % COPIES, row * np.uint64(BINS) + one] += np.uint32(1)
    return bool(wrong != 0)


@compiled
def _flush(cells: Uint32Array, n_filled: int, histograms: Int64Array) -> int:
    """Move the counts of an image over to its histograms; the highest code that occurred, also where ignored."""
    highest = 0
    for row in range(ROWS):
        for code in range(BINS):
            place = row * BINS + code
            count = np.int64(0)
            for copy in range(COPIES):
                count += np.int64(cells[copy, place])
            if row < ROWS - 1:
                histograms[row, code] = count
            if count > 0 and code > highest:
                highest = code
    histograms[0, 0] -= n_filled
    cells[:] = 0
    return highest
