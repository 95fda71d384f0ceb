"""Patterns: which names below a folder a path with ``*``, ``?``, ``[ab]`` or ``**`` stands for."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from segscale.errors import ListingError

ANY_DEPTH = "**"
_SET = re.compile(r"\[(!?\]?[^\]]*)\]")
# A set of one of these is how such a letter is written; a set of one other letter is what a folder is called.
_ESCAPED = frozenset(["[[]", "[*]", "[?]"])


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path, cut where it begins to be a pattern."""

    root: str
    """As it is written on the disk: the path itself where it is no pattern."""
    segments: tuple[str, ...]
    """Of the pattern below the root; empty for all that lies there, at any depth."""

    @staticmethod
    def of(path: str) -> Pattern:
        """A set of a single letter is part of a name: ``preds[1]/*.png`` stands for the folder ``preds[1]`` alone."""
        parts = path.split("/")
        start = next((place for place, part in enumerate(parts) if is_pattern(part)), len(parts))
        return Pattern("/".join(map(unescaped, parts[:start])), tuple(parts[start:]))

    @property
    def depth(self) -> int | None:
        """How many folders deep its names lie; None for any depth."""
        return None if not self.segments or ANY_DEPTH in self.segments else len(self.segments)

    def __str__(self) -> str:
        return "/".join((self.root, *self.segments))


def is_pattern(segment: str) -> bool:
    """Whether a part of a path stands for more than the one name that it spells."""
    return any(expression for expression, _ in _tokens(segment))


def unescaped(segment: str) -> str:
    """The name that a segment without wildcards spells: ``[*]`` is a star."""
    return "".join(letters for _, letters in _tokens(segment))


@cache
def matcher(segment: str, is_last: bool = True) -> re.Pattern[str]:
    """What a segment stands for, of names in composed form (NFC); of the last one the ending in either case.

    >>> [bool(matcher("*_a.png").fullmatch(name)) for name in ("x_a.PNG", "x_A.png")]
    [True, False]

    Raises ListingError for a set that is none, and for ``**`` beside other letters.
    """
    if ANY_DEPTH in segment:
        raise ListingError(f"expected ** between slashes, for folders at any depth, got {segment!r}")
    tokens = _tokens(composed(segment))
    fixed = next((place for place, token in enumerate(reversed(tokens)) if token[0]), len(tokens))
    fixed *= is_last
    tail = "".join(text for _, text in tokens[len(tokens) - fixed :])
    head = "".join(expression or re.escape(text) for expression, text in tokens[: len(tokens) - fixed])
    stem, dot, ending = tail.partition(".")
    try:
        return re.compile(f"{head}{re.escape(stem)}(?i:{re.escape(dot + ending)})", re.DOTALL)
    except re.error as error:
        raise ListingError(f"{segment}: expected a pattern of *, ?, ** and sets such as [ab]: {error}") from None


def _tokens(segment: str) -> list[tuple[str, str]]:
    """(regular expression, "") of each wildcard, ("", letters) of what lies between."""
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(segment):
        found = _SET.match(segment, place)
        text = found.group(0) if found else segment[place]
        if text in _ESCAPED:
            tokens.append(("", text[1]))
        elif found and len(found.group(1)) > 1:
            inside = found.group(1)
            negated = inside.startswith("!")
            letters = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside[negated:])
            tokens.append((f"[{'^' if negated else ''}{letters}]", ""))
        elif text in ("*", "?"):
            tokens.append((".*" if text == "*" else ".", ""))
        else:
            tokens.append(("", text))
        place += len(text)
    return tokens


def composed(name: str) -> str:
    """A name in composed form (NFC): macOS writes é as e with an accent behind it, others as one letter."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
