"""`segscale compare` on written reports."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run as run_process

import pandas as pd
import pytest

from segscale.flows.cli.main import run
from segscale.flows.reports.compare import compare_reports
from segscale.tasks.metrics.compare import DIFFERENCE_COLUMNS
from segscale.tasks.metrics.settings import ScoreSettings

WriteRun = Callable[..., str]
A = [(6, 2, 4), (0, 0, 5), (50, 1, 1), (20, 3, 0)]
B = [(8, 2, 2), (3, 0, 2), (50, 1, 1), (20, 3, 0)]
ROOT = Path(__file__).parents[3]


def test_a_comparison_on_the_terminal(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", write_run("a", A), write_run("b", B, failed=[3])]) == 0
    out = capsys.readouterr().out
    assert "b: " in out
    assert "(4 images, 1 failed)" in out
    assert "1 image failed in a run and enter no difference" in out
    lines = [line.split() for line in out.splitlines()]
    pooled = next(line for line in lines if line[:3] == ["lesion", "dice", "pooled"])
    # 112/(112 + 13) and 122/(122 + 8); each of 3 images swapped or not is as far 2 times of 8.
    assert pooled[3:] == ["0.8960", "0.9385", "0.0425", "-", "-", "-", "1.0000"]
    # Without case1 the pooled Dice is 112/120 in a and 116/122 in b: it costs a 0.0373 and b 0.0124.
    assert next(line for line in lines if "case1" in line)[2:] == ["0.0000", "0.7500", "0.7500", "0.0250"]


def test_as_json(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", write_run("a", A), write_run("b", B), "--by", "site", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert list(tables) == ["runs", "differences", "images", "unpaired", "left_out"]
    assert [row["run_id"] for row in tables["runs"]] == ["a", "b"]
    assert list(tables["differences"][0]) == list(DIFFERENCE_COLUMNS)
    assert list(dict.fromkeys(row["stratum"] for row in tables["differences"])) == ["", "site=x", "site=y"]
    assert tables["unpaired"] == []


def test_caveats_are_told(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", write_run("a", A), write_run("b", B, head="x4", threshold=0.25)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "head '' of a is compared with head 'x4' of b",
        "threshold None in a, 0.25 in b (None: label maps, or classes by argmax)",
    ]


def test_what_is_printed_is_what_was_found(write_run: WriteRun) -> None:
    found = compare_reports(write_run("a", A), write_run("b", B))
    assert found.runs["n_failed"].tolist() == [0, 0]
    assert found.tables["differences"] is found.comparison.differences


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("segscale: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_what_cannot_be_compared_is_one_line(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_run("a", A)
    other_policy = ScoreSettings(empty="one", bootstrap=0, batch_sizes=())
    for other, words in (
        (write_run("fewer", B[:3]), "different images: 1 only in a (case3)"),
        (write_run("image", B, image_sha256="other"), "different images: image_sha256"),
        (write_run("reference", B, reference_sha256="other"), "different references: reference_sha256"),
        (write_run("policy", B, settings=other_policy), "metrics.empty: expected the same in both runs"),
    ):
        assert words in _refused([a, other], capsys)


def test_a_wrong_path_or_column_is_one_line(write_run: WriteRun, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_run("a", A)
    assert "expected a report, found no run.json" in _refused([a, f"{a}/nothing"], capsys)
    assert "expected a column of per_image, got 'age'" in _refused([a, a, "--by", "age"], capsys)
    assert "Missing argument 'REPORT_B'" in _refused([a], capsys)


def test_a_damaged_or_foreign_table_is_one_line(
    write_run: WriteRun,
    overwrite_table: Callable[[str, str, pd.DataFrame], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, torn, foreign = write_run("a", A), write_run("torn", A), write_run("foreign", A)
    table = Path(torn, "per_image.parquet")
    table.write_bytes(table.read_bytes()[:-100])
    assert "per_image.parquet is damaged" in _refused([a, torn], capsys)
    overwrite_table(foreign, "per_image", pd.DataFrame({"price": [1.0]}))
    assert "per_image" in _refused([a, foreign], capsys)
    Path(torn, "run.json").write_text("{")
    assert "is damaged: expected JSON" in _refused([torn, a], capsys)


@pytest.mark.parametrize("command", ["compare", "diagnose"])
def test_nothing_heavy_is_imported(write_run: WriteRun, command: str) -> None:
    report = write_run("a", A)
    arguments = [command, report, *([report] if command == "compare" else [])]
    code = (
        "import sys; from segscale.flows.cli.main import run; assert run(sys.argv[1:]) == 0; "
        "print([name for name in ('prefect', 'dask', 'distributed', 'tensorflow', 'keras') if name in sys.modules])"
    )
    answer = run_process([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
