"""Pairing: which reference and which prediction belong to an image, by the stems of their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from segscale.errors import ListingError
from segscale.storage.enumeration import SHOWN, counted, first_of
from segscale.storage.file_names import confusable, stem
from segscale.storage.listing import Note, list_files
from segscale.storage.nearby import Affix, Nearness, own_endings
from segscale.storage.patterns import composed
from segscale.storage.sources import file_name


@dataclass(frozen=True, slots=True)
class RoleFiles:
    """The files of a pattern that are images, references or predictions."""

    role: str
    files: pd.DataFrame
    """By stem in composed form (NFC), as the index: `role` (URL), `role`_version, and `stem` as it is on the disk."""
    notes: tuple[Note, ...] = ()

    @property
    def names(self) -> str:
        """What a message calls them."""
        return f"{self.role}s"


def files_by_stem(pattern: str, role: str) -> RoleFiles:
    """The files of a pattern by their stem.

    Raises ListingError where there are none, where two have one stem, or stems that differ by blanks or by the form of
    their Unicode alone: either could be meant.
    """
    listing = list_files(pattern)
    files = listing.files
    stems = files["relative"].map(stem)
    keys = stems.map(composed)
    if stems.duplicated().any():
        twice = stems[stems.duplicated()].iloc[0]
        first, second = files["relative"][stems == twice].iloc[:2]
        raise ListingError(
            f"{pattern}: {first} and {second} have the same stem {twice!r}; rename one or use a manifest"
        )
    alike = confusable(stems)
    if alike:
        raise ListingError(
            f"{pattern}: the names {alike[0]!r} and {alike[1]!r} differ only in blanks or in the form of their Unicode "
            f"({alike[0]!a}, {alike[1]!a}): they are taken for duplicates; rename or remove one"
        )
    by_stem = pd.DataFrame(
        {role: files["url"].to_numpy(), f"{role}_version": files["version"].to_numpy(), "stem": stems.to_numpy()},
        index=pd.Index(keys, name="stem"),
    )
    notes = tuple(Note(f"{role}s: {note.text}", note.warns) for note in listing.notes)
    return RoleFiles(role, by_stem, notes)


@dataclass(frozen=True, slots=True)
class RoleSummary:
    """What became of the files of a role, for whoever wants to know which is which."""

    role: str
    source: str
    """The folder, the pattern or the manifest that names them."""
    n_paired: int
    """Images of the set that have one."""
    n_absent: int = 0
    absent: tuple[str, ...] = ()
    """The first ids without one."""
    n_unused: int = 0
    unused: tuple[str, ...] = ()
    """The names of the first files that belong to no image."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """A row for each image, and what had no partner."""

    images: pd.DataFrame
    summary: RoleSummary
    notes: tuple[Note, ...] = ()


def pair(images: pd.DataFrame, partners: RoleFiles, source: str = "", of: str = "image") -> Pairing:
    """`images` with the URL and the version of each one's partner as columns, `role` and `role`_version.

    `images` has the column image_id; `of` is what its rows are called, `source` what names the partners. A missing
    partner has the URL and the version "". Raises ListingError where no image has one.
    """
    role, files = partners.role, partners.files
    keys = pd.Index(images["image_id"].map(composed))
    places = files.index.get_indexer(keys)
    has_none = places < 0
    absent = images["image_id"][has_none].to_list()
    used = pd.Series(False, index=range(len(files)))
    used[places[~has_none]] = True
    left_over = files[~used.to_numpy()]
    if len(absent) == len(images):
        raise ListingError(_no_common_stem(absent, partners, of))
    padded = files[[role, f"{role}_version"]].reset_index(drop=True).reindex(places).fillna("")
    padded.index = images.index
    notes = [*_missing(absent, left_over, partners, of), *_unused(left_over, partners, of)]
    notes += _forms(
        images["image_id"][~has_none].to_list(), files["stem"].iloc[places[~has_none]].to_list(), partners, of
    )
    unused = tuple(file_name(url) for url in left_over[role].iloc[:SHOWN])
    summary = RoleSummary(
        role, source, len(images) - len(absent), len(absent), tuple(absent[:SHOWN]), len(left_over), unused
    )
    return Pairing(pd.concat([images, padded], axis=1), summary, tuple(notes))


def _no_common_stem(ids: Sequence[str], partners: RoleFiles, of: str) -> str:
    stems = list(partners.files["stem"])
    affix, endings = Affix.between(ids, stems), own_endings(ids, stems)
    difference = f"{affix} makes the difference; " if affix else ""
    if endings and not affix:
        difference = f"{of}s have the suffix {endings[0]!r}, {partners.names} the suffix {endings[1]!r}; "
    said = (
        f"expected files with the stems of the {of}s, found no common stem: {of}s are called {first_of(ids)}, "
        f"{partners.names} {first_of(stems)}"
    )
    remedy = "rename them, or name the pairs in a manifest (columns image_id, image, reference, prediction)"
    return f"{said}; {difference}{remedy}"


def _missing(absent: Sequence[str], left_over: pd.DataFrame, partners: RoleFiles, of: str) -> list[Note]:
    if not absent:
        return []
    near = Nearness(list(left_over["stem"]))
    files = dict(zip(left_over["stem"], left_over[partners.role], strict=True))
    shown = [f"{name} (there is {file_name(files[found])})" if (found := near.to(name)) else name
             for name in absent[:SHOWN]]  # fmt: skip
    verb = "has" if len(absent) == 1 else "have"
    return [Note(f"{partners.names}: {counted(len(absent), of)} {verb} none: {first_of(shown, len(absent))}")]


def _unused(left_over: pd.DataFrame, partners: RoleFiles, of: str) -> list[Note]:
    if left_over.empty:
        return []
    verb = "has" if len(left_over) == 1 else "have"
    names = [file_name(url) for url in left_over[partners.role].iloc[:SHOWN]]
    return [Note(f"{partners.names}: {len(left_over)} {verb} no {of}: {first_of(names, len(left_over))}")]


def _forms(ids: Sequence[str], stems: Sequence[str], partners: RoleFiles, of: str) -> list[Note]:
    """Partners that were found although their names are other bytes."""
    other = [name for image_id, name in zip(ids, stems, strict=True) if image_id != name]
    if not other:
        return []
    text = f"{counted(len(other), 'name')} in another Unicode form (NFC, NFD) than that of the {of}, taken for the same"
    return [Note(f"{partners.names}: {text}: {first_of(other)}", warns=False)]
