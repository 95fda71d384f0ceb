"""Steps from nnU-Net's mean to a run's numbers: each recomputed with plain pandas, from the counts alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.metrics import causes
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.causes import CAUSES
from segscale.tasks.metrics.count_agreement import Counting
from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.difference_path import Path
from segscale.tasks.metrics.panel import panel_of
from segscale.tasks.metrics.reconciliation import FAILED, UNKNOWN, LabelAlone, MatchedClass, Setting, paths
from segscale.tasks.metrics.settings import ScoreSettings

N_PIXELS = 100
Counts = tuple[int, int, int]
COUNT_NAMES = ["true_positive", "false_positive", "false_negative"]


@dataclass(frozen=True)
class Case:
    """One name: what nnU-Net and the run counted of it; None where a side does not have it."""

    theirs: Counts | None
    ours: Counts | None
    failed: str = ""
    """"failed" or "missing": the run's image has no counts."""
    patient: str = "p"


def _on_both_sides(cases: list[Case]) -> bool:
    return any(one.theirs for one in cases) and any(one.ours and not one.failed for one in cases)


count = st.integers(0, 12)
counts = st.one_of(st.just((0, 0, 0)), st.tuples(count, count, count))
patients = st.sampled_from("pqr")
cases_drawn = st.lists(
    st.one_of(
        st.builds(lambda one, patient: Case(one, one, "", patient), counts, patients),
        st.builds(lambda one, two, patient: Case(one, two, "", patient), counts, counts, patients),
        st.builds(lambda one: Case(one, None), counts),
        st.builds(lambda two, patient: Case(None, two, "", patient), counts, patients),
        st.builds(
            lambda one, two, failed, patient: Case(one, two, failed, patient),
            st.none() | counts, counts, st.sampled_from(["failed", "missing"]), patients,
        ),
    ),
    min_size=1,
    max_size=9,
).filter(_on_both_sides)  # fmt: skip


def columns(rows: list[Counts]) -> CountColumns:
    tp, fp, fn = np.array(rows, np.int64).reshape(-1, 3).T
    unknown = np.full(len(rows), np.nan)
    return CountColumns(tp, fp, fn, N_PIXELS - tp - fp - fn, tp + fn, unknown, unknown, unknown)


def per_image_of(cases: list[Case], n_classes: int = 1) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for place, case in enumerate(cases):
        if case.ours is None:
            continue
        tp, fp, fn = case.ours
        tn = N_PIXELS - tp - fp - fn
        for index, of_class in enumerate([(tn, fn, fp, tp), *[(tp, fp, fn, tn)] * n_classes]):
            rows.append({
                "image_id": f"case{place}", "patient": case.patient, "class_index": index, "class_name": f"c{index}",
                "head": "", **dict(zip([*COUNT_NAMES, "true_negative"], of_class, strict=True)),
                "soft_intersection": np.nan, "soft_prediction_sum": np.nan, "soft_prediction_squared_sum": np.nan,
                "reference_sum": of_class[0] + of_class[2], "reference_pixels": of_class[0] + of_class[2],
                "status": "failed" if case.failed else "ok", "prediction_missing": case.failed == "missing",
            })  # fmt: skip
    frame = pd.DataFrame(rows).astype({"prediction_missing": "boolean"})
    whole = [*COUNT_NAMES, "true_negative", "reference_sum"]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))
    frame.loc[frame["status"] == "failed", whole] = pd.NA
    return frame


def dice(frame: pd.DataFrame, smooth: float = 0.0) -> pd.Series:
    """Undefined where both masks are empty."""
    twice, wrong = 2 * frame["tp"], frame["fp"] + frame["fn"]
    return (twice + smooth) / (twice + wrong + smooth).where(twice + wrong > 0)


def nan_mean(scores: pd.Series) -> float:
    return float(scores.mean())


