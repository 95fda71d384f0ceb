"""Bins are differences of counts at successive thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from segscale.errors import ArgumentError
from segscale.tasks.calibration.bins import Bins, bins_of
from tests.tasks.calibration.made_pixels import Pixels


@pytest.mark.parametrize("n_bins", [2, 4, 64])
def test_as_numpy_counts_pixels(n_bins: int) -> None:
    generator = np.random.default_rng(n_bins)
    p = np.concatenate([generator.random(200), [0.0, 1.0, 0.5]])
    reference = generator.random(p.size) < p
    found = Pixels([p], [reference]).bins(n_bins)
    # numpy's last bin holds 1 too, as ours does.
    edges = np.arange(n_bins + 1) / n_bins
    assert found.pixels[0].tolist() == np.histogram(p, edges)[0].tolist()
    assert found.positives[0].tolist() == np.histogram(p[reference], edges)[0].tolist()


def test_sums_of_codes_and_none() -> None:
    bins = Bins(np.array([[1, 2], [3, 4], [5, 6]]), np.array([[1, 0], [0, 1], [1, 1]]), np.array([1.0, np.nan, 2.0]))
    found = bins.sum_by(np.array([1, 0, 1]), 3)
    assert found.pixels.tolist() == [[3, 4], [6, 8], [0, 0]]
    assert found.positives.tolist() == [[0, 1], [2, 1], [0, 0]]
    np.testing.assert_array_equal(found.soft, [np.nan, 3.0, 0.0])
    assert bins.take(np.array([], np.int64)).sum_by(np.array([], np.int64), 1).pixels.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("true_positive", "predicted", "reference", "pixels", "soft", "message"),
    [
        pytest.param([1, 2], [3, 2], 3, 9, 4.0, "contradict", id="more hits at the higher threshold"),
        pytest.param([2, 1], [3, 2], 1, 9, 4.0, "contradict", id="more hits than reference"),
        pytest.param([2, 1], [3, 2], 3, 2, 4.0, "contradict", id="more predicted than pixels"),
        pytest.param([2, 2], [3, 1], 3, 9, 4.0, "contradict", id="more hits than predicted"),
        pytest.param([2, 1], [3, 2], 3, 9, 8.0, "soft_prediction_sum of 1 images", id="a sum above all ends of bins"),
        pytest.param([2, 1], [3, 2], 3, 9, 1.0, "soft_prediction_sum of 1 images", id="a sum below all of them"),
    ],
)
def test_counts_that_cannot_be(
    true_positive: list[int], predicted: list[int], reference: int, pixels: int, soft: float, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        bins_of(
            np.array([true_positive]), np.array([predicted]), np.array([reference]), np.array([pixels]),
            np.array([soft]),
        )  # fmt: skip
