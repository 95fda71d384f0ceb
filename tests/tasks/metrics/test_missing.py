"""Missing predictions: as 0 in means and as missed in sums, over every pattern of six images, against plain numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.metric_table import METRICS
from segscale.tasks.metrics.panel import Sample, panel_of
from segscale.tasks.metrics.per_image import PREDICTION_MISSING, REFERENCE_PIXELS
from segscale.tasks.metrics.settings import EmptyPolicy, ScoreSettings
from segscale.tasks.metrics.statistics import mean as mean_of_defined
from segscale.tasks.metrics.statistics import mean_with_zeros

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]
Counts = tuple[int, int, int]

POLICIES: list[EmptyPolicy] = ["nan", "one", "zero", "smooth"]
HEADLINES = {metric.name: metric for metric in METRICS if metric.name in (
    "dice", "iou", "tversky", "sensitivity", "precision", "f_beta", "specificity", "soft_dice")}  # fmt: skip
POOLED = ("dice", "iou", "tversky", "sensitivity", "precision", "f_beta")
PRESENT: dict[str, Counts] = {
    "sound": (6, 2, 3), "false alarm": (0, 7, 0), "both empty": (0, 0, 0), "overlooked": (0, 0, 9),
}  # fmt: skip
REFERENCE = {
    "sound": "missing",
    "false alarm": "missing, empty",
    "both empty": "missing, empty",
    "overlooked": "missing",
}
MISSING = {"missing": 9, "missing, empty": 0}
KINDS = (*PRESENT, *MISSING, "broken")
Pattern = tuple[str, ...]
N_PIXELS = 40


def _columns(counts: Sequence[Counts]) -> CountColumns:
    tp, fp, fn = np.array(counts, np.int64).reshape(-1, 3).T
    soft: Any = 0.5 * tp, 0.5 * (tp + fp), 0.25 * (tp + fp)
    return CountColumns(tp, fp, fn, N_PIXELS - tp - fp - fn, tp + fn, *soft)


def _sample(pattern: Pattern) -> Sample:
    missed = np.array([MISSING[kind] for kind in pattern if kind in MISSING], np.int64)
    return Sample(_columns([PRESENT[kind] for kind in pattern if kind in PRESENT]), CountColumns.of_missing(missed))


def _patterns() -> Iterator[Pattern]:
    """Every choice of six images; neither a mean nor a sum depends on their order."""
    return combinations_with_replacement(KINDS, 6)


def _ratio(name: str, tp: Any, fp: Any, fn: Any, settings: ScoreSettings) -> tuple[Any, Any]:
    """Numerator and denominator as a textbook has them."""
    alpha, beta, s = settings.tversky_alpha, settings.tversky_beta, settings.smooth
    return {
        "dice": (2 * tp + s, 2 * tp + fp + fn + s),
        "iou": (tp + s, tp + fp + fn + s),
        "tversky": (tp + s, tp + alpha * fp + beta * fn + s),
        "sensitivity": (tp, tp + fn),
        "precision": (tp, tp + fp),
        "f_beta": (5 * tp, 5 * tp + 4 * fn + fp),
    }[name]


def _score(name: str, counts: Counts, settings: ScoreSettings) -> float:
    if sum(counts) == 0 and settings.empty in ("nan", "one", "zero"):
        return {"nan": np.nan, "one": 1.0, "zero": 0.0}[settings.empty]
    numerator, denominator = _ratio(name, *counts, settings)
    if sum(counts) == 0 and settings.empty == "smooth":
        return 1.0 if denominator else np.nan
    return numerator / denominator if denominator else np.nan


def _oracle_mean(name: str, pattern: Pattern, settings: ScoreSettings) -> float:
    scores = [_score(name, PRESENT[kind], settings) for kind in pattern if kind in PRESENT]
    scores += [0.0 for kind in pattern if kind in MISSING]
    defined = [score for score in scores if not np.isnan(score)]
    return float(np.mean(defined)) if defined else np.nan


def _oracle_pooled(name: str, pattern: Pattern, settings: ScoreSettings, *, with_missing: bool) -> float:
    present = [PRESENT[kind] for kind in pattern if kind in PRESENT]
    missed = sum(MISSING[kind] for kind in pattern if kind in MISSING) if with_missing else 0
    if not present and not missed:
        return np.nan
    tp, fp, fn = (sum(counts[place] for counts in present) for place in range(3))
    return 0.0 if missed and not tp + fp + fn else _score(name, (tp, fp, fn + missed), settings)


def _mean(metric_name: str, sample: Sample, settings: ScoreSettings) -> float:
    scores = HEADLINES[metric_name].score(sample.counts, settings)
    return mean_with_zeros(scores[~np.isnan(scores)], sample.n_missing)


def _same(one: float, two: float) -> bool:
    return math.isclose(one, two, rel_tol=1e-12) or (math.isnan(one) and math.isnan(two))


@pytest.mark.parametrize("empty", POLICIES)
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_over_every_pattern_of_six_images(empty: Any, smooth: float) -> None:
    settings = ScoreSettings(empty=empty, smooth=smooth)
    samples = {pattern: _sample(pattern) for pattern in _patterns()}
    assert len(samples) == 924
    for name, metric in HEADLINES.items():
        means = {pattern: _mean(name, sample, settings) for pattern, sample in samples.items()}
        for pattern, mean in means.items():
            for kind in set(pattern) & set(PRESENT):
                without = list(pattern)
                without[without.index(kind)] = REFERENCE[kind]
                after = means[tuple(sorted(without, key=KINDS.index))]
                assert not after > mean, f"{name} rises from {mean} to {after} where {kind} is deleted from {pattern}"
            if name not in POOLED:
                continue
            assert _same(mean, _oracle_mean(name, pattern, settings)), (name, pattern)
            pooled = metric.pooled(samples[pattern].with_missing, settings)
            assert _same(pooled, _oracle_pooled(name, pattern, settings, with_missing=True)), (name, pattern)
            left = _oracle_pooled(name, pattern, settings, with_missing=False)
            assert not pooled > left + 1e-15, f"pooled {name} of {pattern}: {pooled}, {left} over the images left"


@pytest.mark.parametrize("empty", POLICIES)
def test_zeros_among_the_scores_and_zeros_counted_are_one_mean(empty: Any) -> None:
    settings = ScoreSettings(empty=empty)
    for pattern in [("sound", "both empty", "missing"), ("missing, empty",), ("false alarm", "missing", "broken")]:
        for name, metric in HEADLINES.items():
            scores = metric.score(_sample(pattern).with_missing, settings)
            assert _same(_mean(name, _sample(pattern), settings), mean_of_defined(scores)), (name, pattern)


def _frame(frame_of: Frames, pattern: Sequence[str | Counts], missing: Sequence[int]) -> pd.DataFrame:
    """The per_image table of images whose counts are given; of `missing` places the prediction is missing."""
    counts = [PRESENT[one] if isinstance(one, str) else one for one in pattern]
    whole, frame = frame_of(counts), frame_of(counts, failed=missing)
    lacking = frame["image_id"].isin([f"image{place}" for place in missing])
    columns: Any = {PREDICTION_MISSING: lacking.astype("boolean"), REFERENCE_PIXELS: whole["reference_sum"]}
    return frame.assign(**columns)


def test_by_hand(frame_of: Frames, row_of: Rows) -> None:
    # Dice 1 and 0.5; a reference of 9 without a prediction, an empty one without, and an image that is broken.
    frame = _frame(frame_of, [(20, 0, 0), (1, 0, 2), (3, 1, 6), (0, 4, 0), (5, 5, 5)], missing=[2, 3])
    broken = frame["image_id"] == "image4"
    frame = frame.assign(status=frame["status"].mask(broken, "failed"))
    frame[REFERENCE_PIXELS] = frame[REFERENCE_PIXELS].mask(broken)
    for empty in POLICIES:
        settings = ScoreSettings(empty=empty)
        row = row_of(per_sample(frame, settings), class_index=1, metric="dice")
        assert (row["mean"], row["mean_missing_as_zero"], row["mean_failed_as_zero"]) == (0.75, 1.5 / 4, 1.5 / 5)
        assert (row["n_images"], row["n_failed"], row["n_missing"]) == (5, 3, 2)
        pooled = row_of(batch_summed(frame, settings), class_index=1, metric="dice", pooled=True)
        assert pooled["mean"] == pytest.approx(42 / 44)
        assert pooled["pooled_missing_as_missed"] == pytest.approx(42 / 53)
        assert (pooled["batch_size"], pooled["n_failed"], pooled["n_missing"]) == (2, 3, 2)
    rows = batch_summed(frame, ScoreSettings())
    assert rows.loc[~rows["pooled"], "pooled_missing_as_missed"].isna().all()
    # What the reference does not say is counted nowhere: no true negatives, and of the background false negatives.
    specificity = row_of(rows, class_index=1, metric="specificity", pooled=True)
    assert specificity["pooled_missing_as_missed"] == specificity["mean"]
    background = row_of(rows, class_index=0, metric="sensitivity", pooled=True)
    assert background["pooled_missing_as_missed"] == pytest.approx(177 / (177 + 91 + 100))
    difference = row_of(per_sample(frame, ScoreSettings()), class_index=1, metric="volume_difference")
    assert np.isnan(difference["mean_missing_as_zero"])


@given(data=st.data(), empty=st.sampled_from(POLICIES))
def test_over_classes_a_deleted_prediction_raises_nothing(frame_of: Frames, data: st.DataObject, empty: Any) -> None:
    counts = st.tuples(*[st.integers(0, 12)] * 3)
    n_images = data.draw(st.integers(1, 6))
    lesion, edge = (data.draw(st.lists(counts, min_size=n_images, max_size=n_images)) for _ in range(2))
    gone = data.draw(st.lists(st.integers(0, n_images - 1), unique=True, max_size=n_images))
    settings = ScoreSettings(empty=empty, batch_sizes=(1,))

    def tables(missing: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
        two = _frame(frame_of, lesion, missing)
        third = _frame(frame_of, edge, missing).query("class_index == 1").assign(class_index=2, class_name="edge")
        panel = panel_of(pd.concat([two, third], ignore_index=True))
        return per_sample(panel, settings), batch_summed(panel, settings).query("pooled")

    before, _ = tables(gone[1:])
    means, pooled = tables(gone)
    after = means["mean_missing_as_zero"]
    assert not (after > before["mean_missing_as_zero"] + 1e-12).any()
    compared = pooled["metric"].isin(POOLED)
    left, found = (pooled.loc[compared, name] for name in ("mean", "pooled_missing_as_missed"))
    assert not (found > left + 1e-12).any()
    if not gone:
        known = means["metric"] != "volume_difference"
        pd.testing.assert_series_equal(after[known], means.loc[known, "mean"], check_names=False, check_exact=True)
        pd.testing.assert_series_equal(pooled["pooled_missing_as_missed"], pooled["mean"], check_names=False)


def test_what_is_said_of_the_others_does_not_change(frame_of: Frames) -> None:
    images = [(6, 2, 3), (1, 4, 0), (5, 0, 5), (0, 0, 0), (2, 2, 2)] * 3
    whole, settings = frame_of(images, failed=[1, 7]), ScoreSettings(bootstrap=50)
    frame = _frame(frame_of, images, missing=[1, 7])
    for table in (per_sample, batch_summed, gap, intervals):
        plain, found = table(whole, settings), table(frame, settings)
        old = [name for name in plain if name not in ("n_missing", "mean_missing_as_zero", "pooled_missing_as_missed")]
        if table is intervals:
            plain, found = (one[~one["aggregation"].str.endswith("_missing")] for one in (plain, found))
        pd.testing.assert_frame_equal(plain[old], found[old], check_exact=True)


def test_where_it_is_not_known_which_are_missing_nothing_is_claimed(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of([(6, 2, 3), (1, 4, 0), (5, 0, 5)], failed=[1], site=["a", "b", "a"])
    settings = ScoreSettings(group_by=("site",), bootstrap=10)
    means, sums, ranges = per_sample(frame, settings), batch_summed(frame, settings), intervals(frame, settings)
    for stratum in ("", "site=b"):
        row = row_of(means, stratum=stratum, class_index=1, metric="dice")
        assert row["n_missing"] is pd.NA
        assert np.isnan(row["mean_missing_as_zero"])
        pooled = row_of(sums, stratum=stratum, class_index=1, metric="dice", pooled=True)
        assert pooled["n_missing"] is pd.NA
        assert np.isnan(pooled["pooled_missing_as_missed"])
        reasons = ranges.query("stratum == @stratum and aggregation == 'pooled_missing'")["reason"]
        assert set(reasons) == {"it is not known which of the failed images lack a usable prediction"}
    # Where none failed, none is missing.
    row = row_of(means, stratum="site=a", class_index=1, metric="dice")
    assert (row["n_missing"], row["mean_missing_as_zero"]) == (0, row["mean"])


def test_label_maps_have_no_soft_scores_with_missing_ones_either(frame_of: Frames, row_of: Rows) -> None:
    frame = _frame(frame_of, [(6, 2, 3)] * 12, missing=[3])
    frame[["soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum"]] = np.nan
    row = row_of(per_sample(frame, ScoreSettings(empty="one")), class_index=1, metric="soft_dice")
    assert (row["n_missing"], row["n_defined"]) == (1, 0)
    assert np.isnan(row["mean_missing_as_zero"])
    pooled = row_of(batch_summed(frame, ScoreSettings()), class_index=1, metric="soft_dice", pooled=True)
    assert np.isnan(pooled["pooled_missing_as_missed"])
    ranges = intervals(frame, ScoreSettings(bootstrap=20)).query("metric == 'soft_dice'")
    assert ranges[["low", "high"]].isna().all(axis=None)


def test_intervals_take_missing_images_as_units(frame_of: Frames, row_of: Rows) -> None:
    images = [(6 + place % 5, 2, 3) for place in range(30)]
    frame = _frame(frame_of, images, missing=range(20, 30))
    means, sums = per_sample(frame, ScoreSettings()), batch_summed(frame, ScoreSettings())
    values = {
        "per_sample_missing": row_of(means, class_index=1, metric="dice")["mean_missing_as_zero"],
        "pooled_missing": row_of(sums, class_index=1, metric="dice", pooled=True)["pooled_missing_as_missed"],
    }
    table = intervals(frame, ScoreSettings(bootstrap=400))
    for aggregation, value in values.items():
        plain = aggregation.removesuffix("_missing")
        for method in ("percentile", "bca", "delta"):
            row = row_of(table, class_index=1, metric="dice", aggregation=aggregation, method=method)
            assert row["n_units"] == 30
            assert row["low"] < value < row["high"], (aggregation, method)
            assert row["high"] < row_of(table, class_index=1, metric="dice", aggregation=plain, method=method)["low"]
    # The delta interval by hand: scores, and zeros.
    scores = np.array([2 * tp / (2 * tp + fp + fn) for tp, fp, fn in images[:20]] + [0.0] * 10)
    row = row_of(table, class_index=1, metric="dice", aggregation="per_sample_missing", method="delta")
    half = 1.959963984540054 * scores.std(ddof=1) / np.sqrt(30)
    assert (row["low"], row["high"]) == pytest.approx((scores.mean() - half, scores.mean() + half))


def test_clusters_hold_missing_images_too(frame_of: Frames, row_of: Rows) -> None:
    images = [(6 + place % 5, 2, 3) for place in range(24)]
    frame = _frame(frame_of, images, missing=range(0, 24, 2)).assign(
        patient=lambda f: f["image_id"].str[5:].astype(int) // 2
    )
    table = intervals(frame, ScoreSettings(bootstrap=50, cluster_by="patient"))
    keys = {"class_index": 1, "metric": "dice", "method": "delta"}
    assert row_of(table, aggregation="per_sample_missing", **keys)["n_units"] == 12
    assert row_of(table, aggregation="per_sample", **keys)["n_units"] == 12


def test_where_every_prediction_is_missing_the_reading_is_zero(frame_of: Frames, row_of: Rows) -> None:
    frame = _frame(frame_of, [(6, 2, 3), (0, 0, 0)], missing=[0, 1])
    settings = ScoreSettings(empty="one", bootstrap=10)
    row = row_of(per_sample(frame, settings), class_index=1, metric="dice")
    assert (row["n_missing"], row["mean_missing_as_zero"]) == (2, 0.0)
    assert np.isnan(row["mean"])
    pooled = row_of(batch_summed(frame, settings), class_index=1, metric="dice", pooled=True)
    assert pooled["pooled_missing_as_missed"] == 0.0
    alone = _frame(frame_of, [(0, 0, 0)], missing=[0])
    empty = row_of(batch_summed(alone, settings), class_index=1, metric="dice", pooled=True)
    assert np.isnan(empty["pooled_missing_as_missed"]), "an empty reference without a prediction is no hit"


def test_a_missing_image_needs_its_reference(frame_of: Frames) -> None:
    frame = _frame(frame_of, [(6, 2, 3), (1, 1, 1)], missing=[1])
    frame["reference_pixels"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    with pytest.raises(ValueError, match="reference_pixels is null in rows of a missing prediction"):
        panel_of(frame)
