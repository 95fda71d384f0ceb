"""The examples in docstrings are run, and say what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("storage", "tasks", "flows")
MODULES = sorted(
    f"segscale.{path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}".removesuffix(".__init__")
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if ">>>" in path.read_text()
)


def test_there_are_examples_to_run() -> None:
    assert len(MODULES) >= 14


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    answer = doctest.testmod(import_module(name))
    assert answer.attempted > 0, "no docstring holds the example"
    assert answer.failed == 0, "see what doctest printed"
