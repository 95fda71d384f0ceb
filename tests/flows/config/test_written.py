"""Configurations written as files: what is read back is what was meant."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.config.written import PATHS, Key, file_text, seen_from, toml_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda values: st.one_of(st.lists(values, max_size=3), st.dictionaries(TEXT, values, max_size=3)),
    max_leaves=5,
)


@given(value=VALUES, why=TEXT.map(lambda text: " ".join(text.split())).filter(str.isprintable))
def test_what_is_written_is_read_back(value: Any, why: str) -> None:
    text = file_text(["heading"], [Key("metrics", "key", value, why), Key("metrics", "other", 1, why, is_open=True)])
    assert tomllib.loads(text) == {"metrics": {"key": value}}


def test_keys_of_a_section_stand_together_and_long_reasons_above() -> None:
    keys = [Key("b", "x", 1, "why"), Key("a", "y", "z"), Key("b", "w", 2, "a reason " * 30)]
    lines = file_text((), keys).splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[b]", "[a]"]
    assert lines[1] == "x = 1                              # why"
    assert lines[2].startswith("# a reason")
    assert max(map(len, lines)) <= 118


def test_what_toml_has_no_word_for_is_refused() -> None:
    with pytest.raises(ConfigError, match="got None"):
        toml_value(None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/set/masks/*.png", "../masks/*.png", id="moves with the file"),
        pytest.param("/settled/masks", "/settled/masks", id="a name that only begins alike"),
        pytest.param("/elsewhere/masks", "/elsewhere/masks", id="does not move with it"),
        pytest.param("s3://bucket/masks", "s3://bucket/masks", id="a URL"),
        pytest.param("", "", id="not given"),
    ],
)
def test_paths_are_relative_where_they_move_with_the_file(path: str, expected: str) -> None:
    assert seen_from(path, "/set/run", "/set") == expected


def test_a_file_that_does_not_move_with_its_data_has_whole_paths() -> None:
    assert seen_from("/set/masks", "/elsewhere/run", "/set") == "/set/masks"


def test_paths_are_keys_of_a_configuration() -> None:
    known = {f"{section}.{key}" for section, field in EvaluationConfig.model_fields.items()
             for key in field.annotation.model_fields}  # type: ignore[union-attr]  # fmt: skip
    assert PATHS - known <= {"dataset.columns"}
