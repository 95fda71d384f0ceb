"""The listing of a pattern: its files, and what lies there and is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from fsspec.implementations.local import LocalFileSystem

from segscale.errors import ListingError
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_names import is_hidden, is_litter
from segscale.storage.local_files import not_utf8, without_file
from segscale.storage.locations import located, os_errors
from segscale.storage.nearby import what_is_there
from segscale.storage.patterns import (
    ANY_DEPTH,
    Pattern,
    composed,
    escaped,
    has_fields,
    is_pattern,
    matcher,
    names_folders,
)
from segscale.storage.source_names import refuse_taken
from segscale.storage.trees import LocalTree, RemoteTree, Tree, folder_version

FILE_COLUMNS = ("url", "relative", "version")
Segments = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A line for whoever reads the log of a run."""

    text: str
    warns: bool = True
    """Of what may be a loss, or not what was meant; else a thing to know."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a pattern names."""

    files: pd.DataFrame
    """A row per file with `FILE_COLUMNS`, in bytewise order of `relative`, the POSIX path below the folder that the
    pattern starts in. `version` changes when the file does; "" for a link that leads nowhere. Of a folder that stands
    for its files, `url` and `relative` end with a slash."""
    notes: tuple[Note, ...] = ()
    """What was left out."""


def list_files(pattern: str) -> Listing:
    """The files that a glob, a folder or a single path names, local or any fsspec URL.

    A folder stands for all that lies below it. Links are followed. Hidden files, those in hidden folders, and what
    operating systems leave in folders are left out. A folder or file whose name is spelled like a part of the pattern
    is meant by it; where both the name and the pattern find something, ListingError names both. A pattern that ends
    with a slash (``ct/*/``) names folders, each of which is one thing made of the files directly in it, such as a DICOM
    series. Raises ListingError too where nothing matches and for a folder that is linked into itself,
    SecretInUrlError, OSError.
    """
    if wrong := not_utf8(pattern):
        raise ListingError(f"{pattern!a}: {wrong}")
    filesystem, path = located(pattern)
    of_folders = names_folders(pattern)
    with os_errors(pattern):
        return _Walk(*_planted(filesystem, path, of_folders), of_folders).listing()


def names_in(folder: str) -> list[str]:
    """The names of the files that lie directly in a folder, hidden ones and litter aside, in bytewise order.

    Nothing is asked of the files themselves. Raises ListingError where there is no folder; SecretInUrlError, OSError.
    """
    filesystem, path = located(folder)
    with os_errors(folder):
        tree: Tree = LocalTree() if isinstance(filesystem, LocalFileSystem) else RemoteTree.below(filesystem, path, 1)
        if not tree.is_folder(path):
            where = f": {what_is_there(path)}" if isinstance(tree, LocalTree) else ""
            raise ListingError(f"{folder}: expected a folder, found none{where}")
        names = [name for name, is_folder in tree.entries(path) if not is_folder]
    return sorted(name for name in names if not is_hidden(name) and not is_litter(name))


def _planted(filesystem: Any, path: str, of_folders: bool) -> tuple[Tree, Pattern]:
    """The tree that a pattern is looked for in."""
    wanted = Pattern.of(path)
    if of_folders and wanted.segments[-1] == ANY_DEPTH:
        wanted = Pattern(wanted.root, (*wanted.segments, "*"))
    if isinstance(filesystem, LocalFileSystem):
        return LocalTree(), wanted
    # A folder that is called like the pattern is listed whole.
    depth = None if wanted.segments and filesystem.exists(path) else wanted.depth
    below = depth + 1 if of_folders and depth else depth
    return RemoteTree.below(filesystem, wanted.root, below), wanted


