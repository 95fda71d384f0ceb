"""A configuration as a file that people read: its keys, each with what was meant by it."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from segscale.errors import ConfigError
from segscale.storage.patterns import names_folders

PATHS = frozenset(
    {
        "dataset.images", "dataset.references", "dataset.manifest", "dataset.columns", "dataset.roots",
        "predictions.path", "model.path", "store.path", "report.path", "train.output", "train.initial_weights",
        "cluster.tls_ca", "cluster.tls_cert", "cluster.tls_key", "cluster.job_folder", "cluster.spec",
    }
)  # fmt: skip
"""Keys whose values lead somewhere, and are meant relative to the file where they are relative."""
_INDENT = 34
_LINE = 118
_STAMP = "\n# Written by Segscale, which replaces this file while nobody edited it: sha256 "


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a configuration, its value, and why it has this one."""

    section: str
    name: str
    value: Any
    """Text, numbers, true and false, and lists and tables of these."""
    why: str = ""
    """A line of any length; "" for what needs no reason."""
    is_open: bool = False
    """Somebody has yet to decide: it stands there as a comment."""


def file_text(heading: Sequence[str], keys: Iterable[Key]) -> str:
    """TOML with the keys of each section together, in the order in which the first of them came."""
    listed = list(keys)
    order = {section: place for place, section in reversed(list(enumerate(key.section for key in listed)))}
    listed.sort(key=lambda key: order[key.section])
    parts = ["\n".join(f"# {line}".rstrip() for line in heading)] if heading else []
    for section, members in groupby(listed, lambda key: key.section):
        lines = [line for key in members for line in _lines(key)]
        parts.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(parts) + "\n"


def stamped(text: str) -> str:
    """A file's text with a last line by which `is_untouched` tells whether somebody edited it since."""
    return f"{text}{_STAMP}{hashlib.sha256(text.encode()).hexdigest()}\n"


def is_untouched(data: bytes) -> bool:
    """Whether a file is, byte by byte, what `stamped` made.

    >>> is_untouched(stamped("a = 1").encode()), is_untouched(stamped("a = 1").encode() + b"b = 2"), is_untouched(b"")
    (True, False, False)
    """
    text, stamp, said = data.rpartition(_STAMP.encode())
    return bool(stamp) and said == f"{hashlib.sha256(text).hexdigest()}\n".encode()


def _lines(key: Key) -> list[str]:
    said = f"{'# ' if key.is_open else ''}{key.name} = {toml_value(key.value)}"
    if not key.why:
        return [said]
    beside = f"{said:<{_INDENT}} # {key.why}"
    if len(beside) <= _LINE:
        return [beside]
    return [*(f"# {line}" for line in _wrapped(key.why, _LINE - 2)), said]


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def toml_value(value: Any) -> str:
    """A value as TOML has it. Raises ConfigError for what TOML cannot hold.

    >>> toml_value(["a", 1, True, {"GPU": 0.5}])
    '["a", 1, true, {"GPU" = 0.5}]'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, str):
        # Of JSON's escapes TOML has all; what JSON leaves as it is and TOML does not is the sign of deletion.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{toml_value(str(name))} = {toml_value(held)}' for name, held in value.items())}}}"
    raise ConfigError(f"expected text, numbers, true or false, or lists of these, got {value!r}")


def seen_from(path: str, file_folder: str, moves_with: str) -> str:
    """An absolute path or pattern as a file in `file_folder` writes it: relative where both lie below `moves_with`.

    Whoever moves that folder moves all of it. URLs stay as they are.

    >>> seen_from("/set/masks/*.png", "/set/report/run", "/set"), seen_from("/far/masks", "/set/report", "/set")
    ('../../masks/*.png', '/far/masks')
    """
    if any("://" in place for place in (path, file_folder, moves_with)) or not Path(path).is_absolute():
        return path
    below = os.path.normpath(moves_with)
    if any(os.path.commonpath([place, moves_with]) != below for place in (path, file_folder)):
        return path
    return os.path.relpath(path, file_folder) + "/" * names_folders(path)
