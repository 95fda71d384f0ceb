"""Tails against scipy, brute force and what must hold of any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from segscale.tasks.decisions.tails import MIN_TAIL, share_below, worst_mean
from segscale.tasks.metrics.paired_estimates import Units

SCORES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=60)


def alone(n: int) -> Units:
    return Units(np.arange(n), n)


@given(scores=SCORES, limit=st.floats(0.01, 1))
def test_a_share_of_independent_images_is_that_of_clopper_and_pearson(scores: list[float], limit: float) -> None:
    found = share_below(np.array(scores), alone(len(scores)), limit, 0.95)
    hits = sum(score < limit for score in scores)
    exact = stats.binomtest(hits, len(scores)).proportion_ci(0.95, method="exact")
    assert (found.n, found.value) == (hits, hits / len(scores))
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


@given(scores=SCORES, share=st.floats(0.01, 0.99))
def test_the_worst_are_averaged_as_if_each_image_were_a_thousand(scores: list[float], share: float) -> None:
    found = worst_mean(np.array(scores), alone(len(scores)), share, 0.95)
    lots = np.sort(np.repeat(scores, 1000))
    count = share * lots.size
    assert found.value == pytest.approx(lots[: max(round(count), 1)].mean(), abs=2e-3 / share / len(scores) + 1e-9)
    assert found.value <= np.mean(scores) + 1e-12


def test_its_influence_is_what_leaving_one_image_out_changes() -> None:
    scores = np.random.default_rng(3).beta(6, 2, 400)
    found = worst_mean(scores, alone(400), 0.1, 0.95)
    every = [worst_mean(np.delete(scores, place), alone(399), 0.1, 0.95).value for place in range(400)]
    jackknife = np.sqrt(399 / 400 * np.square(np.array(every) - np.mean(every)).sum())
    error = (found.high - found.low) / 2 / stats.t.ppf(0.975, 39)
    assert error == pytest.approx(jackknife, rel=0.15)


@pytest.mark.parametrize(
    ("n", "share", "reason"),
    [
        pytest.param(150, 0.05, "effectively 7.76, fewer than 10", id="7.5 images"),
        pytest.param(400, 0.05, "", id="20 images"),
    ],
)
def test_few_of_the_worst_have_no_interval(n: int, share: float, reason: str) -> None:
    found = worst_mean(np.linspace(0.2, 0.9, n), alone(n), share, 0.95)
    assert found.reason.endswith(reason)
    assert np.isnan(found.low) == bool(reason)
    assert MIN_TAIL == 10


def test_of_the_worst_that_are_all_alike_nothing_is_known_of_the_next() -> None:
    found = worst_mean(np.r_[np.zeros(50), np.ones(50)], alone(100), 0.2, 0.95)
    assert (found.value, found.n, found.reason) == (0.0, 20, "all of the worst 20% score 0.0000")
    assert np.isnan(found.high)


def test_clusters_of_equal_scores_count_once() -> None:
    scores = np.repeat(np.r_[np.zeros(6), np.ones(34)], 5)
    clusters = Units(np.repeat(np.arange(40), 5), 40)
    found = share_below(scores, clusters, 0.5, 0.95)
    alike = share_below(np.r_[np.zeros(6), np.ones(34)], alone(40), 0.5, 0.95)
    apart = share_below(scores, alone(200), 0.5, 0.95)
    assert found.value == alike.value == apart.value
    assert found.high - found.low >= alike.high - alike.low - 0.01
    assert found.high - found.low > 1.8 * (apart.high - apart.low)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_of_clusters_that_all_agree_as_many_count_as_there_are_clusters(score: float) -> None:
    clusters = Units(np.repeat(np.arange(20), 5), 20)
    found = share_below(np.full(100, score), clusters, 0.5, 0.95)
    width = stats.binomtest(0, 20).proportion_ci(0.95, method="exact").high
    assert found.high - found.low == pytest.approx(width, rel=0.15)
    assert found.high - found.low >= width


def test_where_nothing_has_a_score_there_is_nothing() -> None:
    nothing = np.full(4, np.nan)
    for found in (share_below(nothing, alone(4), 0.5, 0.95), worst_mean(nothing, alone(4), 0.05, 0.95)):
        assert np.isnan([found.value, found.low, found.high]).all()
        assert found.reason == "nothing has a score"
