"""How many units are needed: published values, scipy's test on simulated studies, and what must grow with what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from segscale.tasks.decisions.needed_units import MOST, needed_units, unseen_share


@pytest.mark.parametrize(
    ("effect", "level", "power", "expected"),
    [
        pytest.param(0.5, 0.025, 0.8, 34, id="paired t, d = 0.5, two-sided 0.05: 34 pairs (G*Power 3)"),
        pytest.param(0.2, 0.025, 0.8, 199, id="a small effect of Cohen's: 199"),
        pytest.param(0.8, 0.025, 0.8, 15, id="a large one: 15"),
        pytest.param(0.5, 0.05, 0.95, 45, id="one-sided, power 0.95: 45"),
        pytest.param(np.inf, 0.025, 0.8, 2, id="nothing varies"),
        pytest.param(0.0, 0.025, 0.8, None, id="no effect is never found"),
        pytest.param(np.nan, 0.025, 0.8, None, id="nor an unknown one"),
        pytest.param(1e-6, 0.025, 0.8, None, id="nor with fewer than a thousand million"),
    ],
)
def test_known_numbers(effect: float, level: float, power: float, expected: int | None) -> None:
    assert needed_units(effect, level, power) == expected


def test_a_study_of_that_size_finds_it_as_often_as_promised() -> None:
    n = needed_units(0.5, 0.025, 0.8)
    assert n is not None
    values = np.random.default_rng(1).normal(0.5, 1.0, (4000, n))
    found = np.asarray(stats.ttest_1samp(values, 0.0, axis=1, alternative="greater").pvalue) < 0.025
    # Three standard errors of 4,000 studies.
    assert abs(found.mean() - 0.8) < 0.02


@given(st.floats(0.003, 2), st.sampled_from([0.025, 0.001]), st.sampled_from([0.8, 0.99]))
def test_smaller_effects_and_stricter_tests_need_more(effect: float, level: float, power: float) -> None:
    n, weaker, stricter = (
        needed_units(*case)
        for case in ((effect, level, power), (effect / 2, level, power), (effect, level / 10, power))
    )
    assert n is not None
    assert weaker is not None
    assert stricter is not None
    assert 2 <= n <= min(weaker, stricter)
    assert max(n, weaker, stricter) < MOST


def test_what_none_of_n_did_is_bounded_as_scipy_bounds_it() -> None:
    for n in (1, 20, 365):
        expected = stats.binomtest(0, n).proportion_ci(0.90, method="exact").high
        assert unseen_share(n, 0.95) == pytest.approx(expected, rel=1e-9)
    assert unseen_share(0, 0.95) == 1.0
