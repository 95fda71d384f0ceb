"""Patterns: which names below a folder a path with ``*``, ``?``, ``[ab]``, ``**`` or ``{field}`` stands for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from segscale.errors import ListingError

ANY_DEPTH = "**"
_SET = re.compile(r"\[(!?\]?[^\]]*)\]")
# A set of one of these is how such a letter is written; a set of one other letter is what a folder is called.
_ESCAPED = frozenset(["[[]", "[*]", "[?]", "[{]"])
_FIELD = re.compile(r"\{([^{}]*)\}")
_LETTERS_THAT_STAND_FOR_OTHERS = re.compile(r"[*?[{]")


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


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a segment: letters that stand for themselves, or what stands for others."""

    text: str
    """The letters; "" of what stands for others."""
    expression: str = ""
    """The regular expression of what stands for others."""
    field: str = ""
    """Its name, of a field."""

    @property
    def is_open(self) -> bool:
        """Whether it stands for texts of any length."""
        return bool(self.field) or self.expression == ANY


ANY = ".*"


def is_pattern(segment: str) -> bool:
    """Whether a part of a path stands for more than the one name that it spells."""
    return any(token.expression for token in tokens(segment))


def has_fields(segment: str) -> bool:
    """Whether a part of a path has a ``{field}`` in it."""
    return any(token.field for token in tokens(segment))


def names_folders(pattern: str) -> bool:
    """Whether a pattern names folders, each one thing made of the files in it, such as a DICOM series.

    >>> names_folders("ct/*/"), names_folders("ct/*"), names_folders("ct/")
    (True, False, False)
    """
    return pattern.endswith("/") and any(map(is_pattern, pattern.split("/")))


def unescaped(segment: str) -> str:
    """The name that a segment without wildcards spells: ``[*]`` is a star."""
    return "".join(token.text for token in tokens(segment))


def escaped(path: str) -> str:
    """The pattern that stands for one path, whatever letters are in it.

    >>> escaped("set [1]/{a}*")
    'set [[]1]/[{]a}[*]'
    """
    return _LETTERS_THAT_STAND_FOR_OTHERS.sub(r"[\g<0>]", path)


@cache
def matcher(segment: str, is_last: bool = True) -> re.Pattern[str]:
    """What a segment stands for, of names in composed form (NFC); of the last one the ending in either case.

    >>> [bool(matcher("*_a.png").fullmatch(name)) for name in ("x_a.PNG", "x_A.png")]
    [True, False]

    A field stands for one letter or more. Raises ListingError for a set that is none, for ``**`` beside other letters,
    and for a field without a name.
    """
    head, ending = split_ending(segment, is_last)
    expression = "".join(token.expression or re.escape(token.text) for token in head)
    return compiled(segment, expression + ending)


def split_ending(segment: str, is_last: bool) -> tuple[list[Token], str]:
    """The tokens of a segment (NFC) and, of the last one, the regular expression of its ending in either case."""
    if ANY_DEPTH in segment:
        raise ListingError(f"expected ** between slashes, for folders at any depth, got {segment!r}")
    found = tokens(composed(segment))
    fixed = next((place for place, token in enumerate(reversed(found)) if token.expression), len(found))
    fixed *= is_last
    head, tail = found[: len(found) - fixed], "".join(token.text for token in found[len(found) - fixed :])
    stem, dot, ending = tail.partition(".")
    return head, f"{re.escape(stem)}(?i:{re.escape(dot + ending)})"


def compiled(segment: str, expression: str) -> re.Pattern[str]:
    """Raises ListingError for a set that is none."""
    try:
        return re.compile(expression, re.DOTALL)
    except re.error as error:
        raise ListingError(f"{segment}: expected a pattern of *, ?, ** and sets such as [ab]: {error}") from None


def tokens(segment: str) -> list[Token]:
    """The parts of a segment. Raises ListingError for braces around what is no name of a field."""
    found: list[Token] = []
    place = 0
    while place < len(segment):
        letter = segment[place]
        matched = (_SET if letter == "[" else _FIELD).match(segment, place) if letter in "[{" else None
        text = matched.group(0) if matched else letter
        if text in _ESCAPED:
            found.append(Token(text[1]))
        elif matched and letter == "{":
            found.append(Token("", ".+", _field_name(segment, matched.group(1))))
        elif matched and len(matched.group(1)) > 1:
            inside = matched.group(1)
            negated = inside.startswith("!")
            letters = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside[negated:])
            found.append(Token("", f"[{'^' if negated else ''}{letters}]"))
        elif text in ("*", "?"):
            found.append(Token("", ANY if text == "*" else "."))
        else:
            found.append(Token(text))
        place += len(text)
    return found


def _field_name(segment: str, name: str) -> str:
    if not (name.isascii() and name.isidentifier()):
        raise ListingError(
            f"{segment}: expected the name of a field between braces, of letters, digits and _, such as {{id}}, got "
            f"{{{name}}}; a brace that is part of a name is written [{{]"
        )
    return name


def composed(name: str) -> str:
    """A name in composed form (NFC): macOS writes é as e with an accent behind it, others as one letter."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def all_composed(names: Sequence[str]) -> Sequence[str]:
    """Names in composed form."""
    # Of a million names nearly all are ASCII, and most often all.
    return names if all(map(str.isascii, names)) else [composed(name) for name in names]
