"""The formulas, worked by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.metrics import scores

COUNT = st.integers(0, 10**12)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        pytest.param(scores.dice(6, 2, 4), 12 / 18, id="dice"),
        pytest.param(scores.dice(6, 2, 4, smooth=1), 13 / 19, id="dice smoothed"),
        pytest.param(scores.iou(6, 2, 4), 6 / 12, id="iou"),
        pytest.param(scores.iou(6, 2, 4, smooth=1), 7 / 13, id="iou smoothed"),
        pytest.param(scores.tversky(6, 2, 4, alpha=0.3, beta=0.7), 6 / 9.4, id="tversky: alpha weighs FP"),
        pytest.param(scores.tversky(6, 2, 4, alpha=0.3, beta=0.7, smooth=1), 7 / 10.4, id="tversky smoothed"),
        pytest.param(scores.f_beta(6, 2, 4), 30 / 48, id="f2"),
        pytest.param(scores.f_beta(6, 2, 4, beta=1), 12 / 18, id="f1 is dice"),
        pytest.param(scores.sensitivity(6, 4), 0.6, id="sensitivity"),
        pytest.param(scores.precision(6, 2), 0.75, id="precision"),
        pytest.param(scores.specificity(8, 2), 0.8, id="specificity"),
        pytest.param(scores.volume_difference(6, 2, 4), -0.2, id="a fifth too small"),
        pytest.param(scores.soft_dice(1.5, 2.0, 3), 0.6, id="soft dice"),
        pytest.param(scores.soft_dice(1.5, 1.0, 3, smooth=1), 4 / 5, id="soft dice of squares, smoothed"),
        pytest.param(
            scores.soft_tversky(1.5, 2.0, 3, alpha=0.3, beta=0.7), 1.5 / (1.5 + 0.15 + 1.05), id="soft tversky"
        ),
        pytest.param(scores.tversky_shortfall(6, 2, 4, alpha=0.3, beta=0.7), 3.4 / 9.4, id="1 - tversky"),
    ],
)
def test_by_hand(score: float, expected: float) -> None:
    assert score == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    "score",
    [
        scores.dice(0, 0, 0),
        scores.dice(0, 0, 0, smooth=1),
        scores.iou(0, 0, 0),
        scores.tversky(0, 5, 0, alpha=0, beta=1),
        scores.sensitivity(0, 0),
        scores.precision(0, 0),
        scores.specificity(0, 0),
        scores.volume_difference(0, 3, 0),
        scores.soft_dice(0.0, 0.0, 0),
    ],
)
def test_undefined_where_the_unsmoothed_denominator_is_zero(score: float) -> None:
    assert np.isnan(score)


def test_false_positives_in_an_empty_reference_score_zero() -> None:
    assert scores.dice(0, 1, 0) == scores.iou(0, 1, 0) == scores.tversky(0, 1, 0, 0.3, 0.7) == 0


@given(tp=COUNT, fp=COUNT, fn=COUNT)
def test_tversky_of_halves_is_dice_and_of_ones_is_iou(tp: int, fp: int, fn: int) -> None:
    np.testing.assert_allclose(scores.tversky(tp, fp, fn, 0.5, 0.5), scores.dice(tp, fp, fn), rtol=1e-15)
    np.testing.assert_allclose(scores.tversky(tp, fp, fn, 1, 1), scores.iou(tp, fp, fn), rtol=1e-15)
    np.testing.assert_allclose(scores.tversky(tp, fp, fn, 0.2, 0.8), scores.f_beta(tp, fp, fn, beta=2), rtol=1e-14)
    dice, iou = scores.dice(tp, fp, fn), scores.iou(tp, fp, fn)
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou), rtol=1e-14)


@pytest.mark.parametrize("formula", [scores.dice, scores.iou])
def test_arrays_in_arrays_out(formula: Callable[..., Any]) -> None:
    score = formula(np.array([1, 0]), np.array([0, 0]), np.array([0, 0]))
    assert score.dtype == np.float64
    np.testing.assert_array_equal(score, [1.0, np.nan])


@pytest.mark.parametrize(
    ("empty", "smooth", "expected"),
    [
        ("nan", 1.0, [np.nan, np.nan, 0.4]),
        ("one", 1.0, [1.0, 1.0, 0.4]),
        ("zero", 0.0, [0.0, 0.0, 0.4]),
        pytest.param("smooth", 1.0, [1.0, 0.5, 0.4], id="s/s where 0/0, else the smoothed formula"),
        pytest.param("smooth", 0.0, [np.nan, 0.5, 0.4], id="without smoothing 0/0 stays"),
    ],
)
def test_empty_policy(empty: Any, smooth: float, expected: list[float]) -> None:
    score, both_empty = np.array([np.nan, 0.5, 0.4]), np.array([True, True, False])
    np.testing.assert_array_equal(scores.with_empty_policy(score, both_empty, empty, smooth), expected)
