from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.metrics.gap import leave_one_out
from segscale.tasks.metrics.settings import EmptyPolicy, ScoreSettings
from segscale.tasks.report_html.curves import batch_curve, image_scores, largest, spaced, threshold_curve

MakeTables = Callable[..., dict[str, pd.DataFrame]]


def _thresholds(*rows: tuple[int | None, ...]) -> pd.DataFrame:
    """Rows of reference_sum and pairs of true positives and predicted pixels."""
    n_thresholds = (len(rows[0]) - 1) // 2
    pairs = [f"{name}_{k:03d}" for k in range(1, n_thresholds + 1) for name in ("true_positive", "predicted")]
    frame = pd.DataFrame(rows, columns=["reference_sum", *pairs], dtype="Int64")
    return frame.assign(class_index=1, head="last", image_id=[f"i{place}" for place in range(len(rows))])


@pytest.mark.parametrize(
    ("empty", "smooth", "per_sample"),
    [
        pytest.param("nan", 0.0, [(1.0 + 0.5) / 2, 0.4 / 2], id="an empty image is left out"),
        pytest.param("one", 0.0, [(1.0 + 0.5 + 0.0) / 3, (0.4 + 0.0 + 1.0) / 3], id="where both are empty it is 1"),
        pytest.param("smooth", 1.0, [(1.0 + 3 / 5 + 1 / 3) / 3, (3 / 6 + 1 / 3 + 1.0) / 3], id="smoothed"),
    ],
)
def test_threshold_curve_by_hand(empty: EmptyPolicy, smooth: float, per_sample: list[float]) -> None:
    table = _thresholds((4, 4, 4, 1, 1), (2, 1, 2, 0, 0), (0, 0, 2, 0, 0), (None,) * 5)
    if empty == "nan":
        table = table.iloc[[0, 1, 3]]
    curve = threshold_curve(table, 1, "last", smooth, empty)
    assert curve is not None
    assert curve.thresholds.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert curve.per_sample.tolist() == pytest.approx(per_sample)
    predicted = 6 if empty == "nan" else 8
    assert curve.pooled.tolist() == pytest.approx(
        [(10 + smooth) / (6 + predicted + smooth), (2 + smooth) / (7 + smooth)]
    )
    assert curve.n_images == len(table) - 1


def test_there_is_no_threshold_curve_without_probabilities() -> None:
    assert threshold_curve(_thresholds((None, None, None)), 1, "last", 0.0, "nan") is None


def test_the_curve_meets_the_tables_at_the_threshold_of_the_run(make_tables: MakeTables) -> None:
    tables = make_tables(30, failed=(3,))
    curve = threshold_curve(tables["thresholds"], 1, "last", 0.0, "nan")
    (row,) = tables["gap"].query("class_index == 1 and metric == 'dice'").itertuples()
    assert curve is not None
    place = int(np.flatnonzero(curve.thresholds == 0.5)[0])
    assert curve.per_sample[place] == pytest.approx(row.per_sample_mean, rel=1e-12)
    assert curve.pooled[place] == pytest.approx(row.pooled, rel=1e-12)
    assert curve.n_images == 29


def test_scores_of_images_are_those_of_the_table(make_tables: MakeTables) -> None:
    tables = make_tables(30, failed=(0, 7), heads=("first", "last"))
    images = image_scores(tables["per_image"], 1, "last")
    assert images.dice.size == 28
    assert "image7" not in images.image_id
    (row,) = tables["gap"].query("class_index == 1 and metric == 'dice' and head == 'last'").itertuples()
    assert np.nansum(images.contribution) == pytest.approx(row.covariance_term, rel=1e-9)
    assert np.nanmean(images.dice) == pytest.approx(row.per_sample_mean, rel=1e-12)
    changes = leave_one_out(tables["per_image"], ScoreSettings())
    changes = changes.query("class_index == 1 and metric == 'dice' and head == 'last'")
    expected = changes["pooled_change"].to_numpy(np.float64) + row.pooled
    assert images.pooled_without.tolist() == pytest.approx(list(expected), rel=1e-12)


def test_batches_of_the_whole_set_and_more_are_one_point(make_tables: MakeTables) -> None:
    settings = ScoreSettings(bootstrap=0, batch_sizes=(8, 1, 10, 32))
    curve = batch_curve(make_tables(10, settings=settings)["batch_summed"], 1, "last")
    assert curve is not None
    assert curve.sizes.tolist() == [1, 8, 10]
    assert curve.shuffle_stds[[0, 2]].tolist() == [0, 0]


def test_there_is_no_batch_curve_where_all_failed(make_tables: MakeTables) -> None:
    assert batch_curve(make_tables(2, failed=(0, 1))["batch_summed"], 1, "last") is None


def test_largest_is_by_size_with_ties_in_order() -> None:
    values = np.array([0.1, -0.3, np.nan, 0.3, 0.0])
    assert largest(values, 5).tolist() == [1, 3, 0]
    assert largest(values, 1).tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        pytest.param((3, 5), [0, 1, 2], id="all"),
        pytest.param((9, 5), [0, 2, 4, 6, 8], id="evenly"),
        pytest.param((100, 6, 2), [0, 1, 2, 97, 98, 99], id="the ends whole"),
        pytest.param((0, 5), [], id="none"),
    ],
)
def test_spaced(arguments: tuple[Any, ...], places: list[int]) -> None:
    assert spaced(*arguments).tolist() == places
