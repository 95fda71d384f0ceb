"""Label maps of few classes, counted without a compiled pass: numpy adds eight pixels at once.

Pixels are bytes, and eight of them are one word. Where bytes are 0 or 1, words of them are added up as they stand, as
long as no byte carries over into the next. That is as fast as memory is, and needs no numba, which takes half a second
to load: more than a thousand small label maps take to be read and counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Uint8Array = NDArray[np.uint8]
Int64Array = NDArray[np.int64]
Uint64Array = NDArray[np.uint64]

WORD = 8
"""Pixels of a word."""
MOST_CLASSES = 8
"""Each class costs three sums over all pixels; a compiled pass costs the same whatever their number is."""
_RUN = 128
"""Words that are added up; 255 would still not carry over into the next byte."""
_EVERY_OTHER, _PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)


def in_words(stack: Uint8Array) -> tuple[Uint64Array, int]:
    """A stack (N, ...) as (N, words), without a copy where images are whole words.

    The second answer is how many pixels of 0 fill up the last word of each image.
    """
    pixels = stack.reshape(len(stack), -1)
    n_filled = -pixels.shape[1] % WORD
    if n_filled or not pixels.flags.c_contiguous:
        filled = np.zeros((len(stack), pixels.shape[1] + n_filled), np.uint8)
        filled[:, : pixels.shape[1]] = pixels
        pixels = filled
    return pixels.view(np.uint64), n_filled


def count_few_labels(
    references: Uint64Array, label_maps: Uint64Array, n_classes: int, n_filled: int, ignored: int | None
) -> tuple[Int64Array, Int64Array, int | None]:
    """Of each image and class the pixels of both, of the reference and of the label map, int64 (3, N, C).

    Then the pixels of each image that are ignored, int64 (N,), and the first image with a label that is no class, which
    makes the numbers void, or None. Stacks are those of `in_words`.
    """
    n_images, n_pixels = len(references), references.shape[1] * WORD
    ignored_words = None if ignored is None else _equal(references, ignored)
    n_ignored = np.zeros(n_images, np.int64) if ignored_words is None else _sums(ignored_words)
    counted = None if ignored_words is None or not n_ignored.any() else ~ignored_words
    sums = np.empty((3, n_images, n_classes), np.int64)
    n_predicted = np.zeros(n_images, np.int64)
    for c in range(n_classes):
        reference, predicted = _equal(references, c), _equal(label_maps, c)
        n_predicted += _sums(predicted)
        if counted is not None:
            reference, predicted = reference & counted, predicted & counted
        sums[0, :, c], sums[1, :, c], sums[2, :, c] = _sums(reference & predicted), _sums(reference), _sums(predicted)
    known = (n_predicted == n_pixels) & (sums[1].sum(axis=1) + n_ignored == n_pixels)
    if n_filled and ignored == 0:
        n_ignored -= n_filled
    else:
        sums[:, :, 0] -= n_filled
    return sums, n_ignored, _first(~known)


def _first(refused: NDArray[np.bool_]) -> int | None:
    return int(refused.argmax()) if refused.any() else None


def _equal(words: Uint64Array, label: int) -> Uint64Array:
    """1 for each pixel of the label, 0 for others."""
    equal: NDArray[Any] = words.view(np.uint8) == np.uint8(label)
    return equal.view(np.uint64)


def _sums(words: Uint64Array) -> Int64Array:
    """How many pixels are 1, in each row (N, words)."""
    n_whole = words.shape[1] // _RUN * _RUN
    runs, rest = words[:, :n_whole].reshape(len(words), -1, _RUN), words[:, n_whole:]
    whole = _sums_of_bytes(np.add.reduce(runs, axis=2))
    return whole + _sums_of_bytes(np.add.reduce(rest, axis=1, keepdims=True)) if rest.size else whole


def _sums_of_bytes(words: Uint64Array) -> Int64Array:
    halves = (words & _EVERY_OTHER) + ((words >> np.uint64(8)) & _EVERY_OTHER)
    sums: Int64Array = np.add.reduce((halves * _PAIRS) >> np.uint64(48), axis=1).view(np.int64)
    return sums
