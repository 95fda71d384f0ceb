"""Enumerations in messages: how many things there are, and the first of their names."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 3


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def have(number: int) -> str:
    """The verb behind a number of things."""
    return "has" if number == 1 else "have"


def printable(text: str) -> str:
    r"""A text of somebody's file for a terminal, on which control characters do things.

    >>> printable("a b"), printable("a\x1b[2J")
    ('a b', 'a\\x1b[2J')
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def first_of(names: Sequence[str], total: int = 0) -> str:
    """The first names of many, and how many more there are; `total` where not all of them are given.

    >>> first_of(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    more = (total or len(names)) - len(names[:SHOWN])
    return ", ".join(map(printable, names[:SHOWN])) + (f" and {more} more" if more > 0 else "")
