"""Scores of single images in the per_image table."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.metric_table import METRICS
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.settings import ScoreSettings

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]
SCORES = [metric.name for metric in METRICS]


def _lesion(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["class_index"] == 1].reset_index(drop=True)


def test_scores_by_hand(frame_of: Frames) -> None:
    row = _lesion(score_images(frame_of([(6, 2, 4)]), ScoreSettings())).iloc[0]
    expected = {
        "dice": 12 / 18, "iou": 0.5, "tversky": 6 / 9.4, "sensitivity": 0.6, "precision": 0.75, "specificity": 88 / 90,
        "f_beta": 30 / 48, "volume_difference": -0.2, "soft_dice": 9 / 16, "soft_dice_squared": 9 / 14.5,
        "soft_tversky": 4.5 / (4.5 + 0.3 * 1.5 + 0.7 * 5.5),
    }  # fmt: skip
    assert {name: row[name] for name in SCORES} == pytest.approx(expected, rel=1e-14)


def test_columns_follow_the_counts_and_others_keep_their_place(frame_of: Frames) -> None:
    counts = frame_of([(6, 2, 4)], patient_id="p1").assign(image_sha256="ab")
    counts = counts[[*[name for name in counts if name not in ("status", "image_sha256")], "image_sha256", "status"]]
    table = score_images(counts, ScoreSettings())
    after = list(table.columns)[list(table.columns).index("reference_sum") + 1 :]
    assert after == [*SCORES, "empty", "gap_contribution_dice", "gap_contribution_tversky", "image_sha256", "status"]
    assert all(table[name].dtype == np.float64 for name in SCORES)
    pd.testing.assert_frame_equal(score_images(table, ScoreSettings()), table)


@pytest.mark.parametrize(
    ("counts", "empty", "dice"),
    [
        ((1, 0, 0), "no", 1.0),
        ((0, 3, 0), "reference_empty", 0.0),
        ((0, 0, 3), "prediction_empty", 0.0),
        ((0, 0, 0), "both_empty", np.nan),
    ],
)
def test_emptiness(frame_of: Frames, counts: tuple[int, int, int], empty: str, dice: float) -> None:
    row = _lesion(score_images(frame_of([counts]), ScoreSettings())).iloc[0]
    assert row["empty"] == empty
    np.testing.assert_equal(row["dice"], dice)


@pytest.mark.parametrize("empty", ["nan", "one", "zero"])
def test_the_empty_policy_reaches_soft_scores_but_not_specificity(frame_of: Frames, empty: Any) -> None:
    counts = frame_of([(0, 0, 0)])
    counts.loc[counts["class_index"] == 1, "soft_prediction_sum"] = 0.3
    row = _lesion(score_images(counts, ScoreSettings(empty=empty, smooth=1))).iloc[0]
    value = {"nan": np.nan, "one": 1.0, "zero": 0.0}[empty]
    for name in ("dice", "iou", "tversky", "soft_dice", "soft_tversky", "sensitivity", "precision", "f_beta"):
        np.testing.assert_equal(row[name], value)
    assert row["specificity"] == 1
    assert np.isnan(row["volume_difference"])


def test_smooth_policy_is_what_the_smoothed_formulas_give(frame_of: Frames) -> None:
    table = _lesion(
        score_images(frame_of([(0, 0, 0), (0, 1, 0), (0, 100, 0)]), ScoreSettings(empty="smooth", smooth=1))
    )
    np.testing.assert_allclose(table["dice"], [1.0, 0.5, 1 / 101])


def test_failed_rows_stay_with_null_counts_and_undefined_scores(frame_of: Frames) -> None:
    table = score_images(frame_of([(6, 2, 4), (1, 1, 1)], failed=[1]), ScoreSettings(empty="one"))
    lost = table[table["status"] == "failed"]
    assert len(lost) == 2
    assert lost[SCORES].isna().all(axis=None)
    assert lost["empty"].isna().all()
    assert lost["gap_contribution_dice"].isna().all()
    assert str(table["true_positive"].dtype) == "Int64"


def test_label_maps_leave_soft_scores_undefined_even_where_empty_is_one(frame_of: Frames) -> None:
    counts = frame_of([(0, 0, 0)]).assign(
        soft_intersection=np.nan, soft_prediction_sum=np.nan, soft_prediction_squared_sum=np.nan
    )
    row = _lesion(score_images(counts, ScoreSettings(empty="one"))).iloc[0]
    assert row["dice"] == 1
    assert np.isnan([row["soft_dice"], row["soft_dice_squared"], row["soft_tversky"]]).all()


def test_gap_contributions_add_to_the_covariance_term(frame_of: Frames, row_of: Rows) -> None:
    counts = frame_of([(6, 2, 4), (0, 0, 0), (50, 1, 1), (0, 3, 0), (2, 2, 2)], failed=[4], heads=["a", "b"])
    table, explained = score_images(counts, ScoreSettings()), gap(counts, ScoreSettings())
    for metric in ("dice", "tversky"):
        contributions = table[f"gap_contribution_{metric}"]
        for index in (0, 1):
            for head in ("a", "b"):
                total = contributions[(table["class_index"] == index) & (table["head"] == head)].sum()
                row = row_of(explained, class_index=index, head=head, metric=metric)
                assert total == pytest.approx(row["covariance_term"], abs=1e-14)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame.drop(columns="true_negative"), "expected a column 'true_negative'"),
        (lambda frame: frame.assign(status="done"), "status 'ok' or 'failed', got .*done"),
        (lambda frame: frame.assign(false_positive=pd.NA), "false_positive is null in rows of status 'ok'"),
    ],
)
def test_refuses(frame_of: Frames, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_images(spoil(frame_of([(6, 2, 4)])), ScoreSettings())
