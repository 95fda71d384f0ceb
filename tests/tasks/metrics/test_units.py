"""Units of evaluation: against plain pandas, against images one by one, and against all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ArgumentError
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.compare import compare
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.panel import panel_of
from segscale.tasks.metrics.per_image import PREDICTION_MISSING, REFERENCE_PIXELS
from segscale.tasks.metrics.per_unit import COLUMNS, per_unit
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.units import check_units, tears, with_units

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]
Counts = tuple[int, int, int]

TERMS = ["covariance_term", "smoothing_term", "undefined_term", "count_term"]
OK, MISSING, BROKEN = "ok", "missing", "broken"
COUNTS = st.tuples(*[st.integers(0, 12)] * 3)
IMAGES = st.lists(st.tuples(COUNTS, st.integers(0, 3), st.sampled_from([OK, OK, OK, MISSING, BROKEN])), min_size=1,
                  max_size=12)  # fmt: skip
POLICIES = st.sampled_from(["nan", "one", "zero", "smooth"])
Image = tuple[Counts, int, str]


def _frame(frame_of: Frames, images: Sequence[Image], **columns: Any) -> pd.DataFrame:
    """Images of these counts, patients and states."""
    counts, patients, states = zip(*images, strict=True)
    lost = [place for place, state in enumerate(states) if state != OK]
    columns = {"patient": [f"p{patient}" for patient in patients], **columns}
    whole, frame = frame_of(counts, **columns), frame_of(counts, failed=lost, **columns)
    lacking = np.repeat(np.array(states) == MISSING, 2)
    broken = np.repeat(np.array(states) == BROKEN, 2)
    about: dict[str, Any] = {PREDICTION_MISSING: lacking, REFERENCE_PIXELS: whole["reference_sum"].mask(broken)}
    return frame.assign(**about).astype({PREDICTION_MISSING: "boolean"})


def _dice(tp: float, fp: float, fn: float, empty: str) -> float:
    if tp + fp + fn == 0:
        return {"nan": np.nan, "one": 1.0, "zero": 0.0, "smooth": np.nan}[empty]
    return 2 * tp / (2 * tp + fp + fn)


def _oracle(images: Sequence[Image], empty: str) -> dict[str, Any]:
    """Plain pandas over the lesion."""
    rows = pd.DataFrame(
        [(*counts, patient, state) for counts, patient, state in images],
        columns=["tp", "fp", "fn", "patient", "state"],
    )
    scores, with_missing, n_failed, n_missing = [], [], 0, 0
    for _, unit in rows.groupby("patient", sort=False):
        sound, missing = unit[unit["state"] == OK], unit[unit["state"] == MISSING]
        tp, fp, fn = (int(sound[name].sum()) for name in ("tp", "fp", "fn"))
        missed = int((missing["tp"] + missing["fn"]).sum())
        if len(sound):
            scores.append(_dice(tp, fp, fn, empty))
            lost = missed > 0 and tp + fp + fn == 0
            with_missing.append(0.0 if lost else _dice(tp, fp, fn + missed, empty))
        else:
            n_failed += 1
            n_missing += bool(len(missing))
            with_missing += [0.0] * bool(len(missing))
    known = [score for score in scores if not np.isnan(score)]
    known_missing = [score for score in with_missing if not np.isnan(score)]
    return {
        "mean": np.mean(known) if known else np.nan,
        "mean_failed_as_zero": sum(known) / (len(known) + n_failed) if len(known) + n_failed else np.nan,
        "mean_missing_as_zero": np.mean(known_missing) if known_missing else np.nan,
        "n_images": rows["patient"].nunique(),
        "n_defined": len(known),
        "n_failed": n_failed,
        "n_missing": n_missing,
    }


@given(images=IMAGES, empty=POLICIES)
def test_means_are_those_of_plain_pandas(frame_of: Frames, row_of: Rows, images: list[Image], empty: Any) -> None:
    settings = ScoreSettings(unit="patient", empty=empty, batch_sizes=())
    row = row_of(per_sample(_frame(frame_of, images), settings), unit="patient", class_index=1, metric="dice")
    for name, value in _oracle(images, empty).items():
        np.testing.assert_allclose(row[name], value, rtol=1e-12, err_msg=name)


@given(images=IMAGES, empty=POLICIES, smooth=st.sampled_from([0.0, 1.0]))
def test_where_each_image_is_a_unit_the_tables_are_those_of_images(
    frame_of: Frames, images: list[Image], empty: Any, smooth: float
) -> None:
    one_by_one = [(counts, place, state) for place, (counts, _, state) in enumerate(images)]
    frame = _frame(frame_of, one_by_one)
    settings = ScoreSettings(unit="patient", empty=empty, smooth=smooth, batch_sizes=(1, 2), bootstrap=20)
    for table in (per_sample, batch_summed, intervals, gap):
        found = table(frame, settings)
        plain = table(frame, settings.changed(unit=""))
        of_images = found[found["unit"] == "image"].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_images, plain, check_exact=True)
        of_units = found[found["unit"] == "patient"]
        if table is gap:
            first = of_units[of_units["step"] == "image_to_unit"]
            np.testing.assert_array_equal(first[["gap", *TERMS]].fillna(0.0), 0.0)
            of_units = of_units[of_units["step"] == "unit_to_pooled"].assign(step="image_to_pooled")
        of_units = of_units.assign(unit="image").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_units, plain, check_exact=True)


@given(images=IMAGES, empty=POLICIES, smooth=st.sampled_from([0.0, 1.0]))
def test_one_unit_of_all_is_pooled(frame_of: Frames, images: list[Image], empty: Any, smooth: float) -> None:
    frame = _frame(frame_of, [(counts, 0, state) for counts, _, state in images])
    settings = ScoreSettings(unit="patient", empty=empty, smooth=smooth, batch_sizes=(1, 2))
    keys = ["class_name", "metric"]
    means, sums = per_sample(frame, settings), batch_summed(frame, settings)
    pooled = sums[sums["pooled"] & (sums["unit"] == "image")]
    merged = means[means["unit"] == "patient"].merge(pooled, on=keys, suffixes=("", "_pooled"))
    assert len(merged) == len(pooled)
    np.testing.assert_array_equal(merged["mean"], merged["mean_pooled"])
    if any(state == OK for _, _, state in images):
        known = merged["metric"] != "volume_difference"
        np.testing.assert_array_equal(
            merged.loc[known, "mean_missing_as_zero"], merged.loc[known, "pooled_missing_as_missed"]
        )
    of_units = sums[(sums["unit"] == "patient") & ~sums["pooled"]]
    np.testing.assert_array_equal(
        of_units.merge(pooled, on=keys)[["mean_x"]], of_units.merge(pooled, on=keys)[["mean_y"]]
    )
    last = gap(frame, settings).query("step == 'unit_to_pooled'")
    np.testing.assert_array_equal(last[["gap", *TERMS]].fillna(0.0), 0.0)


@given(images=IMAGES, empty=POLICIES, smooth=st.sampled_from([0.0, 1.0]))
def test_two_steps_make_the_gap(frame_of: Frames, images: list[Image], empty: Any, smooth: float) -> None:
    settings = ScoreSettings(unit="patient", empty=empty, smooth=smooth, batch_sizes=())
    frame = _frame(frame_of, images)
    table, means = gap(frame, settings), per_sample(frame, settings)
    np.testing.assert_allclose(table[TERMS].sum(axis=1, skipna=False), table["gap"], atol=1e-12)
    keys = ["class_name", "head", "metric"]
    whole, first, second = (
        table[table["step"] == step].set_index(keys) for step in ("image_to_pooled", "image_to_unit", "unit_to_pooled")
    )
    assert (len(whole), set(table.loc[table["step"] != "image_to_pooled", "unit"])) == (len(first), {"patient"})
    np.testing.assert_allclose(first["gap"] + second["gap"], whole["gap"], atol=1e-12)
    for name in ("per_sample_mean", "pooled"):
        for step in (first, second):
            np.testing.assert_allclose(step[name], whole[name], rtol=1e-12)
    units = means[means["unit"] == "patient"].set_index(keys)["mean"]
    for step in (first, second):
        np.testing.assert_array_equal(step["unit_mean"], units.loc[step.index])


def test_steps_by_hand(frame_of: Frames, row_of: Rows) -> None:
    # Patient 0: Dice 1 of weight 40 and 0 of weight 10, together 0.8. Patient 1: one image of Dice 0.5, weight 4.
    frame = _frame(frame_of, [((20, 0, 0), 0, OK), ((0, 5, 5), 0, OK), ((1, 1, 1), 1, OK)])
    table = gap(frame, ScoreSettings(unit="patient"))
    first, second = (
        row_of(table, step=step, class_index=1, metric="dice") for step in ("image_to_unit", "unit_to_pooled")
    )
    assert (first["per_sample_mean"], first["unit_mean"], first["pooled"]) == (0.5, 0.65, pytest.approx(42 / 54))
    assert first["covariance_term"] == pytest.approx((0.3 + 0.0) / 2)
    assert first["count_term"] == pytest.approx(0.5 - 0.5)
    assert first["gap"] == pytest.approx(0.15)
    assert second["gap"] == pytest.approx(42 / 54 - 0.65)
    # A third image of Dice 0 in patient 0 moves no unit's weight: both stay one of two.
    more = _frame(frame_of, [((20, 0, 0), 0, OK), ((0, 5, 5), 0, OK), ((0, 5, 5), 0, OK), ((1, 1, 1), 1, OK)])
    found = row_of(gap(more, ScoreSettings(unit="patient")), step="image_to_unit", class_index=1, metric="dice")
    assert found["count_term"] == pytest.approx((1 / 3 + 1 / 2) / 2 - 1.5 / 4)


def test_a_unit_is_summed_over_its_sound_images_and_failed_without_any(frame_of: Frames) -> None:
    frame = _frame(frame_of, [
        ((0, 0, 0), 1, BROKEN), ((3, 1, 2), 0, OK), ((4, 0, 2), 1, OK), ((2, 2, 5), 0, MISSING), ((9, 9, 9), 2, BROKEN),
        ((1, 0, 6), 3, MISSING), ((5, 5, 5), 3, BROKEN), ((7, 1, 1), 0, OK),
    ])  # fmt: skip
    settings = ScoreSettings(unit="patient")
    units = with_units(panel_of(frame), settings).units
    assert units is not None
    table = per_unit(units, settings)
    assert tuple(table) == COLUMNS
    assert table["unit"].eq("patient").all()
    # In the order of their first images, failed ones too; then classes.
    assert table["unit_value"].tolist() == ["p1", "p1", "p0", "p0", "p2", "p2", "p3", "p3"]
    lesion = table[table["class_index"] == 1].set_index("unit_value")
    assert lesion["true_positive"].tolist() == [4, 10, pd.NA, pd.NA]
    assert lesion["reference_sum"].tolist() == [6, 13, pd.NA, pd.NA]
    assert lesion["soft_intersection"].tolist()[:2] == [3.0, 7.5]
    assert lesion["n_images"].tolist() == [2, 4 - 1, 1, 2]
    assert lesion["n_failed"].tolist() == [1, 1, 1, 2]
    assert lesion["n_missing"].tolist() == [0, 1, 0, 1]
    assert lesion["missed_pixels"].tolist() == [0, 7, 0, 7]
    assert lesion["dice"].tolist()[:2] == pytest.approx([8 / 10, 20 / 25])
    assert lesion["dice"].isna().tolist() == [False, False, True, True]
    assert lesion["empty"].tolist()[0] == "no"
    assert lesion["empty"].isna().tolist() == [False, False, True, True]


def test_where_it_is_not_known_which_are_missing_no_unit_claims_it(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of([(6, 2, 3), (1, 4, 0), (5, 0, 5)], failed=[1], patient=["a", "a", "b"], site=["x", "x", "y"])
    settings = ScoreSettings(unit="patient", group_by=("site",), bootstrap=10)
    means, sums = per_sample(frame, settings), batch_summed(frame, settings)
    for stratum, is_known in (("", False), ("site=x", False), ("site=y", True)):
        row = row_of(means, unit="patient", stratum=stratum, class_index=1, metric="dice")
        pooled = row_of(sums, unit="patient", stratum=stratum, class_index=1, metric="dice", pooled=True)
        assert (row["n_missing"] is not pd.NA) == is_known
        assert (
            np.isnan([row["mean_missing_as_zero"], pooled["pooled_missing_as_missed"]]).tolist() == [not is_known] * 2
        )
        assert row["n_failed"] == 0
    units = with_units(panel_of(frame), settings).units
    assert units is not None
    assert per_unit(units, settings)["n_missing"].tolist() == [pd.NA, pd.NA, 0, 0]


def test_batches_are_batches_of_units(frame_of: Frames, row_of: Rows) -> None:
    images = [((4, 1, 2), 0, OK), ((1, 2, 0), 1, OK), ((6, 0, 1), 0, OK), ((3, 3, 3), 2, OK)]
    table = batch_summed(_frame(frame_of, images), ScoreSettings(unit="patient", batch_sizes=(2,)))
    row = row_of(table, unit="patient", class_index=1, metric="dice", batch_size=2)
    # Patients 0 and 1 are the first batch, patient 2 the second, half of one.
    first, second = 2 * 11 / (2 * 11 + 3 + 3), 6 / 12
    assert row["n_batches"] == 2
    assert row["mean"] == pytest.approx((2 * first + second) / 3)
    assert row["mean_equal_weight"] == pytest.approx((first + second) / 2)


def test_intervals_draw_units_or_clusters_of_them(frame_of: Frames, row_of: Rows) -> None:
    images = [((6 + place % 5, 2, 3), place // 2, OK) for place in range(48)]
    frame = _frame(frame_of, images, hospital=[f"h{place // 4}" for place in range(48)])
    chosen = {"class_index": 1, "metric": "dice", "aggregation": "pooled", "method": "percentile"}
    plain = intervals(frame, ScoreSettings(unit="patient", bootstrap=200))
    assert [row_of(plain, unit=unit, **chosen)["n_units"] for unit in ("image", "patient")] == [48, 24]
    clustered = intervals(frame, ScoreSettings(unit="patient", cluster_by="hospital", bootstrap=200))
    rows = [row_of(clustered, unit=unit, **chosen) for unit in ("image", "patient")]
    assert [row["n_units"] for row in rows] == [12, 12]
    # The pooled score is that of the same sums: the same clusters give the same interval.
    assert rows[0]["low"] == pytest.approx(rows[1]["low"], rel=1e-12)
    # With the clusters as units, both are one.
    same = intervals(frame, ScoreSettings(unit="hospital", bootstrap=200))
    assert row_of(same, unit="hospital", **chosen)["high"] == pytest.approx(rows[0]["high"], rel=1e-12)


@pytest.mark.parametrize(
    ("columns", "settings", "words"),
    [
        pytest.param({"patient": ["a", None, "b"]}, {}, r"unit: .* of patient .* 1 image \(image1\)", id="null"),
        pytest.param({"patient": ["a", " ", ""]}, {}, r"none for 2 images \(image1, image2\)", id="blank"),
        pytest.param(
            {"patient": ["a", "a", "b"], "site": ["x", "y", "y"]}, {"group_by": ("site",)},
            r"one site \(metrics.group_by\), got patient 'a' in 2: x, y", id="two strata",
        ),
        pytest.param(
            {"patient": ["a", "a", "b"], "site": ["x", None, "y"]}, {"cluster_by": "site"},
            r"\(metrics.cluster_by\), got patient 'a' in 2", id="two clusters, one unknown",
        ),
        pytest.param(
            {"patient": [1, 1, 2], "fold": [0, 1, 1]}, {"folds": "fold"},
            r"\(metrics.folds\), got patient 1 in 2: 0, 1", id="two folds",
        ),
        pytest.param({"patient": ["a", "a", "b"], "fold": [0, None, 1]}, {"folds": "fold"},
                     r"folds: expected a value of fold for every image, got none for 1 image", id="no fold"),
        pytest.param({}, {}, "unit: expected a column of per_image, got 'patient'", id="no such column"),
        pytest.param({"patient": ["a", "b", "c"]}, {"group_by": ("site",)},
                     "group_by: expected a column of per_image, got 'site'", id="no such group"),
    ],
)  # fmt: skip
def test_what_makes_no_units_is_refused_by_name(
    frame_of: Frames, columns: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    frame, chosen = frame_of([(1, 1, 1)] * 3, failed=[1], **columns), ScoreSettings(unit="patient", **settings)
    for table in (per_sample, batch_summed, intervals, gap):
        with pytest.raises(ArgumentError, match=words):
            table(frame, chosen)
    with pytest.raises(ArgumentError, match=words):
        check_units(frame.drop_duplicates("image_id"), chosen)


@given(images=IMAGES, others=IMAGES)
def test_runs_are_compared_by_unit_as_their_sums_are(
    frame_of: Frames, row_of: Rows, images: list[Image], others: list[Image]
) -> None:
    both: list[tuple[Counts, Counts, int]] = [
        (one, other, patient) for (one, patient, _), (other, _, _) in zip(images, others, strict=False)
    ]
    same = [((0, 0, tp + fn), (min(other[0], tp + fn), other[1], max(tp + fn - other[0], 0)), patient)
            for (tp, _, fn), other, patient in both]  # fmt: skip
    hashes = {"image_sha256": "", "reference_sha256": "r"}
    a = _frame(frame_of, [(one, patient, OK) for one, _, patient in same], **hashes)
    b = _frame(frame_of, [(other, patient, OK) for _, other, patient in same], **hashes)
    settings = ScoreSettings(unit="patient", bootstrap=10)
    found = compare(a, b, settings, settings).differences
    plain = compare(a, b, settings.changed(unit=""), settings).differences
    of_images = found[found["unit"] == "image"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_images, plain, check_exact=True)
    row = row_of(found, unit="patient", class_index=1, metric="dice", aggregation="pooled")
    images_row = row_of(plain, class_index=1, metric="dice", aggregation="pooled")
    np.testing.assert_allclose(row["difference"], images_row["difference"], rtol=1e-12)
    assert row["n_pairs"] == len({patient for *_, patient in same})
    sums = pd.DataFrame([(patient, *one, *other) for one, other, patient in same]).groupby(0).sum()
    scores = [
        [_dice(tp, fp, fn, "nan") for tp, fp, fn in sums[columns].to_numpy()] for columns in ([1, 2, 3], [4, 5, 6])
    ]
    differences = np.array(scores[1]) - np.array(scores[0])
    expected = np.nanmean(differences) if np.isfinite(differences).any() else np.nan
    mean = row_of(found, unit="patient", class_index=1, metric="dice", aggregation="per_sample")
    np.testing.assert_allclose(mean["difference"], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(["a", "a", "b"], False, id="one value each"),
        pytest.param(["a", "b", "b"], True, id="two"),
        pytest.param(["a", None, "b"], True, id="null is a value"),
        pytest.param([None, None, None], False, id="null throughout"),
    ],
)
def test_what_tears_units(values: list[str | None], expected: bool) -> None:
    assert tears(pd.DataFrame({"patient": ["p", "p", "q"], "view": values}), "patient", "view") == expected
