"""Probabilities and references of made-up images, and their bins as a report would have them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.calibration.bins import Bins, bins_of


@dataclass(frozen=True)
class Pixels:
    """Of each image the probabilities of its pixels, and whether they are foreground."""

    probabilities: list[NDArray[np.float64]]
    references: list[NDArray[np.bool_]]

    def bins(self, n_bins: int, with_soft: bool = True) -> Bins:
        """From counts at the kept thresholds k/n_bins."""
        counts = []
        for p, reference in zip(self.probabilities, self.references, strict=True):
            at = [p >= k / n_bins for k in range(1, n_bins)]
            counts.append((
                [int((one & reference).sum()) for one in at], [int(one.sum()) for one in at],
                int(reference.sum()), p.size, float(p.sum()) if with_soft else np.nan,
            ))  # fmt: skip
        true_positive, predicted, reference_sum, n_pixels, soft = ([one[place] for one in counts] for place in range(5))
        shape = (len(counts), n_bins - 1)
        return bins_of(
            np.array(true_positive, np.int64).reshape(shape), np.array(predicted, np.int64).reshape(shape),
            np.array(reference_sum, np.int64), np.array(n_pixels, np.int64), np.array(soft, np.float64),
        )  # fmt: skip


def true_errors(p: NDArray[np.float64], reference: NDArray[np.bool_], n_bins: int) -> tuple[float, float, float]:
    """ECE, ACE and MCE of pixels whose probabilities are known, bin by bin with a mask each."""
    gaps, shares = [], []
    for k in range(n_bins):
        last = k == n_bins - 1
        inside = (p >= k / n_bins) & ((p < (k + 1) / n_bins) | last)
        if inside.any():
            gaps.append(abs(float(reference[inside].mean()) - float(p[inside].mean())))
            shares.append(float(inside.mean()))
    return float(np.dot(gaps, shares)), float(np.mean(gaps)), max(gaps)
