"""Counts of the same cases: equal, or in what they differ; and which other counting is proved."""

from __future__ import annotations

import numpy as np
import pytest

from segscale.tasks.metrics.count_agreement import (
    EQUAL,
    OTHER_PREDICTION,
    OTHER_REFERENCE,
    OTHER_VOXELS,
    Counting,
    agreement,
    best_counting,
)
from segscale.tasks.metrics.count_columns import CountColumns

Rows = list[tuple[int, int, int, int]]
EMPTY, SMALL, LARGE, SHIFTED = (0, 0, 0, 10), (2, 1, 1, 6), (4, 0, 2, 4), (1, 2, 2, 5)


def columns(rows: Rows) -> CountColumns:
    tp, fp, fn, tn = np.array(rows, np.int64).reshape(-1, 4).T
    unknown = np.full(len(rows), np.nan)
    return CountColumns(tp, fp, fn, tn, tp + fn, unknown, unknown, unknown)


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        pytest.param(SMALL, SMALL, EQUAL, id="the same"),
        pytest.param((2, 1, 1, 6), (1, 1, 2, 6), OTHER_PREDICTION, id="one voxel less is found"),
        pytest.param((2, 1, 1, 6), (2, 0, 1, 7), OTHER_PREDICTION, id="one voxel less is false"),
        pytest.param((2, 1, 1, 6), (2, 1, 2, 5), OTHER_REFERENCE, id="a larger reference"),
        pytest.param((2, 1, 1, 6), (2, 1, 1, 7), OTHER_VOXELS, id="a larger grid"),
        pytest.param((2, 1, 1, 6), (2, 1, 2, 6), OTHER_VOXELS, id="a larger reference on a larger grid"),
    ],
)
def test_the_first_difference_is_said(theirs: tuple[int, ...], ours: tuple[int, ...], expected: int) -> None:
    assert agreement(columns([theirs]), columns([ours]), knows_negatives=True).tolist() == [expected]  # type: ignore[list-item]


def test_without_negatives_the_grids_are_taken_to_be_alike() -> None:
    theirs, ours = columns([(2, 1, 1, 0)]), columns([SMALL])
    assert agreement(theirs, ours, knows_negatives=False).tolist() == [EQUAL]


@pytest.mark.parametrize(
    ("own", "other", "is_other"),
    [
        pytest.param([SMALL, LARGE], [SMALL, LARGE], False, id="both are right: the run's own"),
        pytest.param([SHIFTED, SHIFTED], [SMALL, LARGE], True, id="the other is right"),
        pytest.param([SHIFTED, SHIFTED], [SMALL, SHIFTED], False, id="right in half of the cases"),
        pytest.param([SMALL, SHIFTED], [SMALL, LARGE], True, id="right in more than the run's own"),
        pytest.param([SMALL, SHIFTED], [SHIFTED, LARGE], False, id="right in as many"),
        pytest.param([SHIFTED, SHIFTED], [EMPTY, EMPTY], False, id="nothing is right"),
    ],
)
def test_another_counting_has_to_be_proved(own: Rows, other: Rows, is_other: bool) -> None:
    theirs = columns([EMPTY, EMPTY, EMPTY, SMALL, LARGE])
    one, two = (Counting(1, threshold, columns([EMPTY] * 3 + rows)) for threshold, rows in ((None, own), (0.25, other)))
    assert (best_counting(theirs, one, [two]) is two) == is_other


def test_where_all_agree_nothing_else_is_looked_at() -> None:
    def others() -> object:
        raise AssertionError

    theirs = columns([SMALL, LARGE])
    own = Counting(1, None, columns([SMALL, LARGE]))
    assert best_counting(theirs, own, (others() for _ in range(1))) is own  # type: ignore[misc]
