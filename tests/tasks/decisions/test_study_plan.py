"""Plans of studies: what each goal needs, what cannot be told, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.errors import ArgumentError
from segscale.tasks.decisions.study_plan import CURVE_COLUMNS, PLAN_COLUMNS, TIMES, StudyAsked, study_plan
from segscale.tasks.metrics.settings import ScoreSettings

RunOf = Callable[..., pd.DataFrame]
SETTINGS = ScoreSettings(bootstrap=0, batch_sizes=())
FIRST = np.round(np.random.default_rng(3).normal(0.75, 0.08, 160), 3)
SECOND = np.round(np.clip(FIRST + np.random.default_rng(4).normal(0.01, 0.03, 160), 0, 1), 3)


def plan(
    first: pd.DataFrame, second: pd.DataFrame | None = None, settings: ScoreSettings = SETTINGS, **asked: Any
) -> Any:
    recorded = None if second is None else (SETTINGS, SETTINGS)
    return study_plan(first, second, recorded, settings, StudyAsked(**asked))


def test_of_one_run_the_width_of_intervals(run_of: RunOf) -> None:
    found = plan(run_of(FIRST), width=0.02)
    assert list(found.sizes) == list(PLAN_COLUMNS)
    assert list(found.sizes["goal"]) == ["interval", "interval"]
    row = found.sizes.iloc[0]
    expected = (2 * 1.96 * FIRST.std(ddof=1) / 0.02) ** 2
    assert (row["aggregation"], row["told"]) == ("per_sample", "more")
    assert row["clusters"] == pytest.approx(expected, rel=0.02)
    assert row["clusters_low"] < row["clusters"] == row["images"] < row["clusters_high"]
    assert row["design_effect"] == pytest.approx(1)
    assert np.isnan(row["icc"])


def test_enough_is_where_as_many_are_there(run_of: RunOf) -> None:
    now = plan(run_of(FIRST)).sizes.iloc[0]["now"]
    told = [plan(run_of(FIRST), width=now * factor).sizes.iloc[0]["told"] for factor in (0.99, 1.001)]
    assert told == ["more", "enough"]


def test_of_two_runs_differences(run_of: RunOf) -> None:
    found = plan(run_of(FIRST), run_of(SECOND), margin=0.005, aggregations=("per_sample",)).sizes
    assert list(found["goal"]) == ["interval", "not worse", "difference"]
    deviation = (SECOND - FIRST).std(ddof=1)
    normal = [((1.96 + 0.8416) * deviation / distance) ** 2 for distance in (0.005, (SECOND - FIRST).mean())]
    assert found["clusters"].iloc[1] == pytest.approx(normal[0], rel=0.03)
    assert found["clusters"].iloc[2] == pytest.approx(normal[1], abs=4)
    assert found["target"].iloc[2] == pytest.approx((SECOND - FIRST).mean(), abs=1e-4)
    other = plan(run_of(FIRST), run_of(SECOND), difference=0.02, aggregations=("per_sample",)).sizes.iloc[2]
    assert (other["target"], other["clusters"] < found["clusters"].iloc[2]) == (0.02, True)


def test_patients_are_planned_where_images_belong_together(run_of: RunOf) -> None:
    frame = run_of(np.repeat(FIRST, 4))
    patient = "p" + (frame["image_id"].str[1:].astype(int) // 4).astype("str")
    found = plan(frame.assign(patient=patient), settings=SETTINGS.changed(cluster_by="patient")).sizes.iloc[0]
    alone = plan(run_of(FIRST)).sizes.iloc[0]
    assert found["design_effect"] == pytest.approx(4, rel=0.01)
    assert found["icc"] == pytest.approx(1, abs=0.01)
    assert found["clusters"] == pytest.approx(alone["clusters"], abs=1)
    assert found["images"] == 4 * found["clusters"]
    assert f"{found['clusters']:,} patient (" in found["sentence"]


def test_curves_go_through_what_is_needed(run_of: RunOf) -> None:
    found = plan(run_of(FIRST), aggregations=("per_sample",), width=0.03)
    curve = found.curves
    assert list(curve) == list(CURVE_COLUMNS)
    assert list(curve["clusters"]) == [round(160 * times) for times in TIMES]
    assert curve["value"].is_monotonic_decreasing
    assert (curve["value_low"] < curve["value"]).all()
    assert (curve["value"] < curve["value_high"]).all()
    needed = found.sizes["clusters"].iloc[0]
    at = np.interp(needed, curve["clusters"].astype(float), curve["value"])
    assert at == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        pytest.param(
            np.linspace(0.4, 0.9, 12), "effectively 12 independent units, fewer than 20", id="a pilot too small"
        ),
        pytest.param(np.full(40, 0.75), "all agree", id="nothing varies"),
        pytest.param([0.5], "effectively", id="one image"),
    ],
)
def test_what_cannot_be_told_says_why(run_of: RunOf, scores: Any, reason: str) -> None:
    found = plan(run_of(scores))
    assert set(found.sizes["told"]) == {"cannot tell"}
    assert found.sizes["reason"].iloc[0].startswith(reason)
    assert found.sizes["clusters"].isna().all()
    assert found.curves.empty


def test_equal_runs_have_no_difference_to_plan_for(run_of: RunOf) -> None:
    found = plan(run_of(FIRST), run_of(FIRST)).sizes
    assert set(found["told"]) == {"cannot tell"}


def test_missing_predictions_count_as_missed(run_of: RunOf) -> None:
    row = plan(run_of(FIRST, missing=range(8), failed=(20,))).sizes.iloc[0]
    assert (row["n"], row["n_missing"], row["n_unknown"]) == (159, 8, 1)
    assert row["estimate"] == pytest.approx(np.r_[np.zeros(8), np.delete(FIRST, [*range(8), 20])].mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        pytest.param({"width": 0.0}, "width: expected a number above 0 and below 1, got 0.0", id="no width"),
        pytest.param({"power": 1.0}, "power: expected a number above 0", id="certain"),
        pytest.param({"metric": "hd95"}, "metric: expected a score from 0 to 1", id="a distance"),
        pytest.param({"aggregations": ("mean",)}, "aggregation: expected per_sample, pooled", id="an aggregation"),
    ],
)
def test_what_cannot_be_asked_is_refused(run_of: RunOf, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        plan(run_of(FIRST), **asked)


def test_other_images_are_refused(run_of: RunOf) -> None:
    with pytest.raises(ArgumentError, match="different images"):
        plan(run_of(FIRST), run_of(SECOND[:150]))
