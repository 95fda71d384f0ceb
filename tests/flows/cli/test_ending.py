"""How commands end: what is said of a wrong one, and the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_each_thing_that_is_wrong_is_a_line(segscale_here: Any, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[dataset]\nimages = "i"\nreferences = "r"\n[metrics]\ntreshold = 1\n')
    outcome = segscale_here("run", config)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines() == [
        f"segscale: {config}: dataset.name: required, and not given; write name = ... below [dataset]",
        f"segscale: {config}: metrics.treshold: unknown key; did you mean threshold?",
    ]


def test_a_path_of_windows_gets_its_advice(segscale_here: Any, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[dataset]\nname = "d"\nimages = "C:\\data\\*.png"\n')
    outcome = segscale_here("run", config)
    assert outcome.code == 2
    assert """line 3: images = "C:\\data\\*.png": a backslash in "..." begins a special letter; write""" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["run"], "Missing argument 'CONFIG.toml'. (segscale run --help shows examples)", id="too few"),
        pytest.param(["rnu", "c.toml"], "No such command 'rnu'", id="a typo"),
        pytest.param(["compare", "a", "b", "--bye"], "segscale compare --help shows examples", id="an option"),
    ],
)
def test_a_wrong_command_is_one_line_that_says_where_help_is(
    segscale_here: Any, arguments: list[str], words: str
) -> None:
    outcome = segscale_here(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert len(outcome.err.splitlines()) == 1
