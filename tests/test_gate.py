"""That every test is somewhere: in `make test`, or in a part of `make nightly` that is a target and is described."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
TESTS = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
MARKER = re.compile(r'mark\.nightly\(part="(\w+)"\)')


def list_of(name: str) -> set[str]:
    """A variable of the Makefile, as make reads it."""
    asked = ["make", "--no-print-directory", "--file=-", "show"]
    show = f"{MAKEFILE}\nshow: ; @echo $({name})\n"
    answer = subprocess.run(asked, input=show, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def test_every_part_that_a_test_is_marked_with_is_a_target_and_no_target_is_empty() -> None:
    assert {part for path in TESTS for part in MARKER.findall(path.read_text())} == list_of("MARKED")


def test_every_mark_names_its_part() -> None:
    for path in TESTS:
        text = path.read_text()
        assert text.count("mark.nightly") == len(MARKER.findall(text)), path


def test_every_part_is_described() -> None:
    described = set(re.findall(r"^\| [^|]+ \| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert list_of("PARTS") <= described


def test_ci_calls_make_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make")] == ['make test PYTHON="$python"']
