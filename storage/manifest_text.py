"""Text of manifests: its encoding, its separator, and its rows, none of which may be lost in another."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import pandas as pd

from segscale.errors import ListingError
from segscale.storage.enumeration import counted, first_of
from segscale.storage.listing import Note

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# In this order: the mark of UTF-16 begins that of UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_EXCEL_HINT = re.compile(r"sep=.(\r\n|\r|\n)?")
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class TextTable:
    """The cells of a text, as they are written; an empty one is NaN."""

    table: pd.DataFrame
    notes: tuple[Note, ...] = ()

    @staticmethod
    def of(url: str, data: bytes, wanted: Sequence[str], what: str = "manifest") -> TextTable:
        """`wanted` are columns by which the separator is known, `what` is what messages call the text.

        Raises ListingError, which names the line.
        """
        text = _decoded(url, data)
        # A hint of Excel for itself, in a line of its own.
        hint = _EXCEL_HINT.match(text)
        start = hint.end() if hint else 0
        separator = _separator(url, text[start:], wanted, what)
        plain = _plain(text[start:], separator)
        if plain is not None:
            header = plain.iloc[0].fillna("").tolist()
            names = _names(url, header)
            table = _named(names, [column.iloc[1:].array for _, column in plain.items()])
            return TextTable(table, tuple(_stripped(header, what)))
        rows = _rows(url, text[start:], 1 if hint else 0, separator)
        header = next(rows).cells
        names = _names(url, header)
        found = _Sorted.of(rows, len(names))
        _refuse_other_separator(url, found.single, len(names), separator)
        return _table(url, names, found, what, _stripped(header, what))


class _Row(NamedTuple):
    line: int
    """In which it begins, from 1."""
    cells: list[str]


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Rows by what is to be done with them."""

    cells: list[list[str]] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    """Lines of rows in which nothing is written."""
    short: list[int] = field(default_factory=list)
    single: list[_Row] = field(default_factory=list)
    """Short ones of one cell."""
    long: list[_Row] = field(default_factory=list)
    """Rows of more cells than there are columns."""

    @staticmethod
    def of(rows: Iterator[_Row], n_columns: int) -> _Sorted:
        found = _Sorted()
        for row in rows:
            if not "".join(row.cells).strip():
                found.empty.append(row.line)
                continue
            if len(row.cells) < n_columns:
                found.short.append(row.line)
                if len(row.cells) == 1:
                    found.single.append(row)
            elif len(row.cells) > n_columns:
                found.long.append(row)
            found.cells.append(row.cells)
        return found


def _decoded(url: str, data: bytes) -> str:
    mark = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if mark == "UTF-32":
        raise ListingError(f"{url}: expected text encoded in UTF-8, got UTF-32 by its mark: save it as CSV UTF-8")
    if not mark and b"\0" in data[:1000]:
        raise ListingError(f"{url}: expected text encoded in UTF-8, got null bytes (UTF-16?): save it as CSV UTF-8")
    try:
        return data.decode(mark or "utf-8-sig")
    except UnicodeDecodeError as error:
        if mark:
            raise ListingError(
                f"{url}: expected text encoded in UTF-16, as its mark says, got {error.reason} at byte {error.start}: "
                "save it as CSV UTF-8"
            ) from None
        row = data.count(b"\n", 0, error.start) + 1
        raise ListingError(
            f"{url}: expected text encoded in UTF-8, line {row} has the byte 0x{data[error.start]:02x}, as Latin-1 or "
            "Windows-1252 do; save it as CSV UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8"
        ) from None