class _Walk:
    """One way through a tree, along a pattern."""

    def __init__(self, tree: Tree, pattern: Pattern, of_folders: bool) -> None:
        self.tree, self.pattern, self.of_folders = tree, pattern, of_folders
        self.rows: list[tuple[str, str, str]] = []
        self.hidden: list[str] = []
        self.litter: list[str] = []
        self.closed: list[str] = []
        """Folders that the pattern names, without saying that what lies in them is meant."""
        self.beside: list[str] = []
        """Folders beside the files that it names."""
        self.without_files: list[str] = []
        """Folders that it names as things made of files."""

    def listing(self) -> Listing:
        root = self.pattern.root or "/"
        if self.tree.is_folder(root):
            self._walk(root, "", {self.pattern.segments}, ())
        elif not self.pattern.segments and self.tree.is_file(root):
            name = root.rpartition("/")[2]
            self._take(root, name) if not is_hidden(name) else self.hidden.append(name)
        refuse_taken(relative for _, relative, _ in self.rows)
        if not self.rows:
            wanted, slash = ("folders with files", "/") if self.of_folders else ("files", "")
            raise ListingError(f"{self.pattern}{slash}: expected {wanted}, found none{self._instead()}")
        try:
            self.rows.sort(key=lambda row: row[1].encode())
        except UnicodeEncodeError as error:
            raise ListingError(f"{self.pattern}: {not_utf8(str(error.object))}") from None
        columns = dict(zip(FILE_COLUMNS, zip(*self.rows, strict=True), strict=True))
        return Listing(pd.DataFrame(columns, dtype="str"), tuple(self._notes()))

    def _walk(self, folder: str, below: str, ways: set[Segments], above: tuple[Any, ...]) -> None:
        """`below` is the path from the root, with a slash at its end; each of `ways` is a rest of the pattern."""
        above = self.tree.enter(folder, above)
        entries = list(self.tree.entries(folder))
        names = {name for name, _ in entries}
        steps = [_Step.of(way, names) for way in _reachable(ways)]
        place = folder.rstrip("/")
        ends_here = any(len(step.way) == 1 for step in steps)
        for name, is_folder in entries:
            chosen = [step for step in steps if step.takes(name, is_folder)]
            if not chosen:
                if is_folder and ends_here and not self.of_folders and not is_hidden(name) and not is_litter(name):
                    self.beside.append(below + name)
                continue
            if is_hidden(name):
                self.hidden.append(below + name)
            elif is_litter(name):
                self.litter.append(below + name)
            elif not is_folder or self._is_closed_link(f"{place}/{name}", name, chosen):
                self._take(f"{place}/{name}", below + name)
            elif self.of_folders:
                self._open(f"{place}/{name}", f"{below}{name}/", chosen, above)
            elif further := {rest for step in chosen if (rest := step.rest()) is not None}:
                self._walk(f"{place}/{name}", f"{below}{name}/", further, above)
            else:
                self.closed.append(below + name)

    def _open(self, folder: str, below: str, chosen: Sequence[_Step], above: tuple[Any, ...]) -> None:
        """Take a folder that the pattern ends with, and walk on in it where the pattern goes on."""
        if any(len(step.way) == 1 and step.way[0] != ANY_DEPTH for step in chosen):
            version = folder_version(self.tree, folder)
            if version:
                self.rows.append((f"{self.tree.url(folder)}/", below, version))
            else:
                self.without_files.append(below)
        if further := {rest for step in chosen if (rest := step.rest())}:
            self._walk(folder, below, further, above)

    def _is_closed_link(self, path: str, name: str, chosen: Sequence[_Step]) -> bool:
        """Whether what may be a folder is a link that cannot be followed, and is meant as a file."""
        if not isinstance(self.tree, LocalTree) or self.tree.is_reachable_folder(path):
            return False
        return any(step.takes(name, False) for step in chosen)

    def _take(self, path: str, relative: str) -> None:
        if not self.of_folders:
            self.rows.append((self.tree.url(path), relative, self.tree.version(path)))

    def _notes(self) -> Iterator[Note]:
        if self.hidden:
            text = f"{counted(len(self.hidden), 'hidden name')} left out: {first_of(sorted(self.hidden))}"
            yield Note(text, warns=False)
        for what, names in self._no_files().items():
            verb = "is" if len(names) == 1 else "are"
            yield Note(
                f"{counted(len(names), 'name')} {verb} {what}, and the file taken for missing: {first_of(names)}"
            )
        if self.litter:
            text = (
                f"{counted(len(self.litter), 'name')} of the operating system left out: {first_of(sorted(self.litter))}"
            )
            yield Note(text, warns=False)
        if self.closed:
            yield Note(f"{self._shut(self.closed)}; end the pattern with **/* to read what lies in them")
        if self.without_files:
            text = f"{counted(len(self.without_files), 'folder')} without files directly in them left out"
            yield Note(f"{text}: {first_of(sorted(self.without_files))}", warns=False)
        if self.beside:
            text = f"{self._shut(self.beside)}; a pattern with **/ reads what lies in them"
            yield Note(text, warns=any(map(self._is_linked, self.beside)))

    def _no_files(self) -> dict[str, list[str]]:
        """Names without a file behind them, by what they are."""
        found: dict[str, list[str]] = {}
        without = [row for row in self.rows if not row[2]] if isinstance(self.tree, LocalTree) else []
        for path, relative, _ in without:
            what = without_file(path.removeprefix("file://")) or "gone"
            found.setdefault(what, []).append(relative)
        return found

    def _shut(self, folders: Sequence[str]) -> str:
        n_linked = sum(map(self._is_linked, folders))
        are_links = f" ({n_linked} of them linked)" if n_linked else ""
        return f"{counted(len(folders), 'folder')}{are_links} not looked into: {first_of(sorted(folders))}"

    def _is_linked(self, name: str) -> bool:
        return isinstance(self.tree, LocalTree) and Path(f"{self.pattern.root}/{name}").is_symlink()

    def _instead(self) -> str:
        """What is there where nothing was found."""
        if self.closed:
            return f", {self._shut(self.closed)}; end the pattern with **/* to read what lies in them"
        if not isinstance(self.tree, LocalTree):
            return ""
        first = self.pattern.segments[0] if self.pattern.segments else ""
        return f": {what_is_there(self.pattern.root or '/', first)}"


