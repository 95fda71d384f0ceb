"""Every example of docs/reports.md runs, and says what the report says; every column is described."""

import re
import runpy
import shlex
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.flows.cli.main import run
from segscale.flows.reports.export import export
from segscale.storage.reports import TABLES, open_report
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.rescore import at_threshold, rescore

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
RUN = "reports/nuclei/0a1b2c3d4e5f"
GROUPS = {"patient_id", "site"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs of one data set, one with failed images, and one of label maps of another data set."""
    write = runpy.run_path(str(ROOT / "benchmarks" / "made_report.py"))["write_made_report"]
    root = tmp_path_factory.mktemp("docs")
    settings = ScoreSettings(batch_sizes=(1, 8), bootstrap=10, unit="patient_id")
    more = {"failed_every": 20, "missing_every": 15, "slices": True, "measures": True}
    write(root / RUN, 60, settings=settings, run_id="0a1b2c3d4e5f", dataset="nuclei", seed=1, **more)
    for dataset, run_id, is_label_map in (("nuclei", "999999999999", False), ("phantom", "aaaaaaaaaaaa", True)):
        where = root / "reports" / dataset / run_id
        write(where, 9, settings=settings, run_id=run_id, dataset=dataset, seed=2, label_maps=is_label_map)
    export(str(root / RUN), folder=str(root / "tables"))
    return root


def _gap_at(folder: Path, index: int | None) -> pd.Series:
    report = open_report(str(folder / RUN))
    if index is None:
        table = report.table("gap")
    else:
        per_image = at_threshold(report.table("per_image"), report.table("thresholds"), index)
        table = rescore(per_image, ScoreSettings(batch_sizes=(1,)))["gap"]
    of_images = table[(table["unit"] == "image") & (table["stratum"] == "")]
    chosen = of_images[(of_images["class_index"] == 1) & (of_images["metric"] == "dice")]
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.mark.parametrize("place", range(len(blocks("python"))))
def test_every_python_example_runs_and_is_right(place: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    block = blocks("python")[place]
    names: dict[str, Any] = {}
    exec(compile(block, f"docs/reports.md, example {place + 1}", "exec"), names)
    shown = {"pooled", "points", "gaps"} & set(names)
    assert shown, "an example that this test does not know how to judge"
    if "pooled" in shown:
        expected = _gap_at(folder, 16 if "thresholds" in block else None)
        assert names["per_sample"] == pytest.approx(expected["per_sample_mean"], abs=1e-12)
        assert names["pooled"] == pytest.approx(expected["pooled"], abs=1e-12)
    if "points" in shown:
        assert len(names["points"]) == 63
        assert names["points"]["pooled"][15] == pytest.approx(_gap_at(folder, 16)["pooled"], abs=1e-12)
    if "gaps" in shown:
        assert list(names["gaps"]["run_id"]) == ["0a1b2c3d4e5f", "999999999999", "aaaaaaaaaaaa"]
        assert list(names["gaps"]["gap"])[:1] == [_gap_at(folder, None)["gap"]]


def test_all_three_readers_are_shown() -> None:
    for library in ("segscale.storage.reports", "duckdb", "polars"):
        assert sum(library in block for block in blocks("python")) >= 3


def test_every_command_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Elsewhere, since what one of them writes is there already.
    shutil.copytree(folder / "reports", tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "segscale"
        assert run(arguments) == 0


def _described(table: str) -> set[str]:
    section = TEXT.split(f"\n### {table}\n", 1)[1].split("\n### ", 1)[0]
    cells = [line.split(" | ", 1)[0] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_described_and_no_other(table: str, folder: Path) -> None:
    columns = {re.sub(r"_\d{3}$", "_kkk", name) for name in open_report(str(folder / RUN)).columns(table)}
    columns = {re.sub(r"^nsd_.*", "nsd_T", name) for name in columns}
    assert _described(table) == columns - {"run_id", "dataset", "model"} - GROUPS
