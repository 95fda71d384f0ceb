"""Given tables: CSV or Parquet files as people save them, and what was left out of them."""

from __future__ import annotations

import datetime
import io
import re
import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ListingError
from segscale.storage.enumeration import counted, first_of, printable
from segscale.storage.file_names import confusable
from segscale.storage.listing import Note
from segscale.storage.local_files import not_utf8
from segscale.storage.manifest_text import TextTable
from segscale.storage.sources import read_file

# Values of Parquet that pandas keeps as objects, and whose text says all of them.
_TEXTUAL = (str, bool, int, float, Decimal, datetime.date, datetime.time, datetime.timedelta, uuid.UUID)
# As pandas calls what has no name, above all its own numbering of the rows.
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
# The first bytes of a workbook, packed as today or as before 2007.
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def read_given(url: str, wanted: Sequence[str], what: str = "manifest") -> TextTable:
    """The rows of a table, without blanks around cells and names and without the numbering of rows by pandas.

    `wanted` are columns by which a separator is known, `what` is what messages call the table. Raises ListingError.
    """
    if wrong := not_utf8(url):
        raise ListingError(f"{url!a}: {wrong}")
    try:
        data = read_file(url)
    except FileNotFoundError:
        raise ListingError(f"{url}: expected a {what}, found none") from None
    except OSError as error:
        raise ListingError(f"{url}: expected a {what} that can be read: {error.strerror or error}") from None
    if data.startswith(_EXCEL):
        raise ListingError(f"{url}: expected a CSV or Parquet {what}, this is an Excel file: save it as CSV UTF-8")
    parsed = _parsed(url, data, wanted, what)
    table, blanks = _without_blanks(parsed.table)
    notes = list(parsed.notes)
    if blanks:
        notes.append(Note(f"{what}: blanks around {counted(len(blanks), 'cell')} left out: {first_of(blanks)}"))
    numbering = [name for name in table.columns if _UNNAMED.fullmatch(name) and _numbers_rows(table[name])]
    if numbering:
        table = table.drop(columns=numbering)
        text = f"{what}: a column without a name that numbers the rows, as pandas writes its index, left out"
        notes.append(Note(text, warns=False))
    return TextTable(table, tuple(notes))


def _numbers_rows(column: pd.Series) -> bool:
    """Whether it is an index: integers that rise from row to row, with gaps where rows were left out."""
    texts = [str(value) for value in column]
    return all(map(_INTEGER.fullmatch, texts)) and all(int(one) < int(two) for one, two in pairwise(texts))


def check_ids(url: str, identifiers: pd.Series, name: str = "image_id") -> None:
    """Raise ListingError for ids that are empty, repeated, or cannot be told apart."""
    absent = identifiers.isna() | (identifiers.astype(str).str.strip() == "")
    if absent.any():
        raise ListingError(f"{url}: row {int(absent.to_numpy().argmax()) + 1} has no {name}")
    repeated = identifiers[identifiers.astype(str).duplicated()]
    if len(repeated):
        raise ListingError(
            f"{url}: {name} {str(repeated.iloc[0])!r} stands in several rows (blanks around it do not count)"
        )
    refuse_confusable(url, identifiers.astype(str), "ids")


def refuse_confusable(url: str, names: Iterable[str], what: str) -> None:
    """Raise ListingError for names that nobody can tell apart."""
    alike = confusable(names)
    if alike:
        raise ListingError(
            f"{url}: the {what} {alike[0]!r} and {alike[1]!r} differ only in blanks or in the form of their Unicode "
            f"({alike[0]!a}, {alike[1]!a}): they are taken for duplicates; rename or remove one"
        )


def seen(table: pd.DataFrame) -> str:
    """The columns of a table, for a message."""
    names = [printable(str(name)) for name in table.columns]
    return ", ".join(names[:_SEEN]) + (f" and {len(names) - _SEEN} more" if len(names) > _SEEN else "")


_SEEN = 20


def _parsed(url: str, data: bytes, wanted: Sequence[str], what: str) -> TextTable:
    if not url.lower().endswith((".parquet", ".pq")):
        return TextTable.of(url, data, wanted, what)
    try:
        table = pd.read_parquet(io.BytesIO(data))
    except (ValueError, OSError) as error:
        # Where pandas has read the bytes from is nobody's concern.
        reason = str(error).rpartition("'<Buffer>': ")[2]
        raise ListingError(f"{url}: expected a CSV or Parquet {what}: {reason}") from None
    # What was made an index with `set_index` is a column like others.
    named = [name for name in table.index.names if name is not None and name not in table.columns]
    table = table.reset_index(level=named) if named else table
    table = table.rename(columns={name: str(name).strip() for name in table.columns})
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise ListingError(f"{url}: two columns are called {repeated[0]!r}; rename or remove one")
    for name in table.columns:
        is_path = name in wanted and isinstance(table[name].dtype, pd.CategoricalDtype)
        if is_path or table[name].dtype == object:
            table[name] = pd.array([_as_text(url, name, value) for value in table[name]], dtype="str")
    return TextTable(table)


def _as_text(url: str, column: str, value: Any) -> str | None:
    """A value of Parquet that pandas has no type of its own for, as text; None for none."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    try:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, _TEXTUAL):
            return str(value)
    except UnicodeDecodeError:
        pass
    kind = "a list" if isinstance(value, np.ndarray | list) else type(value).__name__
    raise ListingError(
        f"{url}: column {column!r}: expected text, numbers, dates or true and false, got {kind}; write it as text, or "
        "leave the column out"
    )


def _without_blanks(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table without blanks around its cells; and the cells that had some."""
    table = table.copy(deep=False)
    blanks: list[str] = []
    for name in table.columns:
        column = table[name]
        if not isinstance(column.dtype, pd.StringDtype):
            continue
        stripped = column.str.strip()
        changed = (stripped != column) & stripped.notna()
        if changed.any():
            blanks += [f"{cell!r}" for cell in column[changed]]
            table.loc[changed, name] = stripped[changed].where(stripped[changed] != "")
    return table, blanks
