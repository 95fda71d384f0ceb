"""The pages of help: readable, with examples that are true."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
import pytest

from segscale.flows.cli.main import HEADINGS, commands

NAMES = sorted(commands.commands)


def test_the_name_alone_shows_what_there_is(segscale_here: Any) -> None:
    outcome = segscale_here()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == segscale_here("--help").out
    for heading in HEADINGS:
        assert f"{heading}:\n" in outcome.out
    assert set(re.findall(r"^  (\w+)  ", outcome.out, re.MULTILINE)) >= set(NAMES)


def test_every_command_stands_under_one_heading() -> None:
    shown = [command.name for under in HEADINGS.values() for command in under]
    assert sorted(map(str, shown)) == NAMES


def test_what_to_begin_with_are_commands_that_there_are(segscale_here: Any) -> None:
    shown = re.findall(r"^ +segscale ([a-z]+)", segscale_here().out, re.MULTILINE)
    assert len(shown) == 3
    assert set(shown) <= set(NAMES)


def test_a_scoring_is_not_said_to_need_an_ingest(segscale_here: Any) -> None:
    assert "ingest" not in segscale_here("score", "--help").out


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_of_the_overview_is_cut_or_too_long(
    segscale_here: Any, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = segscale_here().out.splitlines()
    assert max(map(len, lines)) <= max(width, 80)
    if width >= 80:
        assert not [line for line in lines if line.endswith("...") and "ARGS" not in line]


@pytest.mark.parametrize("name", NAMES)
def test_every_page_has_examples_that_could_be_typed(segscale_here: Any, name: str) -> None:
    page = segscale_here(name, "--help").out
    _, _, shown = page.partition("Examples:\n")
    examples = [one.strip() for line in shown.splitlines() for one in line.split("&&") if one.strip()]
    assert examples
    for line in examples:
        typed = shlex.split(line.split(" > ")[0])
        assert typed[0] == "segscale"
        command = commands.commands[typed[1]]
        with click.Context(command, info_name=typed[1]) as context:
            command.parse_args(context, typed[2:])
