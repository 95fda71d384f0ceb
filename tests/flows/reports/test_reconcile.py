"""segscale reconcile: a summary.json and a written report."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import segscale
from segscale.errors import ConfigError
from segscale.storage.reports import open_report
from segscale.tasks.metrics.causes import CAUSES
from segscale.tasks.metrics.nnunet_summary import nnunet_summary
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.rescore import at_threshold

ROOT = Path(__file__).parents[3]
WRITE = runpy.run_path(str(ROOT / "benchmarks" / "made_report.py"))["write_made_report"]
WriteRun = Callable[..., str]
LESIONS = [(40, 10, 10), (0, 0, 0), (5, 5, 15), (30, 0, 0)]
MISSING = {"prediction_missing": pd.array([False] * 6 + [True] * 2, "boolean"), "reference_pixels": 30}


def save(folder: Path, document: object, name: str = "summary.json") -> str:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def summary_of(report: str, labels: dict[int, Any], head: str | None = None) -> dict[str, Any]:
    return nnunet_summary(open_report(report).table("per_image"), labels, head)


def dice_of(found: segscale.Reconciliation, **keys: str) -> pd.Series:
    rows = found.totals[found.totals["metric"] == "dice"]
    for name, value in {"aggregation": "per_sample", "unit": "image", **keys}.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def moved(found: segscale.Reconciliation, **keys: str) -> dict[str, float]:
    """The causes of Dice that changed something, or concern cases."""
    rows = found.steps[found.steps["metric"] == "dice"]
    for name, value in {"aggregation": "per_sample", "unit": "image", **keys}.items():
        rows = rows[rows[name] == value]
    rows = rows[rows["difference"].abs() > 1e-12]
    return dict(zip(rows["cause"], rows["difference"].round(6), strict=True))


def test_the_three_numbers_of_a_run_with_missing_predictions(write_run: WriteRun, tmp_path: Path) -> None:
    settings = ScoreSettings(bootstrap=0, empty="zero", unit="site", batch_sizes=(1,))
    whole = write_run("whole", LESIONS)
    run = write_run("run", LESIONS, failed=(3,), settings=settings, **MISSING)
    found = segscale.reconcile(run, save(tmp_path, summary_of(whole, {0: 0, 1: 1})))
    nnunet, left, as_zero = (0.8 + 1 / 3 + 1) / 3, (0.8 + 1 / 3) / 2, (0.8 + 1 / 3) / 3
    total = dice_of(found)
    assert [total["theirs"], total["ours"]] == pytest.approx([nnunet, as_zero])
    assert total["verdict"] == "explained"
    steps = {"failed_cases": left - nnunet, "empty": as_zero - left}
    assert moved(found) == pytest.approx(steps, abs=1e-6)
    missing = moved(found, aggregation="per_sample_missing")
    assert missing == pytest.approx({**steps, "missing": (0.8 + 1 / 3) / 4 - as_zero}, abs=1e-6)
    pooled = 90 / 130
    assert dice_of(found, aggregation="pooled")["ours"] == pytest.approx(pooled)
    assert moved(found, aggregation="pooled") == pytest.approx(
        {"failed_cases": left - nnunet, "pooled": pooled - left}, abs=1e-6
    )
    # Cases 0 and 2 are of site x, case 1 and the missing one of y.
    assert dice_of(found, unit="site")["ours"] == pytest.approx((pooled + 0) / 2)
    assert found.alone.to_dict("list") == {
        "side": ["summary", "report"],
        "kind": ["case", "case"],
        "name": ["case3", "case3"],
        "reason": ["its image failed in the run", "no usable prediction"],
    }
    assert found.cases["state"].tolist() == ["equal"] * 3


def test_each_step_begins_where_the_last_ended_and_causes_keep_their_order(write_run: WriteRun, tmp_path: Path) -> None:
    settings = ScoreSettings(bootstrap=0, empty="one", smooth=1.0, unit="site")
    run = write_run("run", LESIONS, failed=(3,), settings=settings, **MISSING)
    other = write_run("other", [(40, 10, 10), (1, 0, 0), (5, 6, 15), (30, 0, 0), (1, 2, 3)])
    found = segscale.reconcile(run, save(tmp_path, summary_of(other, {0: 0, 1: 1})))
    keys = ["label", "class_name", "metric", "aggregation", "unit"]
    order = list(CAUSES)
    totals = {tuple(row[name] for name in keys): row for row in found.totals.to_dict("records")}
    for key, steps in found.steps.groupby(keys):
        total = totals[key]
        assert steps["before"].iloc[0] == total["theirs"]
        assert steps["after"].iloc[-1] == total["ours"]
        assert steps["before"].tolist()[1:] == steps["after"].tolist()[:-1]
        assert steps["difference"].sum() == pytest.approx(total["difference"], abs=1e-12)
        places = [order.index(cause) for cause in steps["cause"]]
        assert places == sorted(places)
        assert set(steps["sentence"].str.partition(": ")[0]) <= {text.partition(": ")[0] for text in CAUSES.values()}
    assert set(found.totals["verdict"]) == {"cannot tell"}
    assert found.cases["state"].tolist() == ["equal", "other_reference", "other_prediction"]
    assert found.alone["name"].tolist() == ["case4", "case3", "case3"]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_another_threshold_is_found_where_the_counts_are_its(n_classes: int, tmp_path: Path) -> None:
    settings = ScoreSettings(bootstrap=0, batch_sizes=(1,))
    run = WRITE(tmp_path / "run", 12, n_classes=n_classes, settings=settings)
    per_image = at_threshold(run.table("per_image"), run.table("thresholds"), 16)
    labels = {index: index for index in range(n_classes)}
    found = segscale.reconcile(run.path, save(tmp_path, nnunet_summary(per_image, labels)))
    total = dice_of(found, class_name="class_1")
    assert total["verdict"] == "explained"
    assert moved(found, class_name="class_1") == {"threshold": round(total["difference"], 6)}
    assert set(found.cases["state"]) == {"threshold"}
    (sentence,) = set(found.steps.query("cause == 'threshold' and class_name == 'class_1'")["sentence"])
    decided = "at 0.5" if n_classes == 2 else "by argmax or label map"
    assert sentence.endswith(f": 12 cases; at 0.25, the run {decided}")


def test_labels_that_changed_places_are_found_by_their_counts(tmp_path: Path) -> None:
    settings = ScoreSettings(bootstrap=0, batch_sizes=(1,))
    run = WRITE(tmp_path / "run", 9, n_classes=3, settings=settings, label_maps=True)
    found = segscale.reconcile(run.path, save(tmp_path, summary_of(run.path, {0: 0, 1: 2, 2: 1})))
    total = dice_of(found, class_name="class_1")
    assert (total["label"], total["verdict"]) == ("1", "explained")
    assert moved(found, class_name="class_1") == {"label_map": round(total["difference"], 6)}
    assert set(found.cases["state"]) == {"label_map"}
    macro = dice_of(found, class_name="all_macro")
    assert [macro["theirs"], macro["ours"]] == pytest.approx([macro["theirs"]] * 2)


def test_other_predictions_cannot_be_explained(tmp_path: Path) -> None:
    settings = ScoreSettings(bootstrap=0, batch_sizes=(1,))
    run, other = (WRITE(tmp_path / f"{seed}", 9, settings=settings, seed=seed) for seed in (1, 2))
    found = segscale.reconcile(run.path, save(tmp_path, summary_of(other.path, {0: 0, 1: 1})))
    total = dice_of(found, class_name="class_1")
    assert total["verdict"] == "cannot tell"
    assert total["unexplained"] == pytest.approx(total["difference"], abs=1e-12)
    assert "cannot tell" in total["sentence"]


def test_the_only_label_of_each_side_is_matched_and_said(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run("run", LESIONS)
    found = segscale.reconcile(run, save(tmp_path, summary_of(run, {0: 0, 1: 7})))
    assert dice_of(found)["verdict"] == "explained"
    assert found.notes[1].endswith("is taken for label 1 here: each is the only one")


def test_labels_of_one_side_alone_are_named(tmp_path: Path) -> None:
    settings = ScoreSettings(bootstrap=0, batch_sizes=(1,))
    run = WRITE(tmp_path / "run", 6, n_classes=3, settings=settings, label_maps=True)
    found = segscale.reconcile(run.path, save(tmp_path, summary_of(run.path, {0: 0, 1: 1, 2: 8})))
    alone = found.alone[found.alone["kind"] == "label"]
    assert list(zip(alone["side"], alone["name"], strict=True)) == [("summary", "8"), ("report", "class_2")]
    macro = found.steps.query("label == 'foreground' and metric == 'dice' and aggregation == 'per_sample'")
    assert {"other_labels", "added_classes"} <= set(macro.loc[macro["difference"] != 0, "cause"])


def first_version(document: dict[str, Any]) -> dict[str, Any]:
    """The same as nnU-Net 1 writes it."""

    def metrics(one: dict[str, Any]) -> dict[str, Any]:
        return {"Dice": one["Dice"], "Jaccard": one["IoU"], "Total Positives Test": one["n_pred"],
                "Total Positives Reference": one["n_ref"]}  # fmt: skip

    cases = [
        {"test": case["prediction_file"], "reference": case["reference_file"],
         **{label: metrics(one) for label, one in case["metrics"].items()}}
        for case in document["metric_per_case"]
    ]  # fmt: skip
    mean = {label: metrics(one) for label, one in document["mean"].items()}
    return {"id": "0", "results": {"all": cases, "mean": mean}}


def test_the_first_version_gives_the_same(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run("run", LESIONS, settings=ScoreSettings(bootstrap=0, empty="zero"))
    document = summary_of(run, {0: 0, 1: 1})
    second = segscale.reconcile(run, save(tmp_path, document))
    first = segscale.reconcile(run, save(tmp_path, first_version(document), "v1.json"))
    pd.testing.assert_frame_equal(first.totals, second.totals)
    pd.testing.assert_frame_equal(first.cases, second.cases)
    assert first.layout == "version 1"
    assert any("no true negatives" in note for note in first.notes)


def test_the_command_prints_what_the_function_gives(segscale_here: Any, write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run("run", LESIONS, settings=ScoreSettings(bootstrap=0, empty="zero"))
    path = save(tmp_path, summary_of(run, {0: 0, 1: 1}))
    said, as_json = segscale_here("reconcile", run, path), segscale_here("reconcile", run, path, "--json")
    assert (said.code, as_json.code) == (0, 0)
    assert "Dice per_sample: nnU-Net 0.7111, here 0.5333, -0.1778; explained" in said.out
    assert "-0.1778  empty: " in said.out
    printed = json.loads(as_json.out)
    assert list(printed) == ["layout", "totals", "steps", "cases", "alone", "notes"]
    found = segscale.reconcile(run, path)
    assert [row["difference"] for row in printed["steps"]] == found.steps["difference"].tolist()
    assert printed["cases"][1]["dice_ours"] is None


def test_of_several_heads_one_is_named(tmp_path: Path) -> None:
    settings = ScoreSettings(bootstrap=0, batch_sizes=(1,))
    run = WRITE(tmp_path / "run", 6, heads=("head_1", "head_2"), settings=settings)
    path = save(tmp_path, summary_of(run.path, {0: 0, 1: 1}, "head_2"))
    with pytest.raises(ConfigError, match=r"expected the one whose predictions are meant, .*there are head_1, head_2"):
        segscale.reconcile(run.path, path)
    assert dice_of(segscale.reconcile(run.path, path, head="head_2"))["verdict"] == "explained"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param("{", "expected nnU-Net's summary.json, got a file that is no JSON", id="no JSON"),
        pytest.param("[" * 100_000, "got a file that is no JSON", id="too deep"),
        pytest.param('{"run_id": "a"}', "got an object with run_id", id="another file"),
        pytest.param(
            '{"metric_per_case": [{"prediction_file": "out/liver_1.nii.gz", "metrics": {"1": {"TP": 1, "FP": 0, '
            '"FN": 0, "TN": 0}}}], "mean": {"1": {"Dice": 1.0, "IoU": 1.0}}}',
            "got none of another data set's: out/liver_1.nii.gz here, case0, case1, case2 and 1 more there",
            id="another data set",
        ),
        pytest.param(
            '{"metric_per_case": [{"prediction_file": "case1", "metrics": {"4": {"TP": 1, "FP": 0, "FN": 0, "TN": 0}, '
            '"5": {"TP": 1, "FP": 0, "FN": 0, "TN": 0}}}], "mean": {"4": {"Dice": 1}, "5": {"Dice": 1}}}',
            r"expected labels of the report \(1\), got 4, 5: set dataset.label_values",
            id="other labels",
        ),
    ],
)
def test_what_cannot_be_reconciled_is_one_line(
    segscale_here: Any, write_run: WriteRun, tmp_path: Path, document: str, words: str
) -> None:
    run = write_run("run", LESIONS)
    path = tmp_path / "summary.json"
    path.write_text(document, encoding="utf-8")
    outcome = segscale_here("reconcile", run, path)
    assert (outcome.code, outcome.out, len(outcome.err.splitlines())) == (2, "", 1)
    with pytest.raises(ConfigError, match=words):
        segscale.reconcile(run, str(path))


def test_a_file_or_a_report_that_is_not_there_is_named(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run("run", LESIONS)
    with pytest.raises(ConfigError, match=r"none\.json: expected nnU-Net's summary.json, found no such file"):
        segscale.reconcile(run, str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match="expected a report, found no run"):
        segscale.reconcile(str(tmp_path), save(tmp_path, summary_of(run, {0: 0, 1: 1})))


def test_where_all_failed_nothing_is_explained(write_run: WriteRun, tmp_path: Path) -> None:
    whole, run = write_run("whole", LESIONS), write_run("run", LESIONS, failed=(0, 1, 2, 3))
    found = segscale.reconcile(run, save(tmp_path, summary_of(whole, {0: 0, 1: 1})))
    assert set(found.totals["verdict"]) == {"undefined"}
    assert len(found.alone) == 4
