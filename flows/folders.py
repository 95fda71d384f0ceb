"""Folders: what lies in those that somebody names, and which of it are images, references and predictions."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from segscale.errors import ConfigError
from segscale.flows.roles import affixes, role_of
from segscale.flows.spread import Spread, spreads_in
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_names import is_hidden, is_litter, stem
from segscale.storage.sources import MASK, ROLES
from segscale.tasks.readers.formats import SUFFIXES

ENDINGS = SUFFIXES
FOUND = tuple(role for role in ROLES if role != MASK)
"""Roles that names tell; a folder called masks holds references."""
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
LABELS = "labels"
DEPTH = 3
"""So many folders below one that is named are looked into."""
MOST_FOLDERS = 2000
"""And so many at most; cases beyond these are as those before them."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies in a folder, without what lies in the folders in it."""

    path: str
    files: tuple[str, ...]
    """Names with the ending of an image, in bytewise order."""
    tables: tuple[str, ...]
    below: tuple[str, ...]
    """Names of the folders in it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the files of a role lie, and what told."""

    role: str
    """image, reference or prediction, or a manifest; `LABELS` of either of the last two, "" where nothing tells."""
    pattern: str
    """Absolute."""
    why: str
    names: frozenset[str] = frozenset()
    """What is compared with the names of other roles: stems, or folders of cases."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found below some folders."""

    chosen: tuple[Source, ...]
    """One of each role at most."""
    open: tuple[Source, ...] = ()
    """What may be meant as well, or instead: nobody but the user knows."""
    doubt: str = ""
    """Why there are no references among the chosen; "" where several places may be meant."""


def look(path: str) -> Folder:
    """A folder as it is. Raises ConfigError where there is none."""
    files: list[str] = []
    tables: list[str] = []
    below: list[str] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if is_hidden(entry.name) or is_litter(entry.name):
                    continue
                lowered = entry.name.lower()
                if entry.is_dir():
                    below.append(entry.name)
                elif lowered.endswith(ENDINGS):
                    files.append(entry.name)
                elif lowered.endswith(TABLES):
                    tables.append(entry.name)
    except OSError as error:
        raise ConfigError(f"{path}: expected a folder: {error.strerror}") from None
    return Folder(path, *(tuple(sorted(names)) for names in (files, tables, below)))


def walk(path: str, depth: int = DEPTH) -> Iterator[Folder]:
    """A folder and those below it, nearest first, without what Segscale has written."""
    level = [path]
    n_folders = 0
    for _ in range(depth + 1):
        found = []
        for folder in map(look, level):
            if _is_written(folder):
                continue
            yield folder
            found += [f"{folder.path}/{name}" for name in folder.below]
            n_folders += 1
            if n_folders >= MOST_FOLDERS:
                return
        level = found


def _is_written(folder: Folder) -> bool:
    """Whether a folder is a store, or a report."""
    return {"catalog", "ledger"}.issubset(folder.below) or "per_image.parquet" in folder.tables


def sources_in(
    paths: Sequence[str], columns_of: Callable[[str], Set[str]], is_labels: Callable[[str], bool]
) -> Sources:
    """Where images, references and predictions lie below some folders, by their names and where these say nothing by
    what they hold.

    `columns_of` says which of the columns of a manifest a table has, `is_labels` whether a file is a label map. Raises
    ConfigError where there are no references.
    """
    roots = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - links stay as they are written
    trees = {root: list(walk(root)) for root in roots}
    folders = [folder for tree in trees.values() for folder in tree]
    tables = {path: columns_of(path) for folder in folders for path in _below(folder, folder.tables)}
    manifests = {path: columns for path, columns in tables.items() if {"image_id", "reference"} <= columns}
    spreads = spreads_in(
        {root: [(folder.path, folder.files) for folder in tree if folder.files] for root, tree in trees.items()}
    )
    covered = frozenset[str]().union(*(one.folders for one in spreads))
    candidates = [Source(one.role, one.pattern, one.why, one.names) for one in spreads]
    for root, whole in trees.items():
        tree = [folder for folder in whole if folder.path not in covered]
        candidates += list(_of_cases(root, tree)) or [
            source for folder in tree if folder.files for source in _of_folder(folder, root, is_labels)
        ]
    if manifests:
        return _of_manifests(manifests, candidates)
    if repeated := [one for one in spreads if one.repeated]:
        return Sources((), tuple(candidates), _cannot_tell_apart(repeated[0]))
    if any(source.role == "reference" for source in candidates):
        return _chosen(candidates)
    if {source.role for source in candidates} <= {"image"}:
        raise ConfigError(_no_references(folders))
    places = first_of([source.pattern for source in candidates])
    return Sources((), tuple(candidates), f"no name says which are references: {places}; write which is which")


def _cannot_tell_apart(spread: Spread) -> str:
    one, other = spread.repeated
    return (
        f"{one} and {other} have the same name, so that no pattern tells them apart: name the files in a manifest, a "
        "table with the columns image_id, reference and prediction (dataset.manifest), or put the folder's name before "
        f"theirs and write {spread.pattern}"
    )


