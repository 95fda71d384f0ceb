"""Files that are no TOML: which line, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from segscale.errors import ConfigError
from segscale.flows.config.toml_text import read_toml, special_letters

WINDOWS = r"""write "C:/data/*.png", or in single quotes 'C:\data\*.png'"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param('[a]\nx = "C:\\data\\*.png"\n', WINDOWS, id="a path of Windows"),
        pytest.param('[a]\nx = "C:\\users\\x"\n', '"C:/users/x"', id="one that looks like a letter by its number"),
        pytest.param("x = ‘ref’\n", 'write x = "ref"', id="printed quotes"),  # noqa: RUF001
        pytest.param("x = any # the user’s\n", 'text stands in quotes; write "any"', id="in a remark"),  # noqa: RUF001
        pytest.param("x = [“a”, „b“]\n", 'write x = ["a", "b"]', id="printed quotes in a list"),
        pytest.param('x = "a”\n', 'write x = "a"', id="a printed quote at the end"),
        pytest.param("x = “a\n", 'those of printed text; write " around texts', id="one printed quote"),
        pytest.param("[a]\nx = any\n", 'line 2: x = any: text stands in quotes; write "any"', id="text without quotes"),
        pytest.param("[a]\nx = True # so\n", "write true, in small letters", id="true of Python"),
        pytest.param("[a]\nx = None\n", "leave the key out", id="None"),
        pytest.param("[a]\nx =\n", "line 2: x =: a value is expected behind the =", id="no value"),
        pytest.param("[a]\nx = 1\nx = 2\n", "line 3: x = 2: this key stands there twice", id="a key twice"),
        pytest.param("[a]\n[b]\n[a]\n", "the section [a] stands there twice", id="a section twice"),
        pytest.param("[a.b]\n[a.b]\n", "the section [a.b] stands there twice", id="a section in a section twice"),
        pytest.param("[a]\nx = 2 3\n", "something follows the value", id="two values"),
        pytest.param('[a]\nx = "b\ny = 1\n', 'line 2: x = "b: a quoted text ends in its line', id="an open quote"),
        pytest.param("[a]\nx = [1,\n", "at its end: something is not closed", id="an open list"),
        pytest.param("a: 1\n", "expected [section], or key = value", id="YAML"),
        pytest.param("{}", "expected [section], or key = value", id="JSON"),
    ],
)
def test_what_is_no_toml_is_said_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_toml(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: expected a TOML file: ")
    assert words in message
    assert "\n" not in message
    assert "('" not in message


def test_a_mark_at_the_beginning_is_none_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf[a]\r\nx = 'C:\\data'\r\n")
    assert read_toml(tmp_path / "c.toml") == {"a": {"x": "C:\\data"}}


def test_another_encoding_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes("[a]\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        read_toml(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("value", "is_special"),
    [("work/a b", False), ("C:\\data", False), ("C:\temp", True), ("D:\new\run", True), ("x\ry", True)],
)
def test_letters_that_were_backslashes_are_noticed(value: str, is_special: bool) -> None:
    assert bool(special_letters(value)) == is_special
