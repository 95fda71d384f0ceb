"""Manifests: tables that name the files of each image, and what else is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from segscale.errors import ListingError, SecretInUrlError
from segscale.storage.given_tables import check_ids, read_given, seen
from segscale.storage.listing import Note
from segscale.storage.locations import located, refuse_secrets
from segscale.storage.named_files import NamedFiles
from segscale.storage.roots import DataRoots
from segscale.storage.sources import ROLES, file_versions

MANIFEST_COLUMNS = ("image_id", *ROLES)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The rows of a manifest."""

    images: pd.DataFrame
    """In its order: image_id, of each role that it has the URL and the version (`image`, `image_version`), groups."""
    notes: tuple[Note, ...] = ()


def read_manifest(url: str, *, split: str = "", roots: Sequence[str] = (), needs_images: bool = True) -> Manifest:
    """The rows of a CSV or Parquet manifest, with paths made absolute; a file that is not there has the version "".

    Needs image_id, image and reference; prediction and mask are optional, and where there are predictions or not
    `needs_images`, image is too: its URLs and versions are then "" throughout. All other columns are kept as groups.
    Text is UTF-8, or UTF-16 with its mark, and separated by commas, semicolons or tabs. Blanks around cells do not
    count. Only the rows of `split` are returned where one is named. Raises ListingError for missing columns, ids that
    are empty, repeated or cannot be told apart, an unknown split, and a file that lies neither in the manifest's folder
    nor in one of `roots`.
    """
    given = read_given(url, MANIFEST_COLUMNS)
    table = given.table
    _check(url, table, needs_images=needs_images)
    table = table.astype({"image_id": str})
    if split:
        table = _of_split(url, table, split)
    table = table.reset_index(drop=True)
    notes = list(given.notes)
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


def _check(url: str, table: pd.DataFrame, *, needs_images: bool) -> None:
    needs_images = needs_images and "prediction" not in table
    needed = [name for name in MANIFEST_COLUMNS[:3] if name != "image" or needs_images]
    missing = [name for name in needed if name not in table.columns]
    if "image" in missing:
        missing = [*(name for name in missing if name != "image"), "image", "prediction"]
        raise ListingError(
            f"{url}: expected the columns image_id, reference, and prediction (files to be scored) or image (files "
            f"that a network is to predict), separated by commas, semicolons or tabs; {', '.join(missing[:-1])} and "
            f"{missing[-1]} are missing, found {seen(table)}"
        )
    if missing:
        raise ListingError(
            f"{url}: expected the columns {', '.join(needed)}, separated by commas, semicolons or tabs; "
            f"{missing[0]} is missing, found {seen(table)}"
        )
    taken = [f"{role}_version" for role in ROLES if f"{role}_version" in table.columns]
    if taken:
        raise ListingError(f"{url}: column {taken[0]!r} is a name that Segscale needs itself; rename it")
    if table.empty:
        raise ListingError(f"{url}: expected a row for each image, found no rows")
    check_ids(url, table["image_id"])


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
                f"{url}: the {role} of {identifier!r} leads out of the data roots ({', '.join(roots.urls)}): {path}; "
                "put it there, or name its folder in dataset.roots"
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
    url = str(filesystem.unstrip_protocol(path if path.startswith("/") else f"{root}/{path}"))
    # As a pattern has it, a slash at the end stands for a folder whose files are one image.
    return f"{url}/" if path.endswith("/") and not url.endswith("/") else url
