"""What earlier versions wrote: today's readers go on reading it, and a run goes on in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segscale.flows.reports.compare import compare_reports, describe
from segscale.flows.reports.diagnose import diagnose_path
from segscale.flows.reports.rescore import open_rescoring
from segscale.storage.reports import TABLES, open_report, open_runs
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.rescore import Changes, rescore

FIRST_RELEASE = Path(__file__).with_name("fixtures") / "0bb167e"
"""Its README.md says what is in it: three reports of one data set, a store, a training history."""
REPORTS = FIRST_RELEASE / "reports" / "drawn"
N_IMAGES = 8
HEADLINE = {"first": (0.8100, 0.5786, 0.8642), "second": (0.6580, 0.4935, 0.8383), "third": (0.5270, 0.4517, 0.5941)}
"""Dice of the lesion as that version printed it: per sample, with failed images as 0, pooled."""
UNASKED = {"per_unit", "per_slice", "surface", "lesion_counts", "lesions"}
"""Tables that are written where somebody asks for them, of which that version knew none."""
ALIKE = ["failed-images-dropped", "pooled-differs", "batch-size-dependent"]


def _lesion(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of Dice of the whole set and the lesion."""
    return table[(table["stratum"] == "") & (table["class_index"] == 1) & (table["metric"] == "dice")]


@pytest.mark.parametrize("name", HEADLINE)
def test_every_table_of_an_old_report_is_read(name: str) -> None:
    report = open_report(str(REPORTS / name))
    assert report.is_whole()
    assert report.run()["run_id"] == name
    written = [table for table in TABLES if (REPORTS / name / f"{table}.parquet").exists()]
    # Neither kept thresholds of label maps, nor knew units of evaluation.
    assert set(TABLES) - set(written) == {*UNASKED, *(["thresholds"] if name == "second" else [])}
    for table in written:
        plain = pd.read_parquet(REPORTS / name / f"{table}.parquet")
        read = report.table(table)
        # Today's tables may hold more than that version knew; what it wrote they hold as it was.
        columns = [str(name) for name in plain]
        pd.testing.assert_frame_equal(read[columns], plain, check_exact=True)
        pd.testing.assert_frame_equal(report.table(table, columns), plain, check_exact=True)
        assert report.columns(table) == list(read)
    assert len(report.table("per_image")) == 2 * N_IMAGES


@pytest.mark.parametrize(("name", "expected"), HEADLINE.items())
def test_the_headline_of_an_old_report_stands(name: str, expected: tuple[float, float, float]) -> None:
    report = open_report(str(REPORTS / name))
    per_sample, batches = _lesion(report.table("per_sample")), _lesion(report.table("batch_summed"))
    found = per_sample["mean"].item(), per_sample["mean_failed_as_zero"].item(), batches.query("pooled")["mean"].item()
    assert found == pytest.approx(expected, abs=5e-5)


def test_old_reports_are_read_together() -> None:
    per_image = open_runs(str(FIRST_RELEASE / "reports"), "per_image")
    assert per_image.groupby("run_id").size().to_dict() == dict.fromkeys(HEADLINE, 2 * N_IMAGES)
    thresholds = open_runs(str(FIRST_RELEASE / "reports"), "thresholds")
    assert thresholds.groupby("run_id").size().to_dict() == {"first": N_IMAGES, "third": N_IMAGES}


@pytest.mark.parametrize("name", HEADLINE)
def test_rescored_without_changes_an_old_report_has_its_own_scores(name: str) -> None:
    rescoring = open_rescoring(str(REPORTS / name), Changes())
    report = open_report(str(REPORTS / name))
    for table, rows in rescore(rescoring.per_image, rescoring.plan.settings).items():
        own = report.table(table)
        pd.testing.assert_frame_equal(rows, own[list(rows)], check_exact=True)


def test_an_old_report_is_rescored_at_a_kept_threshold() -> None:
    rescoring = open_rescoring(str(REPORTS / "third"), Changes(threshold=0.25, group_by=("site",)))
    kept = pd.read_parquet(REPORTS / "third" / "thresholds.parquet").dropna()
    true_positive, predicted, reference = (
        kept[column].to_numpy(float) for column in ("true_positive_004", "predicted_004", "reference_sum")
    )
    # An image with no pixel in either has no Dice.
    total = predicted + reference
    dice = 2 * true_positive[total > 0] / total[total > 0]
    tables = rescore(rescoring.per_image, rescoring.plan.settings)
    assert _lesion(tables["per_sample"])["mean"].item() == pytest.approx(np.mean(dice), abs=1e-12)
    pooled = _lesion(tables["batch_summed"]).query("pooled")["mean"].item()
    assert pooled == pytest.approx(2 * true_positive.sum() / total.sum(), abs=1e-12)
    assert set(tables["per_sample"]["stratum"]) == {"", "site=north", "site=south"}


