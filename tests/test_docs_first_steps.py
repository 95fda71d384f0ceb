"""docs/quickstart.md and docs/first-steps.md hold what the commands say: their script runs them again."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segscale.flows.cli.main import run
from segscale.storage.reports import open_report
from tests.test_docs_why import assert_same_page

DOCS = Path(__file__).parents[1] / "docs"
STEPS = SimpleNamespace(**runpy.run_path(str(DOCS / "scripts" / "first_steps.py")))
QUICKSTART = (DOCS / "quickstart.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.slow


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", QUICKSTART, re.MULTILINE | re.DOTALL)


def test_the_page_of_other_ways_is_what_the_commands_say(tmp_path: Path) -> None:
    assert_same_page(STEPS.page_text("first-steps.md", tmp_path), (DOCS / "first-steps.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the quickstart, once its commands have run and said what the page says."""
    folder = tmp_path_factory.mktemp("quickstart")
    assert_same_page(STEPS.page_text("quickstart.md", folder), QUICKSTART)
    return folder / "liver"


def test_what_follows_the_commands_runs(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    reports = [open_report(str(one)) for one in (work / "segscale-report/reports/liver").iterdir()]
    (before,) = (Path(one.path) for one in reports if len(one.table("failures")))
    looked, in_python = blocks("python")
    names: dict[str, Any] = {"report": before}
    exec(compile(looked, "docs/quickstart.md, look", "exec"), names)
    assert list(names["worst"]["image_id"])[:3] == ["case24", "case23", "case19"], "those that the command names"
    (line,) = blocks("sh")
    program, *arguments = shlex.split(line.replace(STEPS.RUNS[0], before.name))
    assert program == "segscale"
    assert run(arguments) == 1, "a prediction is missing still"
    exec(compile(in_python, "docs/quickstart.md, in Python", "exec"), names)
    per_sample = names["report"].table("per_sample")
    chosen = per_sample.query("stratum == '' and class_index == 1 and metric == 'dice'").iloc[0]
    assert (chosen["n_images"], chosen["n_missing"]) == (24, 1)
    assert f"{chosen['mean']:.4f}" in QUICKSTART
