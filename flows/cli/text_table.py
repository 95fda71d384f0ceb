"""Tables for people: columns under each other, in blocks where they are wider than the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

GAP = 2
"""Blanks between columns."""
SHORTEST = 8
"""A name is never cut to less."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows of text below a header. The first `n_keys` columns are names, on the left; the others are numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_keys: int

    def without_empty_columns(self) -> TextTable:
        """The same without columns in which nothing stands."""
        kept = [place for place in range(len(self.header)) if any(row[place] for row in self.rows)]
        n_keys = sum(place < self.n_keys for place in kept)
        return TextTable(_taken(self.header, kept), tuple(_taken(row, kept) for row in self.rows), n_keys)

    def lines(self, width: int | None = None, emphasis: Callable[[str], str] = str) -> list[str]:
        """As lines of at most `width` places (None: any); columns that do not fit follow below, names repeated.

        `emphasis` makes of a line of the header what a terminal shows more strongly.
        """
        widths = [max(map(places, column)) for column in zip(self.header, *self.rows, strict=True)]
        if width is not None:
            self._narrow(widths, width)
        lines: list[str] = []
        for block in self._blocks(widths, width):
            shown = [self._line(row, block, widths) for row in (self.header, *self.rows)]
            lines += [*([""] if lines else []), emphasis(shown[0]), *shown[1:]]
        return lines

    def _narrow(self, widths: list[int], width: int) -> None:
        """Cut the names where no number would fit beside them."""
        widest = max(widths[self.n_keys :], default=0)
        room = width - widest - GAP * self.n_keys
        while sum(widths[: self.n_keys]) > room and max(widths[: self.n_keys]) > SHORTEST:
            longest = max(range(self.n_keys), key=widths.__getitem__)
            widths[longest] -= 1

    def _blocks(self, widths: Sequence[int], width: int | None) -> Iterable[list[int]]:
        keys = list(range(self.n_keys))
        block = list(keys)
        for place in range(self.n_keys, len(widths)):
            total = sum(widths[one] + GAP for one in [*block, place]) - GAP
            if width is not None and total > width and len(block) > len(keys):
                yield block
                block = list(keys)
            block.append(place)
        yield block

    def _line(self, row: Sequence[str], block: Iterable[int], widths: Sequence[int]) -> str:
        cells = []
        for place in block:
            cell = cut(row[place], widths[place])
            blanks = " " * (widths[place] - places(cell))
            cells.append(cell + blanks if place < self.n_keys else blanks + cell)
        return (" " * GAP).join(cells).rstrip()


def _taken(row: Sequence[str], kept: Iterable[int]) -> tuple[str, ...]:
    return tuple(row[place] for place in kept)


def places(text: str) -> int:
    """How many places of a line a text takes: letters of East Asia two, marks above another letter none.

    >>> places("lesion"), places("\\u75c5\\u5909"), places("e\\u0301")
    (6, 4, 1)
    """
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, width: int) -> str:
    """A text of at most so many places, with dots where something is left out of its middle.

    >>> cut("patient_0001_slice_17", 12)
    'patie..ce_17'
    """
    if places(text) <= width:
        return text
    tail = (width - 2) // 2
    head = width - 2 - tail
    while places(text[:head]) + 2 + places(text[len(text) - tail :]) > width:
        head, tail = head - 1, max(0, tail - 1)
    return f"{text[:head]}..{text[len(text) - tail :]}"
