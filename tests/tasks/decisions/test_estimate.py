"""Estimates of clusters: t and Hall's transformation against scipy, plain sums and the studentised bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from segscale.tasks.decisions.estimate import Estimate
from segscale.tasks.metrics.bootstrap import UnitSums, influence, resample

Floats = NDArray[np.float64]


def of_ratio(numerator: Floats, denominator: Floats) -> Estimate:
    sums = UnitSums(numerator, denominator, 0.0)
    return Estimate(float(numerator.sum() / denominator.sum()), influence(sums), denominator)


def of_values(values: Floats) -> Estimate:
    return of_ratio(values, np.ones(values.size))


def without_skewness(values: Floats) -> Floats:
    """Each value and its mirror image around the mean."""
    return np.concatenate([values, 2 * values.mean() - values])


def test_without_clusters_and_skewness_it_is_scipys_t_test() -> None:
    values = without_skewness(np.random.default_rng(1).normal(0.01, 0.05, 30))
    estimate, expected = of_values(values), stats.ttest_1samp(values, 0.0)
    assert estimate.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-12)
    above = stats.ttest_1samp(values, -0.01, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.02, alternative="less").pvalue
    assert estimate.p_not_above(-0.01) == pytest.approx(above, rel=1e-9)
    assert estimate.p_not_below(0.02) == pytest.approx(below, rel=1e-9)


def test_the_standard_error_of_clusters_by_plain_sums() -> None:
    generator = np.random.default_rng(2)
    sizes = generator.integers(1, 9, 40).astype(float)
    sums = generator.normal(0, 0.1, 40) * sizes
    estimate = of_ratio(sums, sizes)
    # Särndal, Swensson and Wretman (1992), 5.5: residuals of the ratio, by cluster.
    residuals = sums - sums.sum() / sizes.sum() * sizes
    expected = np.sqrt(40 / 39 * (residuals**2).sum()) / sizes.sum()
    assert estimate.standard_error == pytest.approx(expected, rel=1e-12)
    assert estimate.n_effective == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum())


def test_clusters_with_nothing_to_be_measured_change_nothing() -> None:
    values = np.random.default_rng(3).normal(0, 1, 30)
    alone = of_ratio(values, np.ones(30))
    beside = of_ratio(np.append(values, np.zeros(300)), np.append(np.ones(30), np.zeros(300)))
    assert beside.interval(0.95) == pytest.approx(alone.interval(0.95), rel=1e-12)
    assert (beside.n_clusters, beside.n_effective) == (30, 30)


def test_one_large_cluster_among_small_ones_makes_the_interval_wider() -> None:
    sums, sizes = np.random.default_rng(4).normal(0, 1, 25), np.ones(25)
    sizes[0] = 100.0
    estimate = of_ratio(sums, sizes)
    assert estimate.n_effective == pytest.approx(124**2 / (100**2 + 24))
    low, high = estimate.interval(0.95)
    assert high - low > 2 * stats.t.ppf(0.975, 24) * estimate.standard_error


def test_skewed_differences_have_the_bounds_of_the_studentised_bootstrap() -> None:
    values = -(np.random.default_rng(5).exponential(0.1, 200) ** 2)
    estimate = of_values(values)
    moments = [UnitSums(one, np.ones(200), 0.0) for one in (values, values**2)]
    means, squares = (one.replicates for one in resample(moments, 20_000, [1]))
    roots = (means - values.mean()) / np.sqrt((squares - means**2) / 199)
    lower = values.mean() - np.quantile(roots, 0.975) * estimate.standard_error
    # t alone would stay above it by half a standard error.
    assert abs(estimate.interval(0.95)[0] - lower) < 0.25 * estimate.standard_error
    t = estimate.value - stats.t.ppf(0.975, 199) * estimate.standard_error
    assert t - lower > 0.3 * estimate.standard_error


@pytest.mark.parametrize(
    ("values", "above", "below"),
    [
        pytest.param([], (np.nan, np.nan), (np.nan, np.nan), id="nothing"),
        pytest.param([0.5], (np.nan, np.nan), (np.nan, np.nan), id="one cluster has no spread"),
        pytest.param([0.0] * 30, (0.0, 1.0), (1.0, 1.0), id="all equal: the truth is what all say"),
    ],
)
def test_estimates_without_a_spread(values: list[float], above: tuple[float, ...], below: tuple[float, ...]) -> None:
    array = np.array(values)
    estimate = Estimate(float(array.mean()) if values else np.nan, array - array.mean() if values else array, array + 1)
    found = [estimate.p_not_above(bound) for bound in (-0.01, 0.0)]
    np.testing.assert_equal(found, above)
    np.testing.assert_equal([estimate.p_not_below(bound) for bound in (-0.01, 0.0)], below)


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.integers(1, 50)), min_size=5, max_size=60),
    st.floats(-0.5, 0.5),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_the_interval_ends_where_the_tests_turn(
    clusters: list[tuple[float, int]], bound: float, confidence: float
) -> None:
    values, sizes = np.array(clusters).T
    estimate = of_ratio(values * sizes, sizes)
    low, high = estimate.interval(confidence)
    if np.isnan(low) or min(abs(low - bound), abs(high - bound)) < 1e-9:
        return
    level = (1 - confidence) / 2
    assert low <= estimate.value <= high
    assert (estimate.p_not_above(bound) <= level) == (low > bound)
    assert (estimate.p_not_below(bound) <= level) == (high < bound)


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=40), st.floats(0.1, 10), st.floats(-1, 1))
def test_other_units_and_another_zero_move_everything_alike(values: list[float], scale: float, zero: float) -> None:
    one, other = of_values(np.array(values)), of_values(zero + scale * np.array(values))
    expected = [zero + scale * end for end in one.interval(0.95)]
    np.testing.assert_allclose(other.interval(0.95), expected, atol=1e-6 * scale)
