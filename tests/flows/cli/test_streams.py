"""Whoever reads what a command prints may leave: the command goes on, and its exit code is its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
FIXTURE = Path(__file__).parents[2] / "fixtures" / "0bb167e"
REPORT = FIXTURE / "reports" / "drawn" / "first"
COMMANDS = {
    "a table": ("diagnose", str(REPORT)),
    "much text": ("rescore", str(REPORT), "--json"),
    "a help": ("run", "--help"),
    "a wrong configuration": ("run", "nothing.toml"),
}


def left() -> int:
    """The writing end of a pipe whose reader is gone."""
    read, write = os.pipe()
    os.close(read)
    return write


def run(arguments: tuple[str, ...], *, gone: tuple[int, ...] = (), closed: tuple[int, ...] = ()) -> tuple[int, str]:
    """Exit code and what is on stderr, with descriptors whose reader is gone, or that are closed."""
    streams = {1: subprocess.DEVNULL, 2: subprocess.PIPE} | {descriptor: left() for descriptor in gone}
    # A shell closes them: Python's own streams are none then.
    shell = "".join(f" {descriptor}>&-" for descriptor in closed)
    command = ["/bin/sh", "-c", f'exec "$0" -m segscale "$@"{shell}', sys.executable, *arguments]
    done = subprocess.run(command, stdout=streams[1], stderr=streams[2], text=True, check=False)
    for descriptor in gone:
        os.close(streams[descriptor])
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_exit_code_is_that_of_the_command(name: str) -> None:
    code, said = run(COMMANDS[name])
    assert run(COMMANDS[name], gone=(1,)) == (code, said)
    assert run(COMMANDS[name], gone=(1, 2))[0] == code
    assert run(COMMANDS[name], closed=(1,)) == (code, said)
    assert run(COMMANDS[name], closed=(1, 2))[0] == code


@pytest.mark.parametrize("streams", [{"gone": (1, 2)}, {"closed": (1, 2)}, {"gone": (2,), "closed": (1,)}], ids=str)
def test_a_run_ends_as_it_would_with_readers(tmp_path: Path, streams: dict[str, tuple[int, ...]]) -> None:
    # Its files are at another place than when it was first run, so workers look at them.
    work = shutil.copytree(FIXTURE, tmp_path / "work")
    assert run(("run", str(work / "config.toml"), "--run-id", "unread"), **streams)[0] == 0
    assert (work / "reports" / "drawn" / "unread" / "run.json").exists()


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", b"\\u0416 \xe9\n"), ("utf-8", "\u0416 \xe9\n".encode())])
def test_what_a_terminal_cannot_show_is_no_reason_to_fail(encoding: str, shown: bytes) -> None:
    program = "from segscale.flows.cli.streams import outlive_readers; outlive_readers(); print('\\u0416 \\xe9')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout == shown


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_takes_no_result() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "segscale", "diagnose", str(REPORT)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "segscale: the result could not be printed: No space left on device"
