"""The compiled pass over two label maps as they are stored: their values are looked up and counted at once."""

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled
from segscale.tasks.metrics.label_words import WORD
from segscale.tasks.metrics.pixel_runs import Int64Array

Uint8Array = NDArray[np.uint8]

EACH, LOWEST = np.uint64(0x0101010101010101), np.uint64(0xFF)
IGNORED, UNKNOWN, WHITE = 0, 1, 2
"""Kinds of values behind the classes: not counted, no class, and 255 where it is class 1 unless 1 is there as well."""
BESIDE_CLASSES = 3
BLOCK = 8
"""Words that are compared at once, as many as the widest registers hold."""


@compiled
def count_stored_pair(
    reference: Uint8Array,
    prediction: Uint8Array,
    of_reference: Uint8Array,
    of_prediction: Uint8Array,
    n_classes: int,
    members: Uint8Array,
) -> tuple[Int64Array, int]:
    """The counts of a pair by class and region, int64 (5, C + R), and its counted pixels.

    In the order true and false positive, false and true negative, reference. -1 pixels, and void counts, where
    something has to be said of the pair: a value that is no class, 1 beside white, or an ignored pixel of the
    prediction where the reference has a class.

    reference, prediction: (N,), contiguous. of_reference, of_prediction: (256,), the kind of each value: a class, or
    C + one of those beside them. members: (R, C), 1 where a class is in a region.
    """
    pixels = _by_kind(reference, prediction, of_reference, of_prediction, n_classes + BESIDE_CLASSES)
    ignored, unknown, white = n_classes + IGNORED, n_classes + UNKNOWN, n_classes + WHITE
    counts = np.zeros((5, n_classes + members.shape[0]), np.int64)
    of_kind, predicted_of_kind = pixels.sum(axis=1), pixels.sum(axis=0)
    if (
        of_kind[unknown] + predicted_of_kind[unknown] > 0
        or predicted_of_kind[ignored] > pixels[ignored, ignored]
        or (of_kind[white] > 0 and of_kind[1] > 0)
        or (predicted_of_kind[white] > 0 and predicted_of_kind[1] > 0)
    ):
        return counts, -1
    pixels[1] += pixels[white]
    pixels[:, 1] += pixels[:, white]
    n_counted = 0
    for c in range(n_classes):
        in_reference, in_prediction = pixels[c, :n_classes].sum(), pixels[:n_classes, c].sum()
        counts[0, c], counts[4, c] = pixels[c, c], in_reference
        counts[1, c], counts[2, c] = in_prediction - pixels[c, c], in_reference - pixels[c, c]
        n_counted += in_reference
    for region in range(members.shape[0]):
        _add_region(pixels, members[region], counts[:, n_classes + region])
    for c in range(counts.shape[1]):
        counts[3, c] = n_counted - counts[0, c] - counts[1, c] - counts[2, c]
    return counts, n_counted


@compiled
def _add_region(pixels: Int64Array, is_member: Uint8Array, counts: Int64Array) -> None:
    """The counts of a region, int64 (5,), but for its true negatives."""
    for c in range(is_member.size):
        for predicted in range(is_member.size):
            if is_member[c] and is_member[predicted]:
                counts[0] += pixels[c, predicted]
            elif is_member[predicted]:
                counts[1] += pixels[c, predicted]
            elif is_member[c]:
                counts[2] += pixels[c, predicted]
    counts[4] = counts[0] + counts[2]


@compiled
def _by_kind(
    reference: Uint8Array, prediction: Uint8Array, of_reference: Uint8Array, of_prediction: Uint8Array, n_kinds: int
) -> Int64Array:
    """Pixels by the kind of their reference and of their prediction, int64 (n_kinds, n_kinds)."""
    counts = np.zeros((n_kinds, n_kinds), np.int64)
    n_blocks = reference.size // (BLOCK * WORD)
    n_whole = n_blocks * BLOCK * WORD
    words, predicted_words = reference[:n_whole].view(np.uint64), prediction[:n_whole].view(np.uint64)
    labels, predicted, n_alike = np.uint64(0), np.uint64(0), 0
    for block in range(n_blocks):
        # Most blocks hold one label in both, that of the pixel before them.
        differing = np.uint64(0)
        for i in range(block * BLOCK, (block + 1) * BLOCK):
            differing |= (words[i] ^ labels) | (predicted_words[i] ^ predicted)
        if differing == 0:
            n_alike += 1
            continue
        counts[of_reference[labels & LOWEST], of_prediction[predicted & LOWEST]] += n_alike * BLOCK * WORD
        n_alike = 0
        for i in range(block * BLOCK, (block + 1) * BLOCK):
            labels, predicted = words[i], predicted_words[i]
            if labels == (labels & LOWEST) * EACH and predicted == (predicted & LOWEST) * EACH:
                counts[of_reference[labels & LOWEST], of_prediction[predicted & LOWEST]] += WORD
            else:
                for place in range(i * WORD, (i + 1) * WORD):
                    counts[of_reference[reference[place]], of_prediction[prediction[place]]] += 1
        last = (block + 1) * BLOCK * WORD - 1
        labels, predicted = np.uint64(reference[last]) * EACH, np.uint64(prediction[last]) * EACH
    counts[of_reference[labels & LOWEST], of_prediction[predicted & LOWEST]] += n_alike * BLOCK * WORD
    for place in range(n_whole, reference.size):
        counts[of_reference[reference[place]], of_prediction[prediction[place]]] += 1
    return counts
