"""The end of a run on the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.flows.cli.style import Style, style_of_stdout
from segscale.flows.cli.summary import describe_result
from segscale.flows.report import RunResult
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.reasons import Reason

WriteRun = Callable[..., str]
LESIONS = [(40, 10, 10), (0, 0, 0), (5, 5, 15), (30, 0, 0)]
"""Dice 0.8, undefined, 1/3 and 1; pooled 150/190."""
MANY = [(40 + place, 10, 10) for place in range(12)]


def _said(path: str, style: Style = Style(), hints: bool = False, **changes: Any) -> list[str]:  # noqa: B008  # frozen
    plain: dict[str, Any] = {
        "path": path, "run_id": "0a", "n_images": 4, "n_failed": 0, "reused": False, "headline": pd.DataFrame(),
    }  # fmt: skip
    return describe_result(RunResult(**plain | changes), style, hints).splitlines()


def test_of_a_sound_run_scores_and_the_worst_images(write_run: WriteRun) -> None:
    path = write_run("a", LESIONS, settings=ScoreSettings(bootstrap=20, batch_sizes=(2,)))
    assert _said(path) == [
        "class   metric   per-sample  pooled  undefined",
        "lesion  Dice         0.7111  0.7895          1",
        "lesion  Tversky      0.6980  0.7732          1",
        "without interval: 3 units to be measured, fewer than 10",
        "",
        "batch-summed  metric   batch 2",
        "lesion        Dice      0.7889",
        "lesion        Tversky   0.7723",
        "",
        "4 images, 0 failed",
        "",
        "worst images    Dice  reference pixels  predicted pixels",
        "case2         0.3333                20                10",
        "case0         0.8000                50                50",
        "case3         1.0000                30                30",
        "",
        f"page: {path}/report.html",
        f"report: {path}",
    ]


def test_intervals_are_those_of_the_report(write_run: WriteRun) -> None:
    path = write_run("a", MANY, settings=ScoreSettings(bootstrap=50, batch_sizes=(), confidence=0.9))
    table = pd.read_parquet(f"{path}/intervals.parquet")
    rows = table.query("metric == 'dice' and class_index == 1 and stratum == '' and method == 'bca'")
    each = {row.aggregation: f"{row.low:.4f} - {row.high:.4f}" for row in rows.itertuples()}
    head, dice, *_ = _said(path)
    assert head.split("  ")[-1].strip() == "90 % interval"
    assert re.findall(r"[\d.]+ - [\d.]+", dice) == [each["per_sample"], each["pooled"]]


def test_strata_have_their_own_rows(write_run: WriteRun) -> None:
    path = write_run("a", LESIONS, settings=ScoreSettings(bootstrap=0, group_by=("site",)))
    lines = _said(path)
    start = lines.index("stratum  images  undefined  per-sample Dice  pooled Dice")
    assert lines[start + 1 : start + 3] == [
        "site=x        2                      0.5667       0.6923",
        "site=y        2          1           1.0000       1.0000",
    ]


def test_of_many_strata_the_first_are_shown_and_the_others_counted(write_run: WriteRun) -> None:
    sites = [f"s{place:02d}" for place in range(25) for _ in range(2)]
    path = write_run("a", [(9, 1, 1)] * 25, settings=ScoreSettings(bootstrap=0, group_by=("site",)), site=sites)
    lines = _said(path, n_images=25)
    assert sum(line.startswith("site=") for line in lines) == 20
    assert "and 5 more strata, in per_sample.parquet and batch_summed.parquet" in lines


def test_what_failed_and_what_is_wrong_stand_between_scores_and_report(write_run: WriteRun) -> None:
    path = write_run("a", LESIONS, failed=(3,))
    reasons = (Reason("score", "MissingFile", 2, "a", "prediction: none"), Reason("ingest", "E", 1, "b", "b.png: torn"))
    findings = (Finding("x", "error", "a cause", "some evidence", "a remedy"),)
    lines = _said(path, n_failed=3, n_missing=2, reasons=reasons, findings=findings, reused=True)
    assert "failed as 0" in lines[0]
    start = next(place for place, line in enumerate(lines) if line.startswith("4 images, 3 failed (2 of them without"))
    assert lines[start].endswith("; nothing had changed, the report was there")
    assert lines[start + 1 : start + 7] == [
        "  2 in score, MissingFile: e.g. a: prediction: none", "  1 in ingest, E: b: b.png: torn",
        "", "error: a cause", "  evidence: some evidence", "  remedy:   a remedy",
    ]  # fmt: skip


def test_the_next_commands_have_the_paths_that_there_are(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run("two words", LESIONS)
    alone = "\n".join(_said(path, hints=True))
    assert f"segscale compare OTHER_REPORT '{path}'" in alone
    assert f"segscale rescore '{path}' --empty one" in alone
    assert f"'{path}/report.html'" in alone
    other = write_run("other", LESIONS)
    assert f"segscale compare {other} '{tmp_path / 'two words'}'" in "\n".join(_said(path, hints=True))
    assert not any(line.startswith("next") for line in _said(path))


@pytest.mark.parametrize("width", [34, 40, 60, 100])
def test_tables_and_sentences_keep_to_the_width(write_run: WriteRun, width: int) -> None:
    path = write_run("a", MANY, settings=ScoreSettings(bootstrap=50, group_by=("site",)))
    findings = (Finding("x", "warning", "a long cause " * 9, "some evidence " * 9, "a remedy"),)
    lines = _said(path, Style(width), findings=findings)
    assert max(len(line) for line in lines if path not in line) <= width
    assert len([line for line in lines if line.startswith("lesion")]) >= 4


def test_a_terminal_gets_emphasis_and_nothing_else_does(write_run: WriteRun) -> None:
    path = write_run("a", LESIONS)
    findings = (Finding("x", "error", "a cause", "some evidence", "a remedy"),)
    shown = "\n".join(_said(path, Style(100, has_colours=True), findings=findings))
    assert "\x1b[31merror: a cause\x1b[0m" in shown
    assert "\x1b" not in "\n".join(_said(path, findings=findings))
    assert shown.replace("\x1b[31m", "").replace("\x1b[1m", "").replace("\x1b[0m", "").isascii()


@pytest.mark.parametrize(
    ("is_terminal", "environment", "expected"),
    [
        pytest.param(False, {"TERM": "xterm"}, Style(), id="a file or a pipe"),
        pytest.param(True, {"TERM": "xterm"}, Style(70, True), id="a terminal"),
        pytest.param(True, {"TERM": "xterm", "NO_COLOR": "1"}, Style(70, False), id="NO_COLOR"),
        pytest.param(True, {"TERM": "xterm", "NO_COLOR": ""}, Style(70, True), id="an empty NO_COLOR is none"),
        pytest.param(True, {"TERM": "dumb"}, Style(70, False), id="a terminal without colours"),
    ],
)
def test_the_style_is_that_of_whoever_reads(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, environment: dict[str, str], expected: Style
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    assert style_of_stdout() == expected


def test_units_and_folds_stand_beside_images(
    write_run: WriteRun, overwrite_table: Callable[[str, str, pd.DataFrame], None]
) -> None:
    path = write_run("a", LESIONS, settings=ScoreSettings(bootstrap=0, batch_sizes=(2,)))
    for name in ("per_sample", "batch_summed", "intervals"):
        table = pd.read_parquet(f"{path}/{name}.parquet").drop(columns="unit", errors="ignore")
        units = table.assign(unit="patient_id", n_images=3) if "n_images" in table else table.assign(unit="patient_id")
        both = pd.concat([table.assign(unit="image"), units], ignore_index=True)
        if name == "per_sample":
            both = both.assign(mean_of_folds=both["mean"] / 2, n_folds=4)
        overwrite_table(path, name, both)
    head, *rows = _said(path)
    assert head.split()[:3] == ["class", "metric", "unit"]
    assert "mean of 4 folds" in head
    assert [row.split()[:3] for row in rows[:4]] == [
        ["lesion", "Dice", "image"], ["lesion", "Tversky", "image"],
        ["lesion", "Dice", "patient_id"], ["lesion", "Tversky", "patient_id"],
    ]  # fmt: skip
    assert rows[0].split()[3:5] == ["0.7111", "0.3556"]


@pytest.mark.parametrize(
    ("missing", "columns"),
    [
        pytest.param((1,), ["failed as 0", "missing as 0", "pooled, missed"], id="one slice of a patient"),
        pytest.param((), ["failed as 0"], id="failed for another reason"),
    ],
)
def test_rows_of_units_count_images_without_a_prediction(
    write_run: WriteRun, missing: tuple[int, ...], columns: list[str]
) -> None:
    lacks = [place in missing for place in range(4) for _ in range(2)]
    path = write_run(
        "a", LESIONS, (1,), ScoreSettings(bootstrap=0, batch_sizes=(), unit="patient"),
        patient=[f"p{place // 2}" for place in range(4) for _ in range(2)], prediction_missing=lacks,
        reference_pixels=[30 if one else pd.NA for one in lacks],
    )  # fmt: skip
    head, *rows = (re.split(r"  +", line.strip()) for line in _said(path)[:5])
    assert [name for name in head if "as 0" in name or "missed" in name] == columns
    assert [row[2] for row in rows] == ["image", "image", "patient", "patient"]
    assert {len(row) for row in rows} == {len(head)}
    dice = dict(zip(head, rows[2], strict=True))
    table = pd.read_parquet(f"{path}/batch_summed.parquet").query("unit == 'patient' and pooled")
    expected = table.query("metric == 'dice' and class_index == 1 and stratum == ''")["pooled_missing_as_missed"].item()
    assert dice.get("pooled, missed", dice["pooled"]) == f"{expected:.4f}"
