"""The formulas, worked by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ArgumentError
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


@pytest.mark.parametrize("kind", ["bool", "uint8", "int8", "uint16", "int32", "float16", "float32"])
def test_narrow_counts_do_not_wrap_around(kind: str) -> None:
    most = np.array([np.finfo(kind).max if kind.startswith("float") else np.iinfo(kind).max if kind != "bool" else 1])
    counts = [most.astype(kind)] * 3
    assert scores.dice(*counts) == scores.sensitivity(*counts[:2]) == 0.5
    assert scores.dice(*(values[0] for values in counts)) == 0.5, "numpy's scalars too"
    assert scores.volume_difference(*counts) == scores.volume_difference(counts[0] * 0, *counts[:2]) == 0


def test_lists_are_counts_too() -> None:
    np.testing.assert_array_equal(scores.iou([1, 3], [1, 0], [0, 0]), [0.5, 1.0])


def test_series_go_by_their_index() -> None:
    counts = pd.Series([1, 3], ["a", "b"], np.uint8)
    np.testing.assert_array_equal(scores.precision(counts, pd.Series([0, 1], ["b", "a"], np.uint8)), [0.5, 1.0])


@pytest.mark.parametrize(
    ("score", "message"),
    [
        pytest.param(lambda: scores.dice(-1, 2, 3), "tp: expected 0 or more, got -1", id="a count"),
        pytest.param(lambda: scores.dice(1, fp=np.array([2, -3]), fn=3), "fp: .* got -3", id="one of many, by name"),
        pytest.param(lambda: scores.soft_dice(0.5, 1.0, -2.0), "reference: .* got -2", id="a soft sum"),
        pytest.param(lambda: scores.tversky(1, 1, 1, -0.3, 0.7), "alpha: .* got -0.3", id="a weight"),
        pytest.param(lambda: scores.dice(1, 0, 0, smooth=-1), "smooth: .* got -1", id="smoothing"),
    ],
)
def test_nothing_below_zero(score: Callable[[], Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        score()


def test_unknown_stays_unknown() -> None:
    assert np.isnan(scores.soft_dice(np.nan, np.nan, 3))


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
