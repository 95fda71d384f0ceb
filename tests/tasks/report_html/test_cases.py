from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.report_html.cases import MAX_CASES, MAX_CLASSES, RANKS, cases_of, ranked
from segscale.tasks.report_html.curves import ImageScores

MakeTables = Callable[..., dict[str, pd.DataFrame]]


def _images(dice: list[float], weight: list[int] | None = None) -> ImageScores:
    weights = np.array(weight or [2] * len(dice))
    ones = np.ones(len(dice), np.int64)
    return ImageScores(np.array(["i"] * len(dice), object), ones, np.array(dice), ones, weights, np.zeros(len(dice)))


@pytest.mark.parametrize(
    ("dice", "each", "expected"),
    [
        pytest.param([0.5, 0.1, 0.9, 0.7, 0.3], 1, [[1], [0], [2]], id="one of each"),
        pytest.param([0.5, 0.1, 0.9, 0.7, 0.3], 2, [[1, 4], [0], [2, 3]], id="few images: none twice"),
        pytest.param([0.5], 8, [[0], [], []], id="one image"),
        pytest.param([0.5, 0.4], 8, [[1], [], [0]], id="two images"),
        pytest.param([np.nan, 0.4], 8, [[1], [], []], id="without a score"),
        pytest.param([], 8, [[], [], []], id="no image"),
    ],
)
def test_worst_middle_and_best(dice: list[float], each: int, expected: list[list[int]]) -> None:
    assert [places.tolist() for places in ranked(_images(dice), each)] == expected


def test_of_equal_scores_the_larger_image_is_worse_and_what_is_empty_is_none() -> None:
    worst, _, _ = ranked(_images([0.0, 0.0, 0.0, 1.0], [5, 9, 7, 0]), 3)
    assert worst.tolist() == [1]
    assert [places.tolist() for places in ranked(_images([0.0, 0.0, 0.0, 1.0], [5, 9, 7, 0]), 1)] == [[1], [2], [0]]


@pytest.mark.parametrize("n_classes", [1, 2, 3, 4, 6])
def test_there_are_at_most_so_many(make_tables: MakeTables, n_classes: int) -> None:
    classes = ("background", *(f"organ{index}" for index in range(1, n_classes + 1)))
    cases = cases_of(make_tables(60, classes=classes))
    drawn = min(n_classes, MAX_CLASSES)
    each = MAX_CASES // (3 * drawn)
    assert len(cases) == 3 * drawn * each <= MAX_CASES
    assert len({(case.image_id, case.class_index) for case in cases}) == len(cases)
    for class_index in {case.class_index for case in cases}:
        of_class = {
            rank: [one.dice for one in cases if (one.class_index, one.rank) == (class_index, rank)] for rank in RANKS
        }
        assert max(of_class["worst"]) <= min(of_class["median"])
        assert max(of_class["median"]) <= min(of_class["best"])
