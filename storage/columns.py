"""Columns: what a table says of images beside what names their files, joined to a listing by the id."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segscale.errors import ListingError
from segscale.storage.enumeration import counted, first_of, have
from segscale.storage.given_tables import check_ids, read_given, seen
from segscale.storage.listing import Note
from segscale.storage.patterns import composed

ID_COLUMNS = ("image_id", "id")


@dataclass(frozen=True, slots=True)
class Joined:
    """A listing with further columns."""

    images: pd.DataFrame
    notes: tuple[Note, ...] = ()


def join_columns(images: pd.DataFrame, url: str, taken: Collection[str] = ()) -> Joined:
    """`images` with the columns of a table, whose column image_id (or id) is that of `images`; null without a row.

    The table is CSV as a manifest may be, or Parquet. Blanks around ids do not count, nor does the form of their
    Unicode. Raises ListingError for a table without an id or with one twice, for one that knows no image, and for a
    column of a name that is `taken` or that `images` has.
    """
    given = read_given(url, ID_COLUMNS, "table")
    table = given.table
    name = next((name for name in ID_COLUMNS if name in table), None)
    if name is None:
        raise ListingError(f"{url}: expected a column image_id, or id, and further ones; found {seen(table)}")
    columns = [str(column) for column in table.columns if column != name]
    if not columns:
        raise ListingError(f"{url}: expected columns beside {name}, found none")
    refused = [column for column in columns if column in taken or column in images]
    if refused:
        raise ListingError(
            f"{url}: column {refused[0]!r} would collide with a column of the listing or of the report; rename it"
        )
    if table.empty:
        raise ListingError(f"{url}: expected a row for each image, found no rows below the names of the columns")
    check_ids(url, table[name], name)
    known = pd.Index([composed(str(one)) for one in table[name]])
    wanted = pd.Index([composed(one) for one in images["image_id"]])
    places = known.get_indexer(wanted)
    without = images["image_id"][places < 0].tolist()
    unknown = table[name].astype(str)[~known.isin(wanted)].tolist()
    if len(without) == len(images):
        raise ListingError(
            f"{url}: expected rows of the images, found none: images are called {first_of(without)}, in the table "
            f"{first_of(unknown)}; write the ids as the images are called"
        )
    values = table[columns]
    if without:
        # Of numpy's own integers one that is null would make all of them floats.
        values = values.astype({c: _NULLABLE[values[c].dtype.kind] for c in columns if _is_plain(values[c])})
    joined = values.reset_index(drop=True).reindex(places).set_axis(images.index)
    notes = list(given.notes)
    if without:
        n = len(without)
        notes.append(Note(f"table: {counted(n, 'image')} {have(n)} no row, and no values: {first_of(without)}"))
    if unknown:
        verb = "is" if len(unknown) == 1 else "are"
        text = f"table: {counted(len(unknown), 'row')} {verb} of no image of the set: {first_of(unknown)}"
        notes.append(Note(text, warns=False))
    return Joined(pd.concat([images, joined], axis=1), tuple(notes))


_NULLABLE = {"i": "Int64", "u": "UInt64", "b": "boolean"}


def _is_plain(column: pd.Series) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in _NULLABLE
