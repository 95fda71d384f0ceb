"""p-values of paired differences, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from segscale.tasks.metrics.paired_tests import (
    EXACT_UNITS,
    holm,
    permutation_test,
    permutations_of,
    swap_patterns,
    wilcoxon_test,
)


def _flipped_means(differences: np.ndarray) -> np.ndarray:
    patterns = np.concatenate(list(swap_patterns(differences.size, [0])))
    return np.asarray(((1 - 2 * patterns) * differences).mean(axis=1))


def test_few_units_visit_every_pattern_once() -> None:
    patterns = np.concatenate(list(swap_patterns(4, [0])))
    assert patterns.shape == (16, 4)
    assert len({tuple(row) for row in patterns.tolist()}) == 16


def test_many_units_draw_seeded_patterns() -> None:
    first, again, other = (np.concatenate(list(swap_patterns(40, [seed]))) for seed in (1, 1, 2))
    assert first.shape == (permutations_of(40), 40) == (9_999, 40)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0.49 < first.mean() < 0.51


def test_very_many_units_draw_fewer() -> None:
    assert permutations_of(10_000) == 9_999
    assert permutations_of(10_001) == 999


def test_exact_permutation_by_hand() -> None:
    # Of the 8 sign patterns of 1, 2, 3 only + + + and - - - have a mean of at least 2.
    differences = np.array([1.0, 2.0, 3.0])
    assert permutation_test(2.0, _flipped_means(differences), 3) == (2 / 8, "")


@settings(max_examples=15, deadline=None)
@given(values=st.lists(st.integers(-20, 20), min_size=2, max_size=8))
def test_exact_permutation_is_that_of_scipy(values: list[int]) -> None:
    differences = np.array(values) / 20
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=10_000
    )
    ours, _ = permutation_test(float(differences.mean()), _flipped_means(differences), differences.size)
    share_as_far = np.mean(np.abs(expected.null_distribution) >= abs(differences.mean()) - 1e-12)
    assert ours == pytest.approx(share_as_far, abs=1e-12)


def test_random_permutations_are_near_scipy() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1.0, 30)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=4999, rng=np.random.default_rng(1)
    ).pvalue
    ours, _ = permutation_test(float(differences.mean()), _flipped_means(differences), 30)
    assert ours == pytest.approx(expected, abs=0.02)


def test_a_random_p_value_is_never_zero() -> None:
    assert permutation_test(9.0, np.zeros(99), EXACT_UNITS + 1) == (0.01, "")


def test_undefined_permutations() -> None:
    assert permutation_test(1.0, np.r_[np.full(4, np.nan), np.zeros(96)], 20)[0] == 5 / 101
    p, reason = permutation_test(1.0, np.r_[np.full(6, np.nan), np.zeros(94)], 20)
    assert np.isnan(p)
    assert reason == "6% of the permutations are undefined"


@pytest.mark.parametrize("n_units", [6, 40, 200])
def test_wilcoxon_is_that_of_scipy_without_the_undefined(n_units: int) -> None:
    differences = np.random.default_rng(n_units).normal(0.1, 1.0, n_units)
    ours, reason = wilcoxon_test(np.r_[differences, np.nan, 0.0])
    assert ours == pytest.approx(stats.wilcoxon(differences).pvalue, rel=1e-9)
    assert reason == ""


def test_wilcoxon_by_hand() -> None:
    # Five positive differences: of 32 sign patterns two are as extreme.
    assert wilcoxon_test(np.array([0.1, 0.2, 0.3, 0.4, 0.5]))[0] == pytest.approx(2 / 32)


@pytest.mark.parametrize(
    ("differences", "reason"),
    [
        pytest.param([0.0, 0.0], "no unit differs", id="all equal"),
        pytest.param([0.0, 1e-16], "no unit differs", id="equal but for rounding"),
        pytest.param([np.nan], "no unit has a score in both runs", id="nothing in common"),
    ],
)
def test_wilcoxon_says_why_it_cannot(differences: list[float], reason: str) -> None:
    p, found = wilcoxon_test(np.array(differences))
    assert np.isnan(p)
    assert found == reason


def test_holm_by_hand() -> None:
    # Sorted 0.01 x 4, 0.02 x 3, 0.03 x 2 (not below the one before), 0.5 x 1.
    np.testing.assert_allclose(holm(np.array([0.02, np.nan, 0.5, 0.01, 0.03])), [0.06, np.nan, 0.5, 0.04, 0.06])


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(values: list[float]) -> None:
    p_values = np.array(values)
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(p_values * p_values.size, 1) + 1e-15).sum() >= 1
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()