def reconciled(cases: list[Case], settings: ScoreSettings, stated: float, n_classes: int = 1) -> list[Path]:
    """All paths of Dice, as the flow makes them where nothing but the run's own counting is tried."""
    per_image = per_image_of(cases, n_classes)
    panel = panel_of(per_image)
    sound = {name: place for place, name in enumerate(panel.images["image_id"])}
    theirs = [(f"case{place}", case) for place, case in enumerate(cases) if case.theirs is not None]
    places = np.array(
        [UNKNOWN if case.ours is None else FAILED if case.failed else sound[name] for name, case in theirs], np.int64
    )
    setting = Setting(places, True, settings, None)
    own = next(one for one in panel.classes[""] if one.class_index == 1).counts.take(places[places >= 0])
    listed = columns([case.theirs for _, case in theirs if case.theirs is not None])
    one = MatchedClass((1,), 1, "c1", listed, {"dice": stated, "iou": stated}, own, Counting(1, None, own), ("c1", own))
    over = {"dice": stated, "iou": stated} if n_classes > 1 else {}
    alone = [LabelAlone(listed, {"dice": stated, "iou": stated})] if n_classes > 1 else []
    reported = per_sample(per_image, settings), batch_summed(per_image, settings)
    return [path for path in paths([one], alone, over, setting, panel, reported) if path.metric == "dice"]


@given(
    cases_drawn, st.sampled_from(["nan", "one", "zero", "smooth"]), st.sampled_from([0.0, 1.0, 2.5]), st.booleans(),
    st.floats(0, 1),
)  # fmt: skip
def test_every_step_is_what_pandas_gives(
    cases: list[Case], empty: Any, smooth: float, has_units: bool, stated: float
) -> None:
    settings = ScoreSettings(
        empty=empty, smooth=smooth, bootstrap=0, batch_sizes=(), unit="patient" if has_units else ""
    )
    found = {(path.aggregation, path.unit): path for path in reconciled(cases, settings, stated)}
    frame = pd.DataFrame(
        [
            {"theirs": case.theirs, "ours": case.ours, "sound": bool(case.ours and not case.failed),
             "failed": case.failed, "patient": case.patient}
            for case in cases
        ]
    )  # fmt: skip
    has_theirs, known = frame["theirs"].notna(), frame["ours"].notna()

    def counted(side: str, chosen: pd.Series) -> pd.DataFrame:
        return pd.DataFrame(frame.loc[chosen, side].tolist(), columns=["tp", "fp", "fn"], index=frame.index[chosen])

    theirs, ours = counted("theirs", has_theirs), counted("ours", frame["sound"])
    shared = theirs.index.intersection(ours.index)
    both_empty = ours.sum(axis=1) == 0
    policy = {"nan": np.nan, "one": 1.0, "zero": 0.0, "smooth": 1.0 if smooth else np.nan}[empty]
    own_scores = dice(ours, smooth).mask(both_empty, policy)
    merged = theirs.loc[shared].copy()
    other_reference = (ours["tp"] + ours["fn"]).loc[shared] != merged["tp"] + merged["fn"]
    expected = {
        causes.STATED: nan_mean(dice(theirs)),
        causes.UNKNOWN_CASES: nan_mean(dice(theirs[known.loc[theirs.index]])),
        causes.FAILED_CASES: nan_mean(dice(merged)),
        causes.VOXELS: nan_mean(dice(merged)),
        causes.REFERENCE: nan_mean(dice(merged.mask(other_reference, ours.loc[shared], axis=0))),
        causes.PREDICTION: nan_mean(dice(ours.loc[shared])),
        causes.THRESHOLD: nan_mean(dice(ours.loc[shared])),
        causes.LABEL_MAP: nan_mean(dice(ours.loc[shared])),
        causes.ADDED_CASES: nan_mean(dice(ours)),
        causes.SMOOTHING: nan_mean(dice(ours, smooth)),
        causes.EMPTY: nan_mean(own_scores),
        causes.REPORTED: nan_mean(own_scores),
    }
    check_steps(found["per_sample", "image"], stated, expected)
    total = ours.sum().to_frame().T
    common = {cause: expected[cause] for cause in list(expected)[:9]}
    pooled = policy if total.sum(axis=1).item() == 0 else dice(total, smooth).item()
    check_steps(
        found["pooled", "image"],
        stated,
        {
            **common, causes.POOLED: dice(total).item(), causes.SMOOTHING: dice(total, smooth).item(),
            causes.EMPTY: pooled, causes.REPORTED: pooled,
        },
    )  # fmt: skip
    n_missing = int((frame["failed"] == "missing").sum())
    assert (("per_sample_missing", "image") in found) == bool(n_missing)
    if n_missing:
        missed = own_scores.sum() / (own_scores.notna().sum() + n_missing)
        before = {cause: value for cause, value in expected.items() if cause != causes.REPORTED}
        check_steps(
            found["per_sample_missing", "image"], stated, {**before, causes.MISSING: missed, causes.REPORTED: missed}
        )
    if has_units:
        of_units = ours.groupby(frame["patient"]).sum()
        scores = dice(of_units, smooth).mask(of_units.sum(axis=1) == 0, policy)
        assert found["per_sample", "patient"].ours == pytest.approx(nan_mean(scores), nan_ok=True)


