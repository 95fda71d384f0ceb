"""The bounds hold what pixels say, whatever they are, and are no wider than they must be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from segscale.tasks.calibration.gaps import bound_gaps
from tests.tasks.calibration.made_pixels import Pixels, true_errors

PIXELS = st.lists(
    st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.booleans()),
    min_size=1,
    max_size=60,
)
BINS = st.sampled_from([2, 4, 16, 64])


@given(pixels=PIXELS, n_bins=BINS, with_soft=st.booleans())
def test_bounds_hold_the_errors_of_pixels(pixels: list[tuple[float, bool]], n_bins: int, with_soft: bool) -> None:
    p, reference = np.array([one for one, _ in pixels]), np.array([one for _, one in pixels])
    bins = Pixels([p], [reference]).bins(n_bins, with_soft)
    (found,) = bound_gaps(bins.pixels, bins.positives, bins.soft)
    for (low, high), truth in zip(found, true_errors(p, reference, n_bins), strict=True):
        assert low - 1e-9 <= truth <= high + 1e-9


@given(pixels=PIXELS, n_bins=BINS)
def test_a_known_sum_narrows(pixels: list[tuple[float, bool]], n_bins: int) -> None:
    p, reference = np.array([one for one, _ in pixels]), np.array([one for _, one in pixels])
    of = Pixels([p], [reference])
    with_soft, without = (of.bins(n_bins, known) for known in (True, False))
    (narrow,) = bound_gaps(with_soft.pixels, with_soft.positives, with_soft.soft)
    (wide,) = bound_gaps(without.pixels, without.positives, without.soft)
    assert (narrow[:, 0] >= wide[:, 0] - 1e-9).all()
    assert (narrow[:, 1] <= wide[:, 1] + 1e-9).all()
    assert (wide[:, 1] - wide[:, 0] <= 1 / n_bins + 1e-9).all()


@pytest.mark.parametrize("seed", range(12))
def test_the_bounds_of_ece_as_programs_solve_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n_bins = 4
    pixels = generator.integers(0, 9, n_bins)
    pixels[0] += 1
    positives = generator.binomial(pixels, 0.5)
    low, high = pixels * np.arange(n_bins) / n_bins, pixels * np.arange(1, n_bins + 1) / n_bins
    soft = float(generator.uniform(low.sum(), high.sum()))
    found = bound_gaps(pixels[np.newaxis], positives[np.newaxis], np.array([soft]))[0, 0] * pixels.sum()
    # Least: a linear program in s and the distances d >= |m - s|.
    eye = np.eye(n_bins)
    least = linprog(
        np.repeat([0.0, 1.0], n_bins),
        A_ub=np.block([[eye, -eye], [-eye, -eye]]), b_ub=np.concatenate([positives, -positives]),
        A_eq=np.repeat([[1.0, 0.0]], n_bins, axis=1), b_eq=[soft],
        bounds=[*zip(low, high, strict=True), *[(0, None)] * n_bins],
    )  # fmt: skip
    assert found[0] == pytest.approx(least.fun, abs=1e-9)
    # Most: a convex sum is largest where all bins but one are at an end.
    most = 0.0
    for free in range(n_bins):
        for ends in itertools.product(*(((low[k], high[k]) if k != free else (0.0,)) for k in range(n_bins))):
            rest = soft - sum(ends)
            if low[free] - 1e-9 <= rest <= high[free] + 1e-9:
                s = np.array(ends)
                s[free] = rest
                most = max(most, float(np.abs(positives - s).sum()))
    widest = float((high - low).max())
    assert most - 1e-9 <= found[1] <= most + widest + 1e-9


def test_rows_without_pixels_are_undefined() -> None:
    found = bound_gaps(np.zeros((1, 4), np.int64), np.zeros((1, 4), np.int64), np.array([0.0]))
    assert np.isnan(found).all()


def test_by_hand() -> None:
    """Two bins of ten pixels: 2 of them foreground below 0.5, 7 above; without a sum, then with one of 10."""
    pixels, positives = np.array([[10, 10]]), np.array([[2, 7]])
    (free,) = bound_gaps(pixels, positives, np.array([np.nan]))
    # s lies in 0 to 5, and in 5 to 10: the gaps are 0 to 3, and 0 to 3.
    assert free.tolist() == [pytest.approx([0.0, 0.3])] * 3
    (known,) = bound_gaps(pixels, positives, np.array([10.0]))
    # 10 - 9 = 1 at least. At most: 5 and 5 (3 + 2), or 0 and 10 (2 + 3).
    assert known[0].tolist() == pytest.approx([0.05, 0.25])
