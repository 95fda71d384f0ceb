import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.metrics.kept_thresholds import CURVE_METRICS, counts_at, curve, kept_index, pair_names, score_at
from segscale.tasks.metrics.settings import ScoreSettings

SETTINGS = ScoreSettings(batch_sizes=(1, 2, 3))


def _thresholds() -> pd.DataFrame:
    """Four images at thresholds 1/4, 2/4, 3/4; the third failed, in the last there is nothing."""
    return pd.DataFrame(
        {
            "reference_sum": [10, 4, np.nan, 0],
            "true_positive_001": [10, 2, np.nan, 0],
            "predicted_001": [20, 2, np.nan, 4],
            "true_positive_002": [8, 1, np.nan, 0],
            "predicted_002": [10, 1, np.nan, 0],
            "true_positive_003": [5, 0, np.nan, 0],
            "predicted_003": [5, 0, np.nan, 0],
        }
    )


@pytest.mark.parametrize(("threshold", "count", "index"), [(0.25, 64, 16), (0.5, 2, 1), (63 / 64, 64, 63)])
def test_the_place_of_a_kept_threshold(threshold: float, count: int, index: int) -> None:
    assert kept_index(threshold, count) == index


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        pytest.param(0.7, r"got 0\.7; nearest: 0\.6875 \(44/64\) and 0\.703125 \(45/64\)", id="between two"),
        pytest.param(0.0, r"got 0\.0; nearest: 0\.015625 \(1/64\)", id="below all"),
        pytest.param(1.0, r"got 1\.0; nearest: 0\.984375 \(63/64\)", id="above all"),
        pytest.param(-3.0, r"got -3\.0; nearest: 0\.015625 \(1/64\)", id="negative"),
        pytest.param(float("nan"), "k/64 for k from 1 to 63, got nan", id="no number"),
        pytest.param(float("inf"), "k/64 for k from 1 to 63, got inf", id="infinite"),
    ],
)
def test_a_threshold_that_was_not_kept_is_refused(threshold: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kept_index(threshold, 64)


@given(st.integers(1, 8).map(lambda power: 2**power), st.floats(0, 1))
def test_every_threshold_is_kept_or_has_kept_neighbours(count: int, threshold: float) -> None:
    kept = [k / count for k in range(1, count)]
    if threshold in kept:
        assert kept[kept_index(threshold, count) - 1] == threshold
    else:
        with pytest.raises(ValueError, match="nearest") as caught:
            kept_index(threshold, count)
        below, above = [k for k in kept if k < threshold][-1:], [k for k in kept if k > threshold][:1]
        assert all(f"{near} (" in str(caught.value) for near in below + above)


def test_counts_worked_by_hand() -> None:
    counts = counts_at(_thresholds().dropna(), 2)
    assert counts.true_positive.tolist() == [8, 1, 0]
    assert counts.false_positive.tolist() == [2, 0, 0]
    assert counts.false_negative.tolist() == [2, 3, 0]
    assert counts.reference_sum.tolist() == [10, 4, 0]
    assert np.isnan(counts.soft_intersection).all()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param("true_positive_002", -1, id="negative"),
        pytest.param("true_positive_002", 11, id="more found than predicted"),
        pytest.param("reference_sum", 7, id="more found than there are"),
    ],
)
def test_contradictions_are_refused(column: str, value: int) -> None:
    table = _thresholds().dropna()
    table.loc[0, column] = value
    with pytest.raises(ValueError, match="contradict each other"):
        counts_at(table, 2)


def test_dice_at_one_threshold_worked_by_hand() -> None:
    found = score_at(_thresholds(), 2, "dice", SETTINGS)
    # Images: 16/20, 2/5, undefined. Batches of 2: 18/25, undefined. All: 18/25.
    assert found.name == "dice"
    assert found.to_dict() == pytest.approx(
        {"per_sample": 0.6, "batch 1": 0.6, "batch 2": 0.72, "batch 3": 0.72, "pooled": 0.72}
    )


def test_the_curve_worked_by_hand() -> None:
    found = curve(_thresholds(), "dice", SETTINGS)
    assert found["threshold"].tolist() == [0.25, 0.5, 0.75]
    assert found["per_sample"].tolist() == pytest.approx([(20 / 30 + 4 / 6 + 0) / 3, 0.6, (10 / 15 + 0) / 2])
    assert found["pooled"].tolist() == pytest.approx([24 / 40, 18 / 25, 10 / 19])
    assert found["n_images"].tolist() == [3, 3, 3]
    assert found["n_undefined"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("metric", CURVE_METRICS)
@pytest.mark.parametrize("empty", ["nan", "one", "zero", "smooth"])
@pytest.mark.parametrize("block_rows", [2, 1 << 15])
def test_the_curve_is_every_threshold_to_the_last_bit(
    metric: str, empty: str, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segscale.tasks.metrics.kept_thresholds.BLOCK_ROWS", block_rows)
    chosen = ScoreSettings(batch_sizes=(), empty=empty, smooth=0.5)  # type: ignore[arg-type]
    points = curve(_thresholds(), metric, chosen)
    for index, point in enumerate(points.itertuples(), start=1):
        found = score_at(_thresholds()[["reference_sum", *pair_names(index)]], index, metric, chosen)
        np.testing.assert_array_equal([point.per_sample, point.pooled], [found["per_sample"], found["pooled"]])


@pytest.mark.parametrize("empty", ["nan", "one"])
def test_of_no_images_nothing_is_said(empty: str) -> None:
    chosen = ScoreSettings(empty=empty, batch_sizes=(2,))  # type: ignore[arg-type]
    nothing = _thresholds().iloc[2:3]
    assert curve(nothing, "dice", chosen)[["per_sample", "pooled"]].isna().all(axis=None)
    assert score_at(nothing, 1, "dice", chosen).isna().all()


@pytest.mark.parametrize("metric", ["specificity", "soft_dice", "nonsense"])
def test_metrics_that_the_table_cannot_say_are_refused(metric: str) -> None:
    with pytest.raises(ValueError, match=f"metric: expected .* or .*, got '{metric}'"):
        curve(_thresholds(), metric, SETTINGS)


def test_another_table_is_refused() -> None:
    with pytest.raises(ValueError, match="expected reference_sum and pairs true_positive_001 and predicted_001"):
        score_at(pd.DataFrame({"dice": [0.5]}), 1, "dice", SETTINGS)
