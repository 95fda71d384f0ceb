"""Gaps of strata and tails of a run: what is told, what is left out, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segscale.errors import ArgumentError
from segscale.tasks.decisions.strata import GAP_COLUMNS, TAIL_COLUMNS, StrataAsked, strata
from segscale.tasks.metrics.settings import ScoreSettings

RunOf = Callable[..., pd.DataFrame]
SETTINGS = ScoreSettings(bootstrap=0, batch_sizes=(), group_by=("site",))
N = 240


def sites(n: int = N) -> np.ndarray:
    return np.array(["a", "b", "c"], object)[np.arange(n) % 3]


def scores(shift: float = 0.0) -> np.ndarray:
    """Of site a lower by the shift."""
    drawn = np.random.default_rng(5).normal(0.8, 0.05, N)
    return np.where(sites() == "a", drawn - shift, drawn)


def of_sites(run_of: RunOf, values: np.ndarray, **options: Any) -> pd.DataFrame:
    """The table of a run with the site of each image."""
    frame = run_of(values, **options)
    return frame.assign(site=sites()[frame["image_id"].str[1:].astype(int)])


@pytest.mark.parametrize(
    ("shift", "margin", "of_a", "of_b"),
    [
        pytest.param(0.1, 0.01, "lower", "higher", id="lower than the others, which are higher than it"),
        pytest.param(-0.1, 0.01, "higher", "lower", id="the other way"),
        pytest.param(0.0, 0.05, "alike", "alike", id="less than the margin apart"),
        pytest.param(0.02, 0.02, "cannot tell", "cannot tell", id="as far away as the margin"),
        pytest.param(0.0, 0.001, "cannot tell", "cannot tell", id="a margin that so few images cannot resolve"),
    ],
)
def test_what_is_told(run_of: RunOf, shift: float, margin: float, of_a: str, of_b: str) -> None:
    found = strata(of_sites(run_of, scores(shift)), SETTINGS, StrataAsked(margin=margin)).gaps
    told = dict(zip(found["stratum"], found["told"], strict=True))
    assert (told["site=a"], told["site=b"]) == (of_a, of_b)
    assert list(found) == list(GAP_COLUMNS)


def test_the_gap_and_its_interval_are_those_of_two_samples(run_of: RunOf) -> None:
    frame = of_sites(run_of, scores(0.1))
    row = strata(frame, SETTINGS, StrataAsked()).gaps.iloc[0]
    dice = np.round(scores(0.1) * 1000) / 1000
    a, rest = dice[sites() == "a"], dice[sites() != "a"]
    assert row["gap"] == pytest.approx(a.mean() - rest.mean())
    welch = stats.ttest_ind(a, rest, equal_var=False).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((welch.low, welch.high), abs=0.002)
    assert row["high"] - row["low"] >= welch.high - welch.low - 1e-4
    assert (row["n"], row["n_rest"]) == (80, 160)


def test_all_that_could_be_told_is_adjusted_at_once(run_of: RunOf) -> None:
    found = strata(of_sites(run_of, scores(0.02)), SETTINGS, StrataAsked(margin=0.01))
    alone = strata(
        of_sites(run_of, scores(0.02)).assign(half=lambda one: np.where(one["site"] == "a", "a", "rest")),
        SETTINGS.changed(group_by=("half",)), StrataAsked(margin=0.01),
    )  # fmt: skip
    assert len(alone.gaps) == 2 < len(found.gaps)
    assert alone.gaps["p_adjusted"].iloc[0] <= found.gaps["p_adjusted"].iloc[0]


def test_missing_predictions_score_0_and_what_nobody_knows_is_counted(run_of: RunOf) -> None:
    frame = of_sites(run_of, scores(), missing=(0, 3), failed=(6, 1))
    found = strata(frame, SETTINGS, StrataAsked(below=0.3))
    whole, of_a = found.tails.iloc[0], found.tails.iloc[1]
    assert list(found.tails) == list(TAIL_COLUMNS)
    assert (whole["stratum"], of_a["stratum"]) == ("", "site=a")
    assert (whole["n"], whole["n_missing"], whole["n_unknown"], whole["n_below"]) == (238, 2, 2, 2)
    assert (of_a["n"], of_a["n_missing"], of_a["n_unknown"], of_a["n_below"]) == (79, 2, 1, 2)
    assert "2 without a prediction, as 0; 1 failed, of which nothing is known" in of_a["sentence"]
    assert found.gaps.iloc[0]["n_missing"] == 2


def test_images_of_a_patient_count_together(run_of: RunOf) -> None:
    frame = of_sites(run_of, np.repeat(scores()[:24], 10))
    place = frame["image_id"].str[1:].astype(int)
    frame = frame.assign(patient=place // 10, site=np.where(place < 120, "a", "b"))
    found = strata(frame, SETTINGS.changed(cluster_by="patient"), StrataAsked())
    assert set(found.gaps["told"]) == {"cannot tell"}
    assert "effectively 12 independent units on one side, fewer than 20" in found.gaps["sentence"].iloc[0]
    assert "fewer than 10" in found.tails["sentence"].iloc[0]


def test_without_strata_the_whole_set_alone(run_of: RunOf) -> None:
    found = strata(of_sites(run_of, scores()), SETTINGS.changed(group_by=()), StrataAsked())
    assert (len(found.gaps), list(found.tails["stratum"])) == (0, [""])


def test_a_stratum_of_one_and_one_of_nothing(run_of: RunOf) -> None:
    frame = run_of(np.r_[scores()[:40], -1.0], failed=(40,))
    place = frame["image_id"].str[1:].astype(int)
    frame = frame.assign(site=np.select([place == 0, place == 40], ["one", "lost"], "rest"))
    found = strata(frame, SETTINGS, StrataAsked())
    assert set(found.gaps["told"]) == {"cannot tell"}
    assert all(found.gaps["reason"] != "")
    of_one = found.tails[found.tails["stratum"] == "site=one"].iloc[0]
    assert (of_one["n"], of_one["share_low"]) == (1, 0.0)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        pytest.param(StrataAsked(metric="hd95"), "metric: expected a score from 0 to 1", id="a distance"),
        pytest.param(StrataAsked(margin=0.0), "margin: expected a number above 0 and below 1, got 0.0", id="no margin"),
        pytest.param(StrataAsked(below=-0.5), "below: expected a number above 0", id="below everything"),
        pytest.param(StrataAsked(worst=1.0), "worst: expected a number above 0 and below 1, got 1.0", id="all of them"),
        pytest.param(StrataAsked(metric="soft_dice"), "soft_dice: .* label maps have no soft scores", id="label maps"),
    ],
)
def test_what_cannot_be_asked_is_refused(run_of: RunOf, asked: StrataAsked, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        strata(of_sites(run_of, scores()), SETTINGS, asked)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"group_by": ("place",)}, "group_by: expected a column of per_image, got 'place'", id="no column"),
        pytest.param(
            {"cluster_by": "place"}, "cluster_by: expected a column of per_image, got 'place'", id="no clusters"
        ),
        pytest.param({"cluster_by": "patient"}, "patient is missing for 3 images", id="clusters that are not known"),
    ],
)
def test_what_is_not_there_is_refused(run_of: RunOf, changes: dict[str, Any], words: str) -> None:
    frame = of_sites(run_of, scores())
    patients = frame["image_id"].where(~frame["image_id"].isin(["i0", "i1", "i2"]))
    with pytest.raises(ArgumentError, match=words):
        strata(frame.assign(patient=patients), SETTINGS.changed(**changes), StrataAsked())


def test_a_run_whose_images_all_failed_is_refused(run_of: RunOf) -> None:
    with pytest.raises(ArgumentError, match="no image is ok"):
        strata(of_sites(run_of, scores(), failed=range(N)), SETTINGS, StrataAsked())
