"""The text of a configuration: TOML as tables, and in words what is no TOML."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from segscale.errors import ConfigError

BACKSLASH = 'a backslash in "..." begins a special letter; write {slashes}, or in single quotes {quoted}'
_QUOTE = '"'
_PRINTED = "‘’‚‛“”„‟«»‹›`"  # noqa: RUF001
"""Quotes that are none in TOML."""
_PLACE = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")
_QUOTED = re.compile(r'"([^"\n]*\\[^"\n]*)"')
_BARE = re.compile(r"=\s*([^\s\"'\[{#][^#]*?)\s*(?:#.*)?$")


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a file, or ConfigError in a line: the file, which of its lines, and what to write."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected a configuration file, found none; segscale init writes one") from None
    except OSError as error:
        raise ConfigError(f"{path}: expected a TOML file: {error.strerror or error}") from None
    try:
        # Some editors begin a file with a mark.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected a TOML file in UTF-8, got another encoding; save it as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: expected a TOML file: {_in_words(str(error), text)}") from None


def special_letters(value: str) -> str:
    """What is said of a path in which a backslash became a tab or the like; "" for any other.

    >>> special_letters("C:\\temp")
    'a backslash in "..." begins a special letter; write "C:/temp", or in single quotes \\'C:\\\\temp\\''
    """
    meant = value
    for letter, name in zip("\b\t\n\f\r\x1b", "btnfre", strict=True):
        meant = meant.replace(letter, f"\\{name}")
    return "" if meant == value else _backslash(meant)


def _backslash(meant: str) -> str:
    slashes = re.sub(r"\\+", "/", meant)
    return BACKSLASH.format(slashes=f'"{slashes}"', quoted=f"'{meant}'")


def _in_words(message: str, text: str) -> str:
    """What Python's reader says, with the line that it means, and what was probably meant to be written."""
    place = _PLACE.search(message)
    what = _PLACE.sub("", message)
    if place is None or place[1] is None:
        return "at its end: something is not closed: a list, a table or a text"
    lines = text.splitlines()
    number = min(int(place[1]), len(lines))
    # An error of a text that goes on is noticed a line too late.
    if number > 1 and not lines[number - 1].strip():
        number -= 1
    line = lines[number - 1].strip()
    return f"line {number}: {line[:100]}: {_straight(line) or _advice(what, line) or _said(what)}"


def _straight(line: str) -> str:
    """What is said of a line with the quotes of printed text, which a word processor puts there; "" for any other."""
    straight = line.translate(str.maketrans(_PRINTED, _QUOTE * len(_PRINTED)))
    if straight == line:
        return ""
    try:
        tomllib.loads(straight)
    except tomllib.TOMLDecodeError:
        begins = re.search(rf"=\s*[\[{{]?\s*[{_PRINTED}]", line)
        return f"these quotes are those of printed text; write {_QUOTE} around texts" if begins else ""
    return f"these quotes are those of printed text; write {straight}"


def _advice(what: str, line: str) -> str:
    if (escape := "Unescaped" in what or "Invalid hex" in what or "escaped" in what) and (
        quoted := _QUOTED.search(line)
    ):
        return _backslash(quoted[1])
    if escape:
        return 'a backslash in "..." begins a special letter; put the text in single quotes'
    if what == "Invalid value" and (bare := _BARE.search(line)):
        value = bare[1]
        if value.lower() in ("true", "false"):
            return f"write {value.lower()}, in small letters"
        return f'text stands in quotes; write "{value}"' if value.lower() != "none" else "leave the key out instead"
    if what == "Invalid value":
        return "a value is expected behind the ="
    return ""


def _said(what: str) -> str:
    """The reader's own words, without what is of Python's."""
    twice = re.match(r"Cannot declare \((.*?),?\) twice", what)
    if twice:
        return (
            f"the section [{'.'.join(re.findall(chr(39) + '(.*?)' + chr(39), twice[1]))}] stands there twice; join them"
        )
    if what.startswith("Cannot overwrite a value"):
        return "this key stands there twice; leave one of them out"
    if what.startswith("Expected newline or end of document"):
        return "something follows the value; text stands in quotes, and remarks begin with #"
    if what.startswith("Illegal character"):
        return 'a quoted text ends in its line; is a closing " missing?'
    if what.startswith("Unclosed array"):
        return "a list is not closed; is a ] missing?"
    if what.startswith(("Invalid statement", "Expected '='")):
        return "expected [section], or key = value, or a remark that begins with #"
    return what[0].lower() + what[1:]
