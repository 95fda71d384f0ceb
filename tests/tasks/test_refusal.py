"""What a record of settings refused, in words."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from segscale.errors import ArgumentError
from segscale.tasks.refusal import SHOWN_LETTERS, as_toml, refusals
from segscale.tasks.section import Section


class Inner(Section):
    share: float = 0.0
    names: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Outer(Section):
    inner: Inner = Inner()
    size: int = 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(False, "false", id="no False"),
        pytest.param("é\n", '"é\\n"', id="text"),
        pytest.param((1, 2.5), "[1, 2.5]", id="a list"),
        pytest.param({"a": [True]}, "{a = [true]}", id="a table"),
        pytest.param(datetime.date(2026, 1, 2), "2026-01-02", id="a date"),
        pytest.param(float("nan"), "nan", id="no number"),
        pytest.param("x" * 200, '"' + "x" * (SHOWN_LETTERS - 1) + "...", id="a long text"),
    ],
)
def test_values_are_shown_as_they_are_written(value: object, text: str) -> None:
    assert as_toml(value) == text


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        pytest.param(
            {"size": 1.5, "inner": {"share": "a", "nams": []}},
            [
                'inner.share: expected a number, got "a"',
                "inner.nams: unknown key; did you mean names?",
                "size: expected a whole number, got 1.5",
            ],
            id="all of them",
        ),
        pytest.param({"share": 1}, ["share: unknown key; share stands below [inner]"], id="of another section"),
        pytest.param({"iner": {}}, ["iner: unknown section; did you mean [inner]?"], id="a section"),
        pytest.param({"inner": {"names": ["a", 2]}}, [
            'inner.names, value 2: expected text in quotes, got 2; write "2"'], id="in a list",
        ),
    ],
)  # fmt: skip
def test_each_thing_is_a_line(document: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(document)
    assert refusals(caught.value, Outer) == lines


def test_a_change_that_is_refused_is_one_line() -> None:
    with pytest.raises(ArgumentError) as caught:
        Inner().changed(share="a", names=3)
    assert str(caught.value) == 'share: expected a number, got "a"; names: expected a list, got 3; write [3]'
