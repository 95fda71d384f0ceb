"""Intervals: against scipy's bootstrap, by hand, and where there are none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.settings import ScoreSettings

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]


def _images(n: int, seed: int = 0) -> list[tuple[int, int, int]]:
    generator = np.random.default_rng(seed)
    return [tuple(map(int, row)) for row in generator.integers(1, 30, (n, 3))]  # type: ignore[misc]


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("aggregation", ["per_sample", "pooled"])
def test_agrees_with_scipy(frame_of: Frames, row_of: Rows, aggregation: str, method: Any) -> None:
    images = _images(40)
    tp, fp, fn = np.array(images, float).T

    def pooled(tp: Any, fp: Any, fn: Any, axis: int) -> Any:
        return 2 * tp.sum(axis) / (2 * tp + fp + fn).sum(axis)

    def per_sample(tp: Any, fp: Any, fn: Any, axis: int) -> Any:
        return (2 * tp / (2 * tp + fp + fn)).mean(axis)

    statistic = {"pooled": pooled, "per_sample": per_sample}[aggregation]
    theirs = stats.bootstrap(
        (tp, fp, fn), statistic, paired=True, vectorized=True, n_resamples=20_000, method=method, rng=1
    ).confidence_interval
    ours = row_of(
        intervals(frame_of(images), ScoreSettings(bootstrap=20_000)),
        class_index=1, metric="dice", aggregation=aggregation, method=method,
    )  # fmt: skip
    width = theirs.high - theirs.low
    assert ours["low"] == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.03 * width)
    assert (ours["n_units"], ours["reason"]) == (40, "")


def test_delta_by_hand(frame_of: Frames, row_of: Rows) -> None:
    images = _images(25)
    tp, fp, fn = np.array(images, float).T
    w, z = 2 * tp + fp + fn, stats.norm.ppf(0.975)
    table = intervals(frame_of(images), ScoreSettings(bootstrap=0))
    pooled = row_of(table, class_index=1, metric="dice", aggregation="pooled", method="delta")
    score = 2 * tp.sum() / w.sum()
    half = z * (2 * tp - score * w).std(ddof=1) / np.sqrt(25) / w.mean()
    assert [pooled["low"], pooled["high"]] == pytest.approx([score - half, score + half])
    mean = row_of(table, class_index=1, metric="dice", aggregation="per_sample", method="delta")
    dice = 2 * tp / w
    half = z * dice.std(ddof=1) / np.sqrt(25)
    assert [mean["low"], mean["high"]] == pytest.approx([dice.mean() - half, dice.mean() + half])


def test_clusters_are_resampled_whole(frame_of: Frames, row_of: Rows) -> None:
    images = _images(15)
    single = intervals(frame_of(images), ScoreSettings(bootstrap=200))
    patients = [place // 2 for place in range(30)]
    twice = frame_of([image for image in images for _ in range(2)], patient_id=patients)
    clustered = intervals(twice, ScoreSettings(bootstrap=200, cluster_by="patient_id"))
    pd.testing.assert_frame_equal(clustered, single)
    as_images = intervals(twice, ScoreSettings(bootstrap=200))
    both = [
        row_of(table, class_index=1, metric="dice", aggregation="pooled", method="delta")
        for table in (clustered, as_images)
    ]
    assert both[0]["high"] - both[0]["low"] > 1.3 * (both[1]["high"] - both[1]["low"])


@pytest.mark.parametrize(
    ("n_images", "changes", "reason"),
    [
        pytest.param(9, {}, "9 units to be measured, fewer than 10", id="few images"),
        pytest.param(12, {"cluster_by": "patient_id"}, "patient_id is missing for 1 images", id="unknown patient"),
    ],
)
def test_no_interval_without_ground(
    frame_of: Frames, n_images: int, changes: dict[str, Any], reason: str
) -> None:  # fmt: skip
    frame = frame_of(_images(n_images), patient_id=[None, *range(1, n_images)])
    table = intervals(frame, ScoreSettings(bootstrap=50, **changes))
    assert table[["low", "high"]].isna().all(axis=None)
    # Of a volume difference 0 is the best value: no missing prediction can stand as 0 in its mean.
    has_no_zero = (table["metric"] == "volume_difference") & (table["aggregation"] == "per_sample_missing")
    assert set(table.loc[~has_no_zero, "reason"]) == {reason}
    assert set(table.loc[has_no_zero, "reason"]) == {"0 is its best value, not its worst"}


def test_images_with_nothing_to_measure_are_no_units(frame_of: Frames, row_of: Rows) -> None:
    table = intervals(frame_of([*_images(9), *[(0, 0, 0)] * 50]), ScoreSettings(bootstrap=50))
    row = row_of(table, class_index=1, metric="dice", aggregation="per_sample", method="percentile")
    assert row["n_units"] == 9
    assert row["reason"].startswith("9 units")


def test_without_resamples_only_the_delta_method_speaks(frame_of: Frames) -> None:
    table = intervals(frame_of(_images(12)), ScoreSettings(bootstrap=0)).query("class_index == 1 and metric == 'dice'")
    assert set(table.loc[table["method"] == "delta", "reason"]) == {""}
    assert set(table.loc[table["method"] != "delta", "reason"]) == {"bootstrap is 0"}


def test_equal_images_leave_no_doubt(frame_of: Frames, row_of: Rows) -> None:
    table = intervals(frame_of([(6, 2, 4)] * 12), ScoreSettings(bootstrap=50))
    for method in ("percentile", "bca", "delta"):
        row = row_of(table, class_index=1, metric="dice", aggregation="pooled", method=method)
        assert [row["low"], row["high"]] == pytest.approx([2 / 3, 2 / 3])


def test_strata_do_not_move_each_others_numbers(frame_of: Frames) -> None:
    frame = frame_of(_images(24), site=["a", "b"] * 12)
    with_strata = intervals(frame, ScoreSettings(bootstrap=50, group_by=("site",)))
    pd.testing.assert_frame_equal(
        with_strata[with_strata["stratum"] == ""].reset_index(drop=True), intervals(frame, ScoreSettings(bootstrap=50))
    )


def test_macro_of_one_foreground_class_is_that_class(frame_of: Frames) -> None:
    table = intervals(frame_of(_images(12)), ScoreSettings(bootstrap=50))
    lesion, macro = (
        table.loc[table["class_name"] == name, ["low", "high", "n_units"]].reset_index(drop=True)
        for name in ("lesion", "all_macro")
    )
    pd.testing.assert_frame_equal(lesion, macro)


@pytest.mark.parametrize(
    ("min_units", "reason"),
    [
        pytest.param(10, "2 units to be measured, fewer than 10 (class tumour)", id="too few images"),
        pytest.param(2, " of the resamples are undefined (class tumour)", id="many resamples without it"),
    ],
)
def test_macro_names_the_class_that_is_too_rare_for_an_interval(
    frame_of: Frames, row_of: Rows, monkeypatch: pytest.MonkeyPatch, min_units: int, reason: str
) -> None:
    monkeypatch.setattr("segscale.tasks.metrics.intervals.MIN_UNITS", min_units)
    tumour = frame_of([(6, 2, 4)] * 2 + [(0, 0, 0)] * 38).query("class_index == 1")
    frame = pd.concat([frame_of(_images(40)), tumour.assign(class_index=2, class_name="tumour")])
    table = intervals(frame, ScoreSettings(bootstrap=200))
    chosen = {"metric": "dice", "aggregation": "per_sample", "method": "percentile"}
    macro, tumour_row = (row_of(table, class_name=name, **chosen) for name in ("all_macro", "tumour"))
    assert macro["n_units"] == tumour_row["n_units"] == 2
    assert macro["reason"].endswith(reason)
    assert "(class" not in tumour_row["reason"]
    assert row_of(table, class_name="lesion", **chosen)["reason"] == ""


def test_all_failed_gives_reasons_not_errors(frame_of: Frames) -> None:
    table = intervals(frame_of([(1, 1, 1)], failed=[0]), ScoreSettings(bootstrap=50))
    assert len(table)
    assert table["low"].isna().all()