def check_steps(path: Path, stated: float, expected: dict[str, float]) -> None:
    """The causes in order, each with its value, and one chain from the one number to the other."""
    assert [step.cause for step in path.steps] == list(expected)
    order = list(CAUSES)
    assert sorted(expected, key=order.index) == list(expected)
    for step in path.steps:
        assert step.after == pytest.approx(expected[step.cause], abs=1e-12, nan_ok=True), step.cause
    assert path.theirs == stated
    for before, after in zip(path.steps, path.steps[1:], strict=False):
        assert after.before == before.after or np.isnan(after.before)
    if not np.isnan(path.ours):
        differences = [step.difference for step in path.steps]
        if not np.isnan(differences).any():
            assert sum(differences) == pytest.approx(path.ours - path.theirs, abs=1e-12)


def test_a_published_table_by_hand() -> None:
    # Two lesions of Dice .2 and .8, eight empty cases; stated is the mean over the two.
    cases = [Case(one, one) for one in [(1, 4, 4), (8, 2, 2), *[(0, 0, 0)] * 8]]
    found = {path.aggregation: path for path in reconciled(cases, ScoreSettings(empty="zero", bootstrap=0), 0.5)}
    averaged, pooled = found["per_sample"], found["pooled"]
    assert [round(averaged.ours, 12), round(pooled.ours, 12)] == [0.1, 18 / 30]
    moved = {step.cause: round(step.difference, 12) for step in averaged.steps if abs(step.difference) > 1e-12}
    assert moved == {causes.EMPTY: -0.4}
    assert averaged.steps[10].sentence.endswith(': 8 of 10; metrics.empty = "zero"')
    assert (averaged.verdict, averaged.unexplained) == ("explained", 0.0)
    assert averaged.sentence == "nnU-Net 0.5000, here 0.1000, -0.4000; explained"


@pytest.mark.parametrize(
    ("cases", "stated", "verdict", "unexplained"),
    [
        pytest.param([Case((4, 1, 1), (4, 1, 1))], 0.8, "explained", 0.0, id="the same counts"),
        pytest.param([Case((4, 1, 1), (3, 2, 2))], 0.8, "cannot tell", -0.2, id="another prediction"),
        pytest.param([Case((4, 0, 2), (4, 2, 0))], 0.8, "cannot tell", 0.0, id="other counts of the same Dice"),
        pytest.param([Case((4, 1, 1), (4, 1, 1))], 0.7, "cannot tell", 0.1, id="another mean than its cases have"),
        pytest.param([Case((0, 0, 0), (0, 0, 0))], np.nan, "undefined", np.nan, id="nothing anywhere"),
        pytest.param(
            [Case((4, 1, 1), None), Case(None, (1, 1, 1))], 0.8, "cannot tell", np.nan, id="no case in common"
        ),
    ],
)
def test_what_remains(cases: list[Case], stated: float, verdict: str, unexplained: float) -> None:
    (path,) = (one for one in reconciled(cases, ScoreSettings(bootstrap=0), stated) if one.aggregation == "per_sample")
    assert path.verdict == verdict
    assert path.unexplained == pytest.approx(unexplained, abs=1e-12, nan_ok=True)
    assert "nan" not in path.sentence.replace("nnU-Net nan, here nan", "")


def test_over_labels_those_without_a_class_are_left_out_and_classes_without_a_label_added() -> None:
    cases = [Case((4, 1, 1), (4, 1, 1)), Case((1, 1, 1), (1, 1, 1))]
    found = reconciled(cases, ScoreSettings(bootstrap=0), 0.65, n_classes=2)
    (path,) = (one for one in found if (one.label, one.aggregation) == ("foreground", "per_sample"))
    assert path.class_name == "all_macro"
    assert [step.cause for step in path.steps if step.cause in (causes.OTHER_LABELS, causes.ADDED_CLASSES)] == [
        causes.OTHER_LABELS,
        causes.ADDED_CLASSES,
    ]
    assert [path.theirs, path.ours] == pytest.approx([0.65, 0.65])
    assert path.verdict == "explained"