def _separator(url: str, text: str, wanted: Sequence[str], what: str) -> str:
    """The one that finds most of the columns that are wanted in the header.

    Of none the one that finds most columns, for a message to show them. Raises ListingError where two find as many.
    """
    header = next((line for line in io.StringIO(text, newline=None) if line.strip(" \t,;\n")), "").rstrip("\n")
    if not header:
        raise ListingError(f"{url}: expected a CSV or Parquet {what}, found nothing written in it")
    if header.startswith("#") and not set(wanted) & set(re.split(r"[,;\t]", header)):
        raise ListingError(
            f"{url}: expected the names of the columns in the first line, got one that begins with #, {header[:40]!r}: "
            "comments are not read, remove it"
        )
    columns = {one: [cell.strip() for cell in next(csv.reader([header], delimiter=one), [])] for one in SEPARATORS}
    found = {one: len(set(wanted) & set(cells)) for one, cells in columns.items()}
    best = max(SEPARATORS, key=lambda one: (found[one], len(columns[one])))
    equal = [one for one in SEPARATORS if found[one] == found[best] and one in header]
    if found[best] and len(equal) > 1:
        both = " and ".join(SEPARATORS[one] for one in equal)
        raise ListingError(
            f"{url}: expected names of columns with one separator between them, got {both} in {header[:60]!r}, either "
            "of which finds as many columns that are known; use one of them alone"
        )
    _refuse_odd_name(url, columns[best], best, wanted)
    return best


def _refuse_odd_name(url: str, names: Sequence[str], separator: str, wanted: Sequence[str]) -> None:
    """Raise for a name in which another separator stands beside a column that is known."""
    for name, other in product(names, SEPARATORS):
        parts = [part.strip() for part in name.split(other)]
        if len(parts) > 1 and set(parts) & set(wanted):
            raise ListingError(
                f"{url}: expected names of columns with one separator between them, got {SEPARATORS[separator]}, and "
                f"{SEPARATORS[other]} in {name!r}; use one of them alone"
            )


def _refuse_other_separator(url: str, rows: Sequence[_Row], n_columns: int, separator: str) -> None:
    """Raise for a row of one cell that another separator takes apart into as many as there are columns."""
    for row, other in product(rows, SEPARATORS):
        if len(next(csv.reader(row.cells, delimiter=other), [])) == n_columns > 1:
            raise ListingError(
                f"{url}: line {row.line}: expected {SEPARATORS[separator]} between the cells, as in the names of the "
                f"columns, got {SEPARATORS[other]} in {row.cells[0][:60]!r}; use one separator in all lines"
            )


def _plain(text: str, separator: str) -> pd.DataFrame | None:
    """The lines of a text without quotes that all have as many cells, the header first; None for any other text.

    Nothing can be lost in these, and of a million rows pandas takes a third of the time.
    """
    lines = text.splitlines()
    if '"' in text or "\0" in text or len({line.count(separator) for line in lines}) != 1:
        return None
    if not all(line.strip(f"{separator} \t") for line in lines):
        return None
    table = pd.read_csv(
        io.StringIO(text), sep=separator, header=None, dtype=str, keep_default_na=False, na_values=[""],
        quoting=csv.QUOTE_NONE,
    )  # fmt: skip
    return table if len(table) == len(lines) else None


def _names(url: str, header: Iterable[str]) -> list[str]:
    names = [name.strip() for name in header]
    repeated = [name for name in names if name and names.count(name) > 1]
    if repeated:
        raise ListingError(f"{url}: two columns are called {repeated[0]!r}; rename or remove one")
    return names


def _rows(url: str, text: str, passed: int, separator: str) -> Iterator[_Row]:
    """The header, which is the first row with something in it, and all rows behind it that are not blank lines.

    A row that goes over several lines is refused where a quote that nobody closed may have made it of several rows.
    """
    lines: list[str] = []
    reader = csv.reader(_kept(io.StringIO(text, newline=""), lines), delimiter=separator)
    has_quotes, n_columns, line = '"' in text, 0, 1 + passed
    try:
        for cells in reader:
            if not n_columns and any(cell.strip() for cell in cells):
                n_columns = len(cells)
            # Quotes are looked at only where they join lines: elsewhere they can swallow nothing.
            if has_quotes and (len(lines) > 1 or any(cell.endswith(("\r", "\n")) for cell in cells)):
                _refuse_swallowed(url, line, cells, n_columns, separator)
                _refuse_open(url, line, lines, separator)
            if n_columns and cells:
                yield _Row(line, cells)
            line += len(lines)
            lines.clear()
    except csv.Error as error:
        # The longest cell that the reader takes has 131072 characters.
        raise ListingError(
            f'{url}: line {line}: expected cells of a table, got {error}; a quote (") that is not closed?'
        ) from None


