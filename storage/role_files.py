"""Role files: the files of a pattern that are images, references or predictions, and what their names may call them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from segscale.errors import ListingError
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_names import beside_headers, may_hold_an_array, stem
from segscale.storage.given_tables import refuse_confusable
from segscale.storage.listing import Note, list_files
from segscale.storage.name_fields import ID, Fields, differing_note


@dataclass(frozen=True, slots=True)
class Calls:
    """One way to call files by their paths: a name for each, all different."""

    kind: Literal["id", "given", "stem", "folder", "path"]
    """The text of the field {id}, or what a manifest says; of the path the stem, the folder, or all but the ending."""
    names: tuple[str, ...]
    usual: tuple[bool, ...] = ()
    """Whether the ending of a file is one of images and label maps, of which alone it may be expected that all are
    called alike: beside predictions lies a summary. Empty where no ending tells them from others."""

    def usual_of(self, names: Sequence[str]) -> Sequence[str]:
        """Those of the names."""
        return [name for name, kept in zip(names, self.usual, strict=True) if kept] if self.usual else names


@dataclass(frozen=True, slots=True)
class RoleFiles:
    """The files of a pattern in one role."""

    role: str
    source: str
    """The pattern."""
    files: pd.DataFrame
    """A row for each: `role` (URL) and `role`_version, in bytewise order of their paths below the pattern's root."""
    calls: tuple[Calls, ...]
    """How they may be called, what is likeliest meant first."""
    fields: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Of the pattern, {id} aside: a column of texts for each."""
    notes: tuple[Note, ...] = ()
    relative: tuple[str, ...] = ()
    """The path of each below the pattern's root."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The same where folders may say which file is which; "" throughout where {id} says it."""
        return ("",) * len(self.files) if self.calls[0].kind == "id" else self.relative

    @property
    def shown(self) -> tuple[str, ...]:
        """What a message calls each file: its name, or its path below the root where stems repeat."""
        bare = [_parted(path)[1] for path in self.relative]
        repeated = len(set(map(stem, bare))) < len(bare)
        return self.relative if repeated else tuple(bare)

    @property
    def names(self) -> str:
        """What a message calls them."""
        return f"{self.role}s"


def role_files(pattern: str, role: str) -> RoleFiles:
    """The files of a pattern.

    They are called by the field {id} where the pattern has it; else by their stems; where stems repeat, by their
    folders, if all stems are alike, or by their paths. Raises ListingError where there are none, where two cannot be
    told apart, and for names that the pattern can be read into in two ways.
    """
    listing = list_files(pattern)
    notes = [Note(f"{role}s: {note.text}", note.warns) for note in listing.notes]
    files, voxels = _without_voxels(listing.files)
    if voxels:
        text = f"{counted(len(voxels), 'file')} of voxels read with the header beside it: {first_of(voxels)}"
        notes.append(Note(f"{role}s: {text}", warns=False))
    fields = pd.DataFrame(index=files.index)
    found = Fields.of(pattern)
    if found is not None:
        fields, differing = found.read(files["relative"].tolist())
        if differing:
            notes.append(Note(f"{role}s: {differing_note(found, differing)}"))
            kept = ~files["relative"].isin(differing).to_numpy()
            files, fields = files[kept].reset_index(drop=True), fields[kept].reset_index(drop=True)
        if files.empty:
            raise ListingError(f"{pattern}: expected files, found none: {differing_note(found, differing)}")
    relative = files["relative"].tolist()
    ways = [_by_id(pattern, relative, fields[ID].tolist())] if ID in fields else list(_ways(pattern, relative))
    named = pd.DataFrame({role: files["url"], f"{role}_version": files["version"]})
    fields = fields.drop(columns=ID, errors="ignore")
    return RoleFiles(role, pattern, named, tuple(ways), fields, tuple(notes), tuple(relative))


def _without_voxels(files: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The files without those that are read with a header among them; and these."""
    left_out = pd.Series(beside_headers(files["relative"].tolist()), index=files.index, dtype=bool)
    if not left_out.any():
        return files, []
    return files[~left_out].reset_index(drop=True), files["relative"][left_out].tolist()


def _parted(path: str) -> tuple[str, str]:
    """The folder and the name of a file, or of a folder that stands for its files."""
    folder, _, name = path.removesuffix("/").rpartition("/")
    return folder, name + "/" * path.endswith("/")


def _by_id(pattern: str, relative: list[str], ids: list[str]) -> Calls:
    twice = pd.Index(ids).duplicated()
    if twice.any():
        place = int(twice.argmax())
        first, second = (path for path, one in zip(relative[: place + 1], ids, strict=False) if one == ids[place])
        raise ListingError(
            f"{pattern}: {first} and {second} have the same {{id}} {ids[place]!r}: expected one file for each; let "
            "{id} stand for more of the name, or leave it out, or name the files in a manifest"
        )
    refuse_confusable(pattern, ids, "names")
    return Calls("id", tuple(ids))


def _ways(pattern: str, relative: list[str]) -> Iterator[Calls]:
    """Stems, folders and paths, where they tell the files apart."""
    stems, usual = [stem(path) for path in relative], _usual(relative)
    is_flat = not any("/" in path for path in relative)
    folders = [""] * len(relative) if is_flat else [_parted(path)[0] for path in relative]
    n_stems = len(set(stems))
    if n_stems == len(stems):
        refuse_confusable(pattern, stems, "names")
        yield Calls("stem", tuple(stems), usual)
    if n_stems == 1 and all(folders) and len(set(folders)) == len(folders):
        refuse_confusable(pattern, folders, "names")
        yield Calls("folder", tuple(folders))
    if not any(folders):
        if n_stems < len(stems):
            raise ListingError(_same_stem(pattern, relative, stems))
        return
    paths = [f"{folder}/{name}" if folder else name for folder, name in zip(folders, stems, strict=True)]
    if len(set(paths)) < len(paths):
        raise ListingError(_same_stem(pattern, relative, paths))
    if n_stems < len(stems):
        refuse_confusable(pattern, paths, "names")
    yield Calls("path", tuple(paths), usual)


def _usual(relative: list[str]) -> tuple[bool, ...]:
    usual = tuple(map(may_hold_an_array, relative))
    return usual if any(usual) and not all(usual) else ()


def _same_stem(pattern: str, relative: list[str], stems: list[str]) -> str:
    twice = stems[int(pd.Index(stems).duplicated().argmax())]
    same = [path for path, one in zip(relative, stems, strict=True) if one == twice]
    return f"{pattern}: {first_of(same[:2])} have the same stem {stem(twice)!r}; rename one or use a manifest"
