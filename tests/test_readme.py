"""What README.md shows is what its commands print."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_command_is_the_one_to_begin_with() -> None:
    assert re.findall(r"^    (segscale .*)$", TEXT, re.MULTILINE)[0] == (
        "segscale evaluate --predictions DIR --references DIR"
    )


def test_no_number_stands_there_without_its_command() -> None:
    (shown,) = re.findall(r"^```console\n.*?^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert not re.findall(r"\b0\.\d{3,}", TEXT.replace(shown, ""))


@pytest.mark.slow
def test_the_first_session_prints_what_is_shown(tmp_path: Path) -> None:
    (session,) = re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    said = ""
    for command in re.findall(r"^\$ (.*)$", session, re.MULTILINE):
        program, *arguments = shlex.split(command)
        assert program in ("python", "segscale")
        module = ["-m", "segscale"] if program == "segscale" else []
        done = subprocess.run(
            [sys.executable, *module, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        said += done.stderr + done.stdout
    lines = iter(said.splitlines())
    # Lines are left out of it, and none is made up or out of its place.
    for line in session.splitlines():
        assert line.startswith("$ ") or line in lines, line