def _kept(lines: Iterable[str], kept: list[str]) -> Iterator[str]:
    for line in lines:
        kept.append(line)
        yield line


def _refuse_swallowed(url: str, line: int, cells: Sequence[str], n_columns: int, separator: str) -> None:
    for cell in cells:
        n_breaks = len(_LINE_END.findall(cell))
        # As many as between the place of a quote in one row and the same place in the next.
        if n_breaks and cell.count(separator) >= n_columns - 1:
            raise ListingError(_unclosed(url, line, f"and takes in {counted(n_breaks, 'line')} behind it"))
        line += n_breaks


def _refuse_open(url: str, line: int, lines: Sequence[str], separator: str) -> None:
    """Raise for a row whose quotes do not end where its cells do."""
    try:
        next(csv.reader(lines, delimiter=separator, strict=True), None)
    except csv.Error:
        raise ListingError(_unclosed(url, line, "and is not closed at the end of a cell")) from None


def _unclosed(url: str, line: int, what: str) -> str:
    return (
        f'{url}: line {line}: a quote (") opens a cell {what}: rows would be lost in it; close it, or where the quote '
        'itself is meant double it and put the cell in quotes ("5"" wide"); where line breaks are meant remove them'
    )


def _table(url: str, names: Sequence[str], rows: _Sorted, what: str, notes: Sequence[Note]) -> TextTable:
    n_columns = len(names)
    if rows.long:
        first = rows.long[0]
        ends = len(rows.long) == len(rows.cells) and not any(
            "".join(row.cells[n_columns:]).strip() for row in rows.long
        )
        remedy = (
            "every row ends with a separator, and the header does not: remove those, or add one to the header"
            if ends
            else "quote a cell that holds a separator, or give the column a name"
        )
        raise ListingError(
            f"{url}: line {first.line}: expected a cell for each of the {n_columns} columns, got {len(first.cells)}; "
            + remedy
        )
    filled = [[*cells, *[""] * (n_columns - len(cells))] for cells in rows.cells] if rows.short else rows.cells
    columns = list(zip(*filled, strict=True)) or [()] * n_columns
    arrays = [pd.array([cell or None for cell in column], dtype="str") for column in columns]
    return TextTable(_named(names, arrays), (*notes, *_notes(rows, what)))


def _named(names: Sequence[str], columns: Sequence[Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name or f"Unnamed: {place}": column
            for place, (name, column) in enumerate(zip(names, columns, strict=True))
            # A separator too many at the end of every line is no column.
            if name or not pd.isna(column).all()
        }
    )


def _stripped(header: Sequence[str], what: str) -> list[Note]:
    blanks = [repr(name) for name in header if name.strip() and name != name.strip()]
    text = f"{what}: blanks around {counted(len(blanks), 'name')} of columns left out: {first_of(blanks)}"
    return [Note(text, warns=False)] if blanks else []


def _notes(rows: _Sorted, what: str) -> Iterator[Note]:
    if rows.empty:
        lines = first_of([str(line) for line in rows.empty])
        yield Note(f"{what}: {counted(len(rows.empty), 'empty row')} left out: line {lines}", warns=False)
    if rows.short:
        lines = first_of([str(line) for line in rows.short])
        yield Note(
            f"{what}: {counted(len(rows.short), 'row')} of fewer cells than columns, the rest taken for empty: "
            f"line {lines}"
        )