def _below(folder: Folder, names: Iterable[str]) -> list[str]:
    return [f"{folder.path}/{name}" for name in names]


def _of_manifests(manifests: Mapping[str, Set[str]], candidates: Sequence[Source]) -> Sources:
    """The one table that names pairs, with predictions that lie beside it where it names none."""
    found = [Source("manifest", path, "a table with the columns image_id and reference") for path in manifests]
    if len(found) > 1:
        return Sources((), tuple(found))
    (columns,) = manifests.values()
    predictions = [source for source in candidates if source.role == "prediction" and "prediction" not in columns]
    if len(predictions) == 1:
        return Sources((*found, *predictions))
    return Sources(tuple(found), tuple(predictions))


def _no_references(folders: Iterable[Folder]) -> str:
    held = [f"{folder.path} ({counted(len(folder.files), 'file')})" for folder in folders if folder.files]
    found = first_of(held) if held else "no files with an ending that is read"
    return (
        "references: expected a folder or files called labels, masks, gt, references or the like, or a manifest; "
        f"found {found}. Name the folders one by one, or write the configuration by hand: docs/contract.md"
    )


def _of_folder(folder: Folder, root: str, is_labels: Callable[[str], bool]) -> Iterator[Source]:
    """A folder of files of one role, or of several that the ends or beginnings of their names tell apart."""
    # A set that is called after its masks holds other files as well.
    parts = [Path(root).name] if folder.path == root else os.path.relpath(folder.path, root).split("/")
    named = next((part for part in reversed(parts) if role_of(part)), "")
    parted: dict[tuple[str, str], list[str]] = {}
    for name in folder.files:
        parted.setdefault(affixes(name) or ("", ""), []).append(name)
    said = {role_of(before + after) for before, after in parted} - {""}
    place = glob.escape(folder.path)
    if said - {role_of(named)} and (len(parted) > 1 or not named):
        yield from _of_affixes(place, {affixes: names for affixes, names in parted.items() if any(affixes)})
        return
    names = frozenset(map(stem, folder.files))
    if named:
        yield Source(role_of(named), place, f"the folder is called {named}", names)
    elif is_labels(f"{folder.path}/{folder.files[len(folder.files) // 2]}"):
        yield Source(LABELS, place, "its files hold few values, as labels do", names)
    else:
        yield Source("image", place, "its files hold many values, as images do", names)


def _of_affixes(place: str, parted: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[Source]:
    """A pattern for the files of each beginning or end; of a role with several, those of single files are strays."""
    n_of_role = Counter(role_of(before + after) for before, after in parted)
    for (before, after), names in parted.items():
        role = role_of(before + after)
        endings = {Path(name).suffix for name in names}
        pattern = (
            f"{place}/{glob.escape(before)}{{id}}{glob.escape(after)}{endings.pop() if len(endings) == 1 else '.*'}"
        )
        ids = frozenset(stem(name).removeprefix(before).removesuffix(after) for name in names)
        if n_of_role[role] == 1 or len(names) > 1:
            yield Source(role, pattern, f"the names have {before or after} in common", ids)


def _of_cases(root: str, tree: Sequence[Folder]) -> Iterator[Source]:
    """Roles of files in folders of one case each: names that say one, and stand in most of these folders again."""
    cases = {Path(folder.path).name: folder.files for folder in tree if str(Path(folder.path).parent) == root}
    cases = {name: files for name, files in cases.items() if files}
    named = Counter(file.replace(case, "{id}") for case, files in cases.items() for file in files)
    usual = {name: count for name, count in named.items() if count >= max(2, len(cases) / 2)}
    roles = {name: role_of(stem(name.replace("{id}", ""))) for name in usual}
    if "reference" not in roles.values():
        return
    for name, role in roles.items():
        why = f"{usual[name]} of {len(cases)} folders hold one"
        yield Source(role, f"{glob.escape(root)}/{{id}}/{name}", why, frozenset(cases))


def _chosen(candidates: Sequence[Source]) -> Sources:
    """One source for each role: the one whose names most of the others share; what is not certain stays open."""
    images, references, predictions = ([source for source in candidates if source.role == role] for role in FOUND)
    labels = [source for source in candidates if source.role == LABELS]
    if not predictions and len(labels) == 1:
        # Beside references that are called so, other labels are what is compared with them.
        predictions, labels = [replace(labels[0], role="prediction")], []
    prediction = _likeliest(predictions, references)
    reference = _likeliest(references, [prediction] if prediction else images)
    image = _likeliest(images, [reference] if reference else [])
    chosen = [one for one in (image, reference, prediction) if one is not None]
    taken = {one.pattern for one in chosen}
    return Sources(tuple(chosen), tuple(source for source in candidates if source.pattern not in taken))


def _likeliest(candidates: Sequence[Source], others: Sequence[Source]) -> Source | None:
    """The one that shares most names with some of the others; None where there is none, or none shares more."""
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    shared = [max((len(one.names & other.names) for other in others), default=0) for one in candidates]
    best = max(shared)
    return candidates[shared.index(best)] if shared.count(best) == 1 else None
