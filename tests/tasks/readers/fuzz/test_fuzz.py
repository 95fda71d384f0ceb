"""Damaged files to every reader: documented errors alone, in bounded memory and time.

`make fuzz` plays 100,000 inputs, those of SEGSCALE_FUZZ_KEY where that is set; the gate plays the same 1,000 each time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from segscale.errors import DataError, UnreadableImage
from tests.tasks.readers.fuzz import play, plays
from tests.tasks.readers.fuzz.seeds import LABELS, Seed, npy, seeds

ROOT = Path(__file__).parents[4]
GATE, NIGHTLY = 1_000, 100_000
KEY = os.environ.get("SEGSCALE_FUZZ_KEY", "1")
_MOST_FAILURES = 20


def found(key: str, start: int, stop: int) -> Iterator[str]:
    """What is wrong with the answers to these inputs, and how each is had again; the slow ones are printed."""
    failures = 0
    while start < stop and failures < _MOST_FAILURES:
        command = [sys.executable, "-m", "tests.tasks.readers.fuzz.play", "--key", key]
        ended = subprocess.run(
            [*command, "--start", str(start), "--stop", str(stop)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        last, seed, number = start - 1, "before the first input", ""
        for line in ended.stdout.splitlines():
            what, *fields = line.split("\t")
            if what == "begun":
                last, seed, number = int(fields[0]), fields[1], fields[2]
            if what == "slow":
                print(line)
            if what == "failed":
                failures += 1
                yield f"{seed}, damage {number} (--key {key} --start {last}): {fields[1]}"
        if ended.returncode == 0:
            return
        failures += 1
        yield f"{seed}, damage {number} (--key {key} --start {last}) ended the process: {ended.stderr[-1500:]}"
        start = last + 1


@pytest.mark.slow
def test_damaged_files_are_refused_with_documented_errors() -> None:
    print(f"key {KEY}, {GATE} inputs of {len(seeds())} seeds")
    failures = list(found("1", 0, GATE))
    assert not failures, "\n".join(failures)


@pytest.mark.nightly(part="fuzz")
@pytest.mark.timeout(3600)
def test_many_damaged_files_are_refused_with_documented_errors() -> None:
    print(f"key {KEY} (SEGSCALE_FUZZ_KEY), {NIGHTLY} inputs of {len(seeds())} seeds")
    workers = os.cpu_count() or 1
    bounds = [NIGHTLY * part // workers for part in range(workers + 1)]
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(lambda part: list(found(KEY, bounds[part], bounds[part + 1])), range(workers))
        failures = [failure for part in parts for failure in part]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("seed", seeds().values(), ids=lambda seed: seed.name)
def test_the_seeds_are_sound(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = []
    ask = plays.asked

    def asked(call: Callable[[], object]) -> object:
        answers.append(ask(call))
        return answers[-1]

    monkeypatch.setattr(plays, "asked", asked)
    seed.play(play.wrapped(seed, dict(seed.files)))
    told = [answer for answer in answers if answer is not None]
    # Of these two a reader may say no more than what they are.
    assert len(told) > 1 or "CMYK" in seed.name or "two" in seed.name


def test_a_night_cuts_every_file_at_each_of_its_boundaries() -> None:
    damages = NIGHTLY // len(seeds())
    for seed in seeds().values():
        names = seed.damaged or tuple(seed.files)
        if len(names) == 1:  # of several one is drawn each time
            _, cuts, _ = play.known(seed.name, names[0], KEY)
            assert len(cuts) <= damages // 4, seed.name


def test_damage_is_the_same_each_time_and_another_by_another_key() -> None:
    seed = seeds()["npy/labels/a.npy"]
    first = [play.damage(seed, number, "1") for number in range(40)]
    assert first == [play.damage(seed, number, "1") for number in range(40)]
    assert first != [play.damage(seed, number, "2") for number in range(40)]
    assert sum(files != seed.files for _, files in first) > 30


@pytest.mark.parametrize(
    ("does", "what"),
    [
        (lambda: dict[str, int]()["shape"], "KeyError"),
        (lambda: np.zeros(10**15), "MemoryError"),
        (lambda: plays.asked(lambda: _raise(UnreadableImage("long" * 1000))), "a message of 4000 characters"),
        (lambda: plays.asked(lambda: _raise(DataError("a\x00b"))), "cannot be shown in a line"),
    ],
)
def test_what_is_looked_for_is_found(does: object, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of readers' mistakes."""
    calls = []

    def faulty(files: plays.Files) -> None:
        calls.append(files)
        if len(calls) > 1:  # the first is the sound one
            does()  # type: ignore[operator]

    seed = Seed("npy/labels/a.npy", {"a.npy": npy(LABELS)}, faulty)
    monkeypatch.setattr(play, "seeds", lambda: {seed.name: seed})
    play.known.cache_clear()
    lines = list(play.played("1", 0, 1))
    play.known.cache_clear()
    assert any(line.startswith("failed\t0\t") and re.search(what, line) for line in lines), lines


def _raise(error: Exception) -> None:
    raise error


def _ended(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """A program that plays a seed of which it says itself what it does, in a process of its own."""
    program = folder / "program.py"
    program.write_text(
        "\n".join([
            "import numpy as np",
            "from tests.tasks.readers.fuzz import play",
            "from tests.tasks.readers.fuzz.seeds import LABELS, Seed, npy",
            *lines,
            "seed = Seed('npy/labels/a.npy', {'a.npy': npy(LABELS)}, does)",
            "play.seeds = lambda: {seed.name: seed}",
            "for line in play.played('1', 0, 2): print(line, flush=True)",
        ])
    )  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(program)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is counted where Linux is")
def test_memory_is_counted(tmp_path: Path) -> None:
    """Not in the process of other tests: the most address space that one of them took never falls."""
    ended = _ended(
        tmp_path,
        "todo = iter([lambda: None, lambda: np.zeros(2**32, np.uint8), lambda: np.ones(300 * 2**20, np.uint8)])",
        "def does(files): next(todo)()",
    )
    assert ended.returncode == 0, ended.stderr
    claimed, took = [line for line in ended.stdout.splitlines() if line.startswith("failed")]
    assert re.search(r"claimed 4\d\d\d MiB of memory$", claimed)
    assert re.search(r"took (29|30)\d MiB of memory$", took)


def test_what_never_ends_is_named(tmp_path: Path) -> None:
    """The process is ended, and the input on which it hung is told by its last line."""
    ended = _ended(
        tmp_path,
        "calls = []",
        "def does(files):",
        "    calls.append(files)",
        "    play.LONGEST_SECONDS = 1",  # for the input behind this one, which is to wait for nothing but its turn
        "    while len(calls) > 2: pass",
    )
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "begun\t1\tnpy/labels/a.npy\t1"
    assert "Timeout" in ended.stderr
