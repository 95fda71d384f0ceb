"""docs/reconcile.md holds what its script writes; its blocks run, and its lists are those of the code."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import segscale
from segscale.flows.cli.main import run
from segscale.tasks.metrics.causes import CAUSES, REMAINS
from tests.test_docs_why import assert_same_page

DOCS = Path(__file__).parents[1] / "docs"
PAGE = SimpleNamespace(**runpy.run_path(str(DOCS / "scripts" / "reconcile.py")))
TEXT = (DOCS / PAGE.PAGE).read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published set, its report under the name of the page, and nnU-Net's file."""
    root = tmp_path_factory.mktemp("reconcile")
    PAGE.draw(root)
    Path(PAGE.evaluated(root)).rename(root / "REPORT")
    (root / "summary.json").write_bytes(PAGE.SUMMARY.read_bytes())
    return root


@pytest.mark.slow
def test_the_page_is_what_the_command_says(tmp_path: Path) -> None:
    PAGE.write_page(tmp_path)
    assert_same_page((tmp_path / PAGE.PAGE).read_text(encoding="utf-8"), TEXT)


@pytest.mark.slow
def test_the_three_published_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    totals = segscale.reconcile("REPORT", "summary.json").totals.query("metric == 'dice'").set_index("aggregation")
    assert [round(value, 3) for value in totals["theirs"]] == [0.46, 0.46]
    assert [round(totals["ours"][name], 3) for name in ("per_sample", "pooled")] == [0.17, 0.637]
    assert set(totals["verdict"]) == {"explained"}


@pytest.mark.slow
def test_every_block_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    lines = [line.partition(" >")[0] for block in blocks("sh") for line in block.splitlines()]
    assert [run(shlex.split(line)[1:]) for line in lines] == [0, 0]
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "docs/reconcile.md", "exec"), names)
    assert "nnU-Net 0.4600, here 0.1704" in capsys.readouterr().out
    assert names["found"].layout == "version 2"


def rows(heading: str) -> dict[str, str]:
    """First and last cell of the table below a heading."""
    section = TEXT.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[-1] for row in cells}


def test_the_page_has_all_causes_in_their_order() -> None:
    assert list(rows("## The causes, in this order")) == list(CAUSES)
    remains = TEXT.split("**What remains.** ", 1)[1].split(" say where", 1)[0]
    assert set(re.findall(r"`(\w+)`", remains)) == REMAINS


@pytest.mark.slow
def test_the_page_has_all_columns(folder: Path) -> None:
    found = segscale.reconcile(str(folder / "REPORT"), str(folder / "summary.json"))
    described = rows("## In Python")
    assert list(described) == list(found.tables)
    keys = ["label", "class_name", "metric", "aggregation", "unit"]
    for name, table in found.tables.items():
        cells = re.sub(r"\([^)]*\)", "", described[name])
        named = [*(keys if name == "steps" else []), *re.findall(r"`(\w+)`", cells)]
        assert named == list(table), name
