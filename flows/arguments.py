"""Arguments: what a notebook hands to the package, checked, and what is wrong with it in their names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from segscale.errors import ConfigError
from segscale.flows.config.spoken import Words

ARGUMENTS = {
    "dataset.references": "references",
    "dataset.columns": "by",
    "dataset.classes": "classes",
    "predictions.path": "predictions",
    "metrics.unit": "unit",
    "metrics.group_by": "group_by",
    "store.path": "output",
    "report.path": "output",
}
"""By key; all others are given in settings."""


def _in_settings(key: str, value: str) -> str:
    section, name = key.split(".")
    return f'settings={{"{section}": {{"{name}": {value}}}}}'


EVALUATE = Words(ARGUMENTS, _in_settings)


def path_text(argument: str, value: object, *, optional: bool = False) -> str:
    """A path, pattern or URL as text. Raises ConfigError for what is none, and for an empty one that is needed."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if isinstance(text, str) and (text or optional):
        return text
    raise ConfigError(f"{argument}: expected a path as text or as pathlib.Path, got {_said(value)}")


def names(argument: str, value: object, *, one_will_do: bool = False) -> tuple[str, ...]:
    """Names in a list or a tuple; where `one_will_do`, a text is a single one. Raises ConfigError."""
    if isinstance(value, str):
        if one_will_do:
            return (value,) if value else ()
        listed = ", ".join(f'"{name.strip()}"' for name in value.split(","))
        raise ConfigError(f'{argument}: expected a list of names, got the text "{value}"; write [{listed}]')
    given = list(value) if isinstance(value, Sequence) else None
    if given is None or not all(isinstance(name, str) for name in given):
        raise ConfigError(f"{argument}: expected a list of names, got {_said(value)}")
    return tuple(given)


def text(argument: str, value: object) -> str:
    """Text as it is. Raises ConfigError for anything else."""
    if not isinstance(value, str):
        raise ConfigError(f"{argument}: expected a name as text, got {_said(value)}")
    return value


def sections(value: object) -> dict[str, dict[str, Any]]:
    """Further keys by section. Raises ConfigError for what is no mapping of mappings, and says how it is written."""
    example = '{"metrics": {"threshold": 0.4}}'
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"settings: expected keys by section, such as {example}, got {_said(value)}")
    for name, keys in value.items():
        if isinstance(name, str) and isinstance(keys, Mapping) and all(isinstance(key, str) for key in keys):
            continue
        section, dot, key = str(name).partition(".")
        meant = f'; write {{"{section}": {{"{key}": {keys!r}}}}}' if dot and not isinstance(keys, Mapping) else ""
        raise ConfigError(f"settings: expected keys by section, such as {example}, got {name!r}: {_said(keys)}{meant}")
    return {str(name): dict(keys) for name, keys in value.items()}


def _said(value: object) -> str:
    """A short value as it is, else what it is."""
    shown = repr(value)
    return shown if len(shown) <= 40 and "\n" not in shown else f"a {type(value).__name__}"
