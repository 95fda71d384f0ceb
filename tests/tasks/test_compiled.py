from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from segscale.tasks import compiled

CALLER = """
from segscale.tasks.metrics.callee import one
from segscale.tasks.compiled import compiled

@compiled
def two():
    return one() + one()

print(two())
"""
CALLEE = """
from segscale.tasks.compiled import compiled

@compiled
def one():
    return {value}
"""


def run_caller(root: Path, value: int) -> str:
    """What the caller says in a process of its own, with a callee of this value."""
    (root / "segscale" / "tasks" / "metrics" / "callee.py").write_text(CALLEE.format(value=value))
    environment = {name: text for name, text in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    # -B: bytecode is known by second and size, and this file is written twice within one.
    command = [sys.executable, "-B", "-c", "import segscale.tasks.metrics.caller"]
    return subprocess.run(
        command, cwd=root, env={**environment, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.slow
def test_a_function_is_compiled_anew_when_one_that_it_calls_in_another_file_has_changed(tmp_path: Path) -> None:
    package = tmp_path / "segscale" / "tasks" / "metrics"
    package.mkdir(parents=True)
    for folder in (package, *package.parents[:2]):
        (folder / "__init__.py").touch()
    shutil.copy(compiled.__file__, package.parent / "compiled.py")
    (package / "caller.py").write_text(CALLER)
    assert [run_caller(tmp_path, value) for value in (1, 1, 5)] == ["2", "2", "10"]
    assert len(list((package.parent / "__pycache__").glob("numba-*"))) == 2


def test_a_folder_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    asked, own = compiled._kept_in(str(tmp_path)), compiled._kept_in("")
    assert asked is not None
    assert own is not None
    assert asked.parent == tmp_path
    assert own.name == asked.name


def test_the_compiler_is_imported_with_the_first_call_alone() -> None:
    program = "import sys, segscale.tasks.metrics.intervals; print('numba' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ((), ["numba: nothing is compiled for this version yet, this run takes some seconds longer"]),
        (("readers_1/png_rows.unfilter-14.py311.1.nbc",), []),
        (("readers_1/png_rows.unfilter-14.py311.nbi",), ["numba: nothing is compiled for this version yet, this run "]),
    ],
    ids=["nothing is kept", "something is kept", "an index alone, as of a process that was killed"],
)
def test_what_is_not_compiled_yet_is_said(
    held: tuple[str, ...],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = compiled._kept_in(str(tmp_path))
    assert folder is not None
    for name in held:
        path = folder / name
        path.parent.mkdir()
        path.touch()
    with caplog.at_level("INFO", logger="segscale"):
        compiled.say_whether_kept()
    assert [line[: len(start)] for line, start in zip(caplog.messages, said, strict=True)] == said


def test_functions_are_compiled_where_their_sources_are_looked_at() -> None:
    tasks = Path(compiled.__file__).parent
    users = {path for path in tasks.rglob("*.py") if "@compiled" in path.read_text(encoding="utf-8")}
    assert users
    assert users <= {path for pattern in compiled.SOURCES for path in tasks.glob(pattern)}
