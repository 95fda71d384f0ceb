"""What a run with nothing to do loads: nothing of Prefect, of Dask, of a network or of plots."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
FIXTURE = Path(__file__).parents[1] / "fixtures" / "0bb167e"
HEAVY = ("prefect", "dask", "distributed", "tensorflow", "keras", "openvino", "matplotlib")
CODE = f"""
import json, sys
from segscale.flows.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def run_and_look(*arguments: str) -> tuple[int, list[str]]:
    """Exit code of a command, and what of `HEAVY` it has loaded."""
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    return code, loaded


@pytest.mark.parametrize("is_asked_for", [True, False], ids=["a cluster", "processes"])
def test_what_is_done_is_seen_without_what_does_it(tmp_path: Path, is_asked_for: bool) -> None:
    work = shutil.copytree(FIXTURE, tmp_path / "work")
    if not is_asked_for:
        text = (work / "config.toml").read_text()
        (work / "config.toml").write_text(text.replace("[cluster]\nworkers = 1\n", ""))
    command = (str(work / "config.toml"), "--run-id", "again", "--quiet")
    code, loaded = run_and_look("run", *command)
    # Files at another place are looked at by workers, and a report of another name is drawn.
    found = ("distributed" in loaded, "dask" in loaded, "matplotlib" in loaded, "prefect" in loaded)
    assert (code, *found) == (0, is_asked_for, is_asked_for, True, False)
    assert run_and_look("run", *command) == (0, [])
    assert run_and_look("report", *command) == (0, [])


@pytest.mark.parametrize("command", ["rescore", "diagnose"])
def test_readers_of_reports_load_none_of_it(command: str) -> None:
    assert run_and_look(command, str(FIXTURE / "reports" / "drawn" / "first")) == (0, [])