def test_old_reports_are_compared() -> None:
    found = compare_reports(str(REPORTS / "first"), str(REPORTS / "second"), ("site",))
    assert found.runs["run_id"].tolist() == ["first", "second"]
    assert found.runs["n_failed"].tolist() == [2, 2]
    pooled = _lesion(found.tables["differences"]).query("aggregation == 'pooled'")
    assert pooled["value_a"].item() == pytest.approx(HEADLINE["first"][2], abs=5e-5)
    assert pooled["value_b"].item() == pytest.approx(HEADLINE["second"][2], abs=5e-5)
    assert found.comparison.unpaired["image_id"].nunique() == 2


def test_which_images_of_an_old_report_lack_a_prediction_is_not_known() -> None:
    found = compare_reports(str(REPORTS / "first"), str(REPORTS / "second"))
    assert found.runs["n_missing"].tolist() == [None, None]
    assert set(found.comparison.differences["aggregation"]) == {"per_sample", "pooled"}
    said = describe(found)
    assert "which failed images of a lack a usable prediction is not known, for an older version wrote it" in said
    rescored = rescore(open_rescoring(str(REPORTS / "first"), Changes()).per_image, ScoreSettings())
    row = _lesion(rescored["per_sample"])
    assert row["n_missing"].item() is pd.NA
    assert np.isnan(row["mean_missing_as_zero"].item())


def test_an_old_report_is_like_itself() -> None:
    found = compare_reports(str(REPORTS / "third"), str(REPORTS / "third"))
    differences = found.comparison.differences["difference"].dropna()
    assert len(differences) > 0
    assert not differences.any()


@pytest.mark.parametrize("name", HEADLINE)
def test_an_old_report_is_diagnosed(name: str) -> None:
    assert [one.signature for one in diagnose_path(str(REPORTS / name))] == ALIKE


def test_an_old_training_history_is_diagnosed() -> None:
    folder = FIRST_RELEASE / "model.training"
    for path in (folder, folder / "history.parquet"):
        (finding,) = diagnose_path(str(path))
        assert finding.severity == "note"
        assert "loss 1.325 at epoch 1" in finding.evidence


def _segscale(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in the folder, without a Prefect server."""
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    command = [str(Path(sys.executable).with_name("segscale")), *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False,
        env={**environment, "PREFECT_HOME": str(folder / "prefect")},
    )  # fmt: skip


def _same_but_for_the_run(report: Path, again: Path, table: str) -> None:
    """What the old report says, the new one says too; it has more columns, readings, and a name for the predictions."""
    old = pd.read_parquet(report / f"{table}.parquet").drop(columns=["run_id", "model"])
    new = open_report(str(again)).table(table)[list(old)]
    if table == "failures":
        # Nothing is ingested any more where existing predictions are scored.
        old["stage"] = "score"
    if table == "intervals":
        new = new[~new["aggregation"].str.endswith("_missing")].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, new, check_exact=True)


@pytest.mark.slow
def test_a_run_goes_on_in_an_old_store(tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(FIRST_RELEASE, folder)
    old, again, changed = (folder / "reports" / "drawn" / name for name in ("first", "again", "changed"))

    # What files mean is settled by other rules than then, so the work is done once more, beside the old.
    outcome = _segscale(folder, "run", "config.toml", "--run-id", "again")
    assert outcome.returncode == 0, outcome.stderr
    assert "score: an earlier version has read these files" in outcome.stderr
    assert "score: 3 shards to do, 0 committed before" in outcome.stderr
    assert outcome.stdout.splitlines()[-1] == f"report: {again}"
    for table in set(TABLES) - UNASKED:
        _same_but_for_the_run(old, again, table)
    assert _lesion(open_report(str(again)).table("per_sample"))["n_missing"].item() == 1
    assert _lesion(open_report(str(old)).table("per_sample"))["n_missing"].item() is pd.NA

    # A prediction that changed: its shard alone is counted again, and its image alone has other counts.
    shutil.copy(folder / "other_predictions" / "case0.png", folder / "predictions" / "case0.png")
    outcome = _segscale(folder, "run", "config.toml", "--run-id", "changed")
    assert outcome.returncode == 0, outcome.stderr
    assert "score: 1 shard to do, 2 committed before" in outcome.stderr
    counts = ["true_positive", "false_positive", "false_negative", "true_negative", "reference_sum", "status"]
    before, after = (
        open_report(str(report)).table("per_image").set_index(["image_id", "class_index"])[counts]
        for report in (old, changed)
    )
    assert before.compare(after).index.unique("image_id").tolist() == ["case0"]

    outcome = _segscale(folder, "verify", "config.toml", "--full", "--run-id", "changed")
    assert outcome.returncode == 0, outcome.stdout
