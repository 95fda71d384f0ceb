"""Manifests: tables that name the files of each image, and what else is known of it."""

from __future__ import annotations

import datetime
import io
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ListingError, SecretInUrlError
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_names import confusable
from segscale.storage.listing import Note
from segscale.storage.local_files import not_utf8
from segscale.storage.locations import located, refuse_secrets
from segscale.storage.manifest_text import TextTable
from segscale.storage.named_files import NamedFiles
from segscale.storage.roots import DataRoots
from segscale.storage.sources import ROLES, file_versions, read_file

MANIFEST_COLUMNS = ("image_id", "image", "reference", "prediction")
# Values of Parquet that pandas keeps as objects, and whose text says all of them.
_TEXTUAL = (str, bool, int, float, Decimal, datetime.date, datetime.time, datetime.timedelta, uuid.UUID)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The rows of a manifest."""

    images: pd.DataFrame
    """In its order: image_id, of each role that it has the URL and the version (`image`, `image_version`), groups."""
    notes: tuple[Note, ...] = ()


def read_manifest(url: str, *, split: str = "", roots: Sequence[str] = (), needs_images: bool = True) -> Manifest:
    """The rows of a CSV or Parquet manifest, with paths made absolute; a file that is not there has the version "".

    Needs image_id, image and reference; prediction is optional, and where it is there or not `needs_images`, image is
    too: its URLs and versions are then "" throughout. All other columns are kept as groups. Text is UTF-8, or
    UTF-16 with its mark, and separated by commas, semicolons or tabs. Blanks around cells do not count. Only the rows
    of `split` are returned where one is named. Raises ListingError for missing columns, ids that are empty, repeated or
    cannot be told apart, an unknown split, and a file that lies neither in the manifest's folder nor in one of
    `roots`.
    """
    if wrong := not_utf8(url):
        raise ListingError(f"{url!a}: {wrong}")
    try:
        data = read_file(url)
    except FileNotFoundError:
        raise ListingError(f"{url}: expected a manifest, found none") from None
    except OSError as error:
        raise ListingError(f"{url}: expected a manifest that can be read: {error.strerror or error}") from None
    parsed = _parsed(url, data)
    table, blanks = _without_blanks(parsed.table)
    _check(url, table, needs_images=needs_images)
    table = table.astype({"image_id": str})
    if split:
        table = _of_split(url, table, split)
    table = table.reset_index(drop=True)
    notes = list(parsed.notes)
    if blanks:
        notes.append(Note(f"manifest: blanks around {counted(len(blanks), 'cell')} left out: {first_of(blanks)}"))
    base = url.rpartition("/")[0]
    for role in ROLES:
        if role in table:
            paths = table[role].fillna("").astype(str)
            _refuse_secrets(url, role, table["image_id"], paths)
            table[role] = [_absolute(path, base) for path in paths]
            _check_roots(url, table, role, DataRoots((base or ".", *roots)))
            found = NamedFiles.of(role, table["image_id"].to_list(), table[role].to_list(), file_versions(table[role]))
            table[role], table[f"{role}_version"] = found.urls, found.versions
            if found.renamed:
                _check_roots(url, table, role, DataRoots((base or ".", *roots)))
            notes += found.notes
        elif role == "image":
            table[role] = table[f"{role}_version"] = ""
    return Manifest(table, tuple(notes))


def _parsed(url: str, data: bytes) -> TextTable:
    if not url.lower().endswith((".parquet", ".pq")):
        return TextTable.of(url, data, MANIFEST_COLUMNS)
    try:
        table = pd.read_parquet(io.BytesIO(data))
    except (ValueError, OSError) as error:
        raise ListingError(f"{url}: expected a CSV or Parquet manifest: {error}") from None
    # What was made an index with `set_index` is a column like others.
    named = [name for name in table.index.names if name is not None and name not in table.columns]
    table = table.reset_index(level=named) if named else table
    table = table.rename(columns={name: str(name) for name in table.columns})
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise ListingError(f"{url}: two columns are called {repeated[0]!r}; rename or remove one")
    for name in table.columns:
        is_path = name in MANIFEST_COLUMNS and isinstance(table[name].dtype, pd.CategoricalDtype)
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
    """The table without blanks around its cells and names; and the cells that had some."""
    table = table.rename(columns={name: name.strip() for name in table.columns})
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


def _check(url: str, table: pd.DataFrame, *, needs_images: bool) -> None:
    needs_images = needs_images and "prediction" not in table
    needed = [name for name in MANIFEST_COLUMNS[:3] if name != "image" or needs_images]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise ListingError(
            f"{url}: expected the columns {', '.join(needed)}, separated by commas, semicolons or tabs; "
            f"{missing[0]} is missing, found {first_of([str(name) for name in table.columns])}"
        )
    taken = [f"{role}_version" for role in ROLES if f"{role}_version" in table.columns]
    if taken:
        raise ListingError(f"{url}: column {taken[0]!r} is a name that Segscale needs itself; rename it")
    if table.empty:
        raise ListingError(f"{url}: expected a row for each image, found no rows")
    identifiers = table["image_id"]
    absent = identifiers.isna() | (identifiers.astype(str).str.strip() == "")
    if absent.any():
        raise ListingError(f"{url}: row {int(absent.to_numpy().argmax()) + 1} has no image_id")
    repeated = identifiers[identifiers.astype(str).duplicated()]
    if len(repeated):
        raise ListingError(
            f"{url}: image_id {str(repeated.iloc[0])!r} stands in several rows (blanks around it do not count)"
        )
    alike = confusable(identifiers.astype(str))
    if alike:
        raise ListingError(
            f"{url}: the ids {alike[0]!r} and {alike[1]!r} differ only in blanks or in the form of their Unicode "
            f"({alike[0]!a}, {alike[1]!a}): they are taken for duplicates; rename or remove one"
        )


def _refuse_secrets(url: str, role: str, identifiers: Iterable[str], paths: Iterable[str]) -> None:
    for identifier, path in zip(identifiers, paths, strict=True):
        try:
            refuse_secrets(path)
        except SecretInUrlError as error:
            raise ListingError(f"{url}: column {role!r} of image_id {identifier!r}: {error}") from None


def _check_roots(url: str, table: pd.DataFrame, role: str, roots: DataRoots) -> None:
    for identifier, path in zip(table["image_id"], table[role], strict=True):
        if path and not roots.hold(path):
            raise ListingError(
                f"{url}: the {role} of {identifier!r} leads out of the data roots {list(roots.urls)}: {path}; put it "
                "there, or name its folder in dataset.roots"
            )


def _of_split(url: str, table: pd.DataFrame, split: str) -> pd.DataFrame:
    if "split" not in table:
        raise ListingError(f"{url}: expected a column named split, for split = {split!r}; found {list(table.columns)}")
    splits = table["split"].map(str, na_action="ignore").fillna("")
    if split not in set(splits):
        raise ListingError(f"{url}: no row has split {split!r}; there are {sorted(set(splits) - {''})}")
    return table[splits == split].copy()


def _absolute(path: str, base: str) -> str:
    if not path or "://" in path:
        return path
    filesystem, root = located(base or ".")
    return str(filesystem.unstrip_protocol(path if path.startswith("/") else f"{root}/{path}"))
