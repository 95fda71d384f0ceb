"""What a record of settings refused, in the words of the file that it came from: a line for each thing."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

SHOWN_LETTERS = 80
_OWN_KEY = re.compile(r"[a-z_0-9]+(\.[a-z_0-9]+)?(, [a-z_0-9]+(\.[a-z_0-9]+)?)*: ")
"""What a section says of its keys begins with them."""


def as_toml(value: object) -> str:
    """A value as TOML writes it; a long one is cut.

    >>> as_toml("site"), as_toml(True), as_toml((0, 255)), as_toml({"GPU": 1})
    ('"site"', 'true', '[0, 255]', '{GPU = 1}')
    """
    text = _toml(value)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}..."


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_toml(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return "nothing" if value is None else str(value)


def refusals(error: ValidationError, record: type[BaseModel]) -> list[str]:
    """Each thing that was refused: which key, what was expected, what was given, and what to write instead."""
    return [line for one in error.errors(include_url=False) for line in _lines(one, record)]


def _lines(error: ErrorDetails, record: type[BaseModel]) -> list[str]:
    kind, place = error["type"], error["loc"]
    key = ".".join(part for part in place if isinstance(part, str))
    if place and isinstance(place[-1], int) and kind != "missing":
        key += f", value {place[-1] + 1}"
    if kind == "extra_forbidden":
        return [f"{key}: {_unknown(place, error['input'], record)}"]
    if kind == "value_error":
        said = str(error["ctx"]["error"]).splitlines()
        return [f"{key}{'.' if _OWN_KEY.match(line) else ': '}{line}" if key else line for line in said]
    if kind == "missing":
        return [f"{key}: {_missing(place)}"]
    expected = _EXPECTED.get(kind)
    words = expected(error.get("ctx", {})) if expected else f"{error['msg'][0].lower()}{error['msg'][1:]}"
    return [f"{key}: {words}, got {as_toml(error['input'])}{_remedy(kind, error)}"]


def _missing(place: tuple[int | str, ...]) -> str:
    *sections, name = place
    if isinstance(name, int):
        return f"expected a list of {name + 1} values at least, got a shorter one"
    where = f"a section [{name}]" if not sections else f"{name} = ... below [{'.'.join(map(str, sections))}]"
    return f"required, and not given; write {where}"


def _unknown(place: tuple[int | str, ...], value: object, record: type[BaseModel]) -> str:
    """What is said of a key that there is not: where it was meant to stand, or what it was meant to be called."""
    *sections, last = place
    name, section = str(last), record
    for part in sections:
        section = section_of(section, str(part)) or section
    known = list(section.model_fields)
    if not sections and isinstance(value, Mapping):
        return f"unknown section; {_meant(name, known, '[{}]') or there_are(f'[{one}]' for one in known)}"
    meant = _meant(name, known, "{}")
    homes = [one for one in record.model_fields if name in getattr(section_of(record, one), "model_fields", {})]
    if homes and not (meant and sections):
        return f"unknown key; {name} stands below {' or '.join(f'[{home}]' for home in homes)}"
    if not sections:
        return "unknown key; every key stands below a section, such as [dataset]"
    return f"unknown key; {meant or there_are(known)}"


def section_of(record: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The record that a field of a record holds; None for a plain value."""
    field = record.model_fields.get(name)
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _meant(name: str, known: Iterable[str], form: str) -> str:
    nearest = get_close_matches(name.lower(), list(known), n=1)
    return f"did you mean {form.format(nearest[0])}?" if nearest else ""


def there_are(names: Iterable[object]) -> str:
    """A clause that names what can be chosen from.

    >>> there_are(["site", "age"]), there_are(["site"]), there_are([])
    ('there are site, age', 'there is site', 'there are none')
    """
    listed = [str(name) for name in names]
    return f"there {'is' if len(listed) == 1 else 'are'} {', '.join(listed) or 'none'}"


def _choices(context: Mapping[str, Any]) -> str:
    # Written by pydantic as Python writes them.
    choices = re.sub(r"'([^']*)'", r'"\1"', str(context["expected"]))
    return f"expected {choices}"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_EXPECTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "literal_error": _choices,
    "string_type": lambda _: "expected text in quotes",
    "bool_type": lambda _: "expected true or false",
    "int_type": lambda _: "expected a whole number",
    "int_from_float": lambda _: "expected a whole number",
    "int_parsing_size": lambda _: "expected a smaller whole number",
    "float_type": lambda _: "expected a number",
    "finite_number": lambda _: "expected a finite number",
    "tuple_type": lambda _: "expected a list",
    "list_type": lambda _: "expected a list",
    "dict_type": lambda _: "expected a table such as { GPU = 1 }",
    "model_type": lambda _: "expected a section with keys",
    "model_attributes_type": lambda _: "expected a section with keys",
    "greater_than": lambda context: f"expected a number greater than {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"expected a number greater than or equal to {_number(context['ge'])}",
    "less_than": lambda context: f"expected a number less than {_number(context['lt'])}",
    "less_than_equal": lambda context: f"expected a number less than or equal to {_number(context['le'])}",
    "multiple_of": lambda context: f"expected a multiple of {_number(context['multiple_of'])}",
    "string_too_short": lambda _: "expected a text that is not empty",
    "string_too_long": lambda context: f"expected at most {context['max_length']} letters",
    "too_short": lambda context: f"expected a list of {context['min_length']} values at least",
    "too_long": lambda context: f"expected a list of {context['max_length']} values at most",
}
"""What each kind of refusal expected, by what pydantic calls it."""


def _listed(value: str | int | float) -> list[str | int | float]:
    """What was probably meant by a value where a list is expected: names or numbers between commas, each its own.

    >>> _listed("a, b"), _listed("1,8"), _listed("reference_volume:0,100"), _listed(8)
    (['a', 'b'], [1, 8], ['reference_volume:0,100'], [8])
    """
    # In bins of sizes commas stand between their edges.
    if not isinstance(value, str) or "," not in value or ":" in value:
        return [value]
    parts = [part.strip() for part in value.strip("[]() ").split(",") if part.strip()]
    return [int(part) for part in parts] if all(re.fullmatch(r"-?\d+", part) for part in parts) else [*parts]


def _remedy(kind: str, error: ErrorDetails) -> str:
    value = error["input"]
    if kind in ("tuple_type", "list_type") and isinstance(value, str | int | float):
        return f"; write {_toml(_listed(value))}"
    if kind == "string_type" and not isinstance(value, list | dict):
        return f"; write {as_toml(_toml(value))}"
    if kind == "bool_type" and str(value).lower() in ("true", "false", "1", "0"):
        return f"; write {'true' if str(value).lower() in ('true', '1') else 'false'}, without quotes"
    if kind in ("int_type", "float_type") and isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return f"; write {value}, without quotes"
    if kind in ("model_type", "model_attributes_type"):
        name = error["loc"][-1]
        return f"; write [{name}] and its keys below it"
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']+)'", str(error["ctx"]["expected"]))
        return f"; {meant}" if (meant := _meant(value, choices, '"{}"')) else ""
    return ""
