"""Fields: the texts that the ``{names}`` of a pattern stand for in each path that it finds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from segscale.errors import ListingError
from segscale.storage.enumeration import counted, first_of
from segscale.storage.patterns import ANY_DEPTH, Pattern, Token, compiled, composed, split_ending, tokens

ID = "id"


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a pattern, read from paths below its root."""

    pattern: str
    names: tuple[str, ...]
    """In the order in which they stand in it, each once."""
    _greedy: re.Pattern[str]
    _lazy: re.Pattern[str] | None
    """None where nothing can be read in two ways."""

    @staticmethod
    def of(path: str) -> Fields | None:
        """Those of a pattern; None where it has none.

        Raises ListingError for two things of any length side by side, as nobody can tell where one ends.
        """
        pattern = Pattern.of(path)
        if not any(token.field for segment in pattern.segments for token in _tokens(segment)):
            return None
        for segment in pattern.segments:
            _refuse_joined(segment)
        greedy, names, n_open = _expression(pattern.segments, lazy=False)
        lazy = compiled(path, _expression(pattern.segments, lazy=True)[0]) if n_open > 1 else None
        return Fields(path, names, compiled(path, greedy), lazy)

    def read(self, paths: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
        """A row of texts for each path, None where a field would stand for two texts; and these paths.

        Raises ListingError for a path that can be read in two ways.
        """
        rows: list[Sequence[str | None]] = []
        differing: list[str] = []
        nothing = (None,) * len(self.names)
        for path in paths:
            # As it is on the disk, where that is what the pattern says; the pattern is in composed form.
            found = self._greedy.fullmatch(path) or self._greedy.fullmatch(composed(path))
            if found is None:
                differing.append(path)
                rows.append(nothing)
                continue
            if self._lazy is not None:
                self._refuse_ambiguous(path, found, self._lazy.fullmatch(found.string))
            rows.append(found.group(*self.names) if len(self.names) > 1 else (found.group(self.names[0]),))
        return pd.DataFrame(rows, columns=list(self.names), dtype="str"), differing

    def _refuse_ambiguous(self, path: str, found: re.Match[str], other: re.Match[str] | None) -> None:
        if other is None or found.groups() == other.groups():
            return
        one, two = (" and ".join(f"{{{name}}} = {match[name]!r}" for name in self.names) for match in (other, found))
        both = f"{one}, or {two}" if one != two else f"{one}, and what stands beside it in two ways"
        raise ListingError(
            f"{self.pattern}: {path} can be read in two ways: {both}; write more of the name as letters, or name the "
            "files in a manifest"
        )


def differing_note(fields: Fields, paths: Sequence[str]) -> str:
    """What is said of paths in which a field would stand for two texts."""
    twice = ", ".join(f"{{{name}}}" for name in fields.names)
    return (
        f"{counted(len(paths), 'name')} left out, in which {twice} would stand for different texts at its places: "
        f"{first_of(list(paths))}"
    )


def _tokens(segment: str) -> list[Token]:
    return [] if segment == ANY_DEPTH else tokens(segment)


def _refuse_joined(segment: str) -> None:
    for one, other in pairwise(_tokens(segment)):
        if one.is_open and other.is_open and (one.field or other.field):
            first, second = (f"{{{token.field}}}" if token.field else "*" for token in (one, other))
            raise ListingError(
                f"{segment}: expected letters between {first} and {second}, as nobody can tell where one ends and the "
                "other begins"
            )


def _expression(segments: Sequence[str], *, lazy: bool) -> tuple[str, tuple[str, ...], int]:
    """Of paths below the root; the names of the fields; and how many parts stand for texts of any length."""
    names: list[str] = []
    n_open, parts = 0, []
    for place, segment in enumerate(segments):
        is_last = place == len(segments) - 1
        if segment == ANY_DEPTH:
            n_open += 1
            parts.append(f"((?:[^/]+/)*{'?' * lazy}){'[^/]+' * is_last}")
            continue
        head, ending = split_ending(segment, is_last)
        # What a segment without fields is read as says nothing of the others.
        matters = any(token.field for token in head)
        n_open += sum(token.is_open for token in head) * matters
        parts.append("".join(_of(token, names, lazy, matters) for token in head) + ending + "/" * (not is_last))
    return "".join(parts), tuple(names), n_open


def _of(token: Token, names: list[str], lazy: bool, matters: bool) -> str:
    if token.field in names:
        return f"(?P={token.field})"
    if token.field:
        names.append(token.field)
        return f"(?P<{token.field}>[^/]+{'?' * lazy})"
    if token.is_open:
        return f"([^/]*{'?' * lazy})" if matters else "[^/]*"
    return f"(?!/){token.expression}" if token.expression else re.escape(token.text)