@dataclass(frozen=True, slots=True)
class _Step:
    """What one rest of a pattern says of the names in a folder."""

    way: Segments
    spelled: bool
    """Whether a name there is spelled like the pattern, and therefore meant by it."""

    @staticmethod
    def of(way: Segments, names: Set[str]) -> _Step:
        if not way or way[0] == ANY_DEPTH or not is_pattern(way[0]) or way[0] not in names:
            return _Step(way, spelled=False)
        if has_fields(way[0]):
            raise ListingError(
                f"{way[0]!r} is the name of a file or folder, and as a pattern it has fields: for the name alone write "
                f"{escaped(way[0])!r}, for the fields rename it"
            )
        expression = matcher(way[0], len(way) == 1)
        others = [name for name in names if name != way[0] and expression.fullmatch(composed(name))]
        if others:
            raise ListingError(
                f"{way[0]!r} is the name of a file or folder, and as a pattern it stands for "
                f"{first_of(sorted(others))} too; for the name alone write {escaped(way[0])!r}, for the others "
                "rename it"
            )
        return _Step(way, spelled=True)

    def takes(self, name: str, is_folder: bool) -> bool:
        if not self.way:
            return True
        if self.way[0] == ANY_DEPTH:
            return is_folder
        if not is_folder and len(self.way) > 1:
            return False
        if self.spelled:
            return name == self.way[0]
        return matcher(self.way[0], len(self.way) == 1).fullmatch(composed(name)) is not None

    def rest(self) -> Segments | None:
        """What the pattern says of the names in a folder that was taken; None where it ends with the folder."""
        if not self.way or self.way[0] == ANY_DEPTH:
            return self.way
        names_it = self.spelled or not is_pattern(self.way[0])
        return self.way[1:] if len(self.way) > 1 or names_it else None


def _reachable(ways: set[Segments]) -> set[Segments]:
    """With those that remain where a ``**`` stands for no folder."""
    found = set(ways)
    for way in ways:
        while way and way[0] == ANY_DEPTH:
            way = way[1:]
            found.add(way)
    return found
