"""What is kept of predictions: labels, or probabilities in 8 bits, in the shape of the shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.tasks.metrics.bins import BINS

LABELS, PROBABILITIES = "labels", "probabilities"


class Kept:
    """The arrays that are kept, filled band by band."""

    def __init__(self, keep: str, shape: Sequence[int], outputs: int, n_classes: int, threshold: float) -> None:
        """`keep` names what is kept (anything but labels and probabilities: nothing) of slices of `shape` (N, H, W)."""
        shapes = {LABELS: tuple(shape), PROBABILITIES: (*shape, outputs)}
        self.arrays: dict[str, npt.NDArray[Any]] = {keep: np.zeros(shapes[keep], np.uint8)} if keep in shapes else {}
        self._n_classes, self._threshold = n_classes, threshold

    def put(self, position: int, top: int, probabilities: npt.NDArray[np.float32]) -> None:
        """Keep rows of one slice, from `top` on; `probabilities` is (rows, width, outputs) without padding."""
        rows, width, _ = probabilities.shape
        place = position, slice(top, top + rows), slice(width)
        if LABELS in self.arrays:
            self.arrays[LABELS][place] = to_labels(probabilities, self._n_classes, self._threshold)
        if PROBABILITIES in self.arrays:
            self.arrays[PROBABILITIES][place] = quantize(probabilities)

    def drop(self, start: int, stop: int) -> None:
        """Keep nothing of these slices: something of their image is no prediction."""
        for array in self.arrays.values():
            array[start:stop] = 0


def to_labels(probabilities: npt.NDArray[np.float32], n_classes: int, threshold: float) -> npt.NDArray[np.uint8]:
    """The predicted class of each pixel (H, W), from (H, W, outputs), by the same rule as the counts."""
    if n_classes == 2:
        return (probabilities[..., -1] >= np.float32(threshold)).view(np.uint8)
    labels: npt.NDArray[np.uint8] = probabilities.argmax(axis=-1).astype(np.uint8)
    return labels


def quantize(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Probabilities as q = min(floor(256 p), 255), computed in float32: q >= k exactly where p >= k/256."""
    quantized: npt.NDArray[np.uint8] = np.minimum(probabilities * np.float32(BINS), np.float32(BINS - 1)).astype(
        np.uint8
    )
    return quantized
