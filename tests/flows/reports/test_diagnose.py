"""`segscale diagnose` on written reports and on training histories."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from segscale.flows.cli.main import run
from segscale.flows.reports.diagnose import diagnose_report

WriteRun = Callable[..., str]
SOUND = [(36, 2, 2), (18, 1, 1), (27, 1, 2), (9, 0, 1)]


def test_a_sound_run_has_no_warning(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diagnose", write_run("a", SOUND)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 errors, 0 warnings, ")


def test_a_planted_mistake_on_the_terminal(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diagnose", write_run("a", [(0, 0, 40), (0, 0, 20), (9, 1, 1)], failed=[2])]) == 0
    out = capsys.readouterr().out
    assert out.startswith("error: argmax over a single channel")
    assert "  evidence: class lesion: no pixel of 2 images is predicted, 60 are in the references; Dice 0" in out
    assert "warning: failed images are in no mean" in out
    assert "1 errors, 1 warnings, 0 notes" in out


def test_as_json(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diagnose", write_run("a", [(40, 360, 0), (20, 380, 0)]), "--json"]) == 0
    (finding, *_) = json.loads(capsys.readouterr().out)["findings"]
    assert list(finding) == ["signature", "severity", "cause", "evidence", "remedy"]
    assert (finding["signature"], finding["severity"]) == ("everything-foreground", "error")


def test_no_findings_as_json(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diagnose", write_run("a", [(18, 1, 1)] * 3), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"findings": []}


def test_findings_are_those_of_the_tables(write_run: WriteRun) -> None:
    assert [one.signature for one in diagnose_report(write_run("a", [(1, 350, 40)] * 3))] == ["wrong-channel"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("history.json", "history.json: expected a training history, found none", id="no history"),
        pytest.param("nowhere", "expected a report, found no run.json", id="nothing there"),
    ],
)
def test_what_is_neither_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: str) -> None:
    assert run(["diagnose", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_damaged_or_foreign_table_is_one_line(
    write_run: WriteRun,
    overwrite_table: Callable[[str, str, pd.DataFrame], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = write_run("a", SOUND)
    overwrite_table(report, "gap", pd.DataFrame({"price": [1.0]}))
    assert run(["diagnose", report]) == 2
    Path(report, "per_sample.parquet").unlink()
    assert run(["diagnose", report]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "per_sample.parquet stands in run.json and is missing" in lines[1]


HISTORY = {"loss": [1.9, 1.5, 1.2, 1.1, 1.05], "dsc": [0.0876] * 5, "val_loss": [1.8] * 5, "val_dsc": [0.0876] * 5}


def test_a_history_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps(HISTORY))
    assert run(["diagnose", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("error: the metric does not depend on what is predicted")
    assert "  evidence: validation, epochs 1 to 5: dsc 0.0876" in out
    assert "note: a Dice lies between 0 and 1, the loss is more than one Dice" in out
    assert out.splitlines()[-1] == "1 errors, 0 warnings, 1 notes"


def test_a_history_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps(HISTORY))
    assert run(["diagnose", str(path), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [one["signature"] for one in findings] == ["constant-metric", "loss-exceeds-one"]
    assert list(findings[0]) == ["signature", "severity", "cause", "evidence", "remedy"]


def test_the_splits_of_a_history_have_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.csv"
    path.write_text("epoch,split,loss\n1,test,0.5\n")
    assert run(["diagnose", str(path)]) == 2
    assert "history.csv: history: expected rows of training or validation" in capsys.readouterr().err
