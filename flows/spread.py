"""Spread: the files of one role over many folders, such as one for each patient, told by what pairs of them share."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segscale.flows.roles import affixes, is_split, role_of
from segscale.storage.file_names import stem


@dataclass(frozen=True, slots=True)
class Spread:
    """Files of one role in several folders."""

    role: str
    pattern: str
    """Absolute: a folder that stands for all below it, or a pattern with a field for what differs."""
    why: str
    names: frozenset[str]
    """Of its files, as those of the other roles are called that belong to them."""
    folders: frozenset[str]
    """Where they lie."""
    repeated: tuple[str, ...] = ()
    """Two files that the pattern cannot tell apart."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A folder of files of one role."""

    root: str
    parts: tuple[str, ...]
    """Of its path below the root."""
    place: int
    """Which of them says the role, -1 for the name of the root."""
    role: str
    files: tuple[str, ...]

    @property
    def path(self) -> str:
        return "/".join((self.root, *self.parts))

    @property
    def ids(self) -> list[str]:
        return [_id(name) for name in self.files]


def spreads_in(files: Mapping[str, Iterable[tuple[str, tuple[str, ...]]]]) -> list[Spread]:
    """Spread roles below some roots, of which another role shares names; folders within one that is taken are left out.

    `files` has by root the paths of its folders with the names of the files in them.
    """
    held = [one for root, folders in files.items() for path, names in folders if (one := _held(root, path, names))]
    for found in (list(_whole(held)), list(_alike(held))):
        paired = [one for one in found if any(one.role != two.role and one.names & two.names for two in found)]
        outer = [one for one in paired if not any(one.folders < two.folders for two in paired)]
        if outer:
            return outer
    return []


def _held(root: str, path: str, names: tuple[str, ...]) -> _Held | None:
    """The folder and its role; None where its path says none, or its files say others."""
    parts = () if path == root else tuple(os.path.relpath(path, root).split("/"))
    place = next((place for place in reversed(range(len(parts))) if role_of(parts[place])), -1)
    role = role_of(parts[place] if place >= 0 else Path(root).name)
    said = {role_of("".join(affixes(name) or ())) for name in names} - {"", role}
    return None if not (names and role) or said else _Held(root, parts, place, role, names)


def _id(name: str) -> str:
    before, after = affixes(name) or ("", "")
    return stem(name).removeprefix(before).removesuffix(after)


def _whole(held: Sequence[_Held]) -> Iterator[Spread]:
    """Folders that stand for all below them: masks for masks/p0 and masks/p1."""
    groups: dict[tuple[str, str, int], list[_Held]] = defaultdict(list)
    for one in held:
        for depth in range(one.place + 1, len(one.parts) + 1):
            groups["/".join((one.root, *one.parts[:depth])), one.role, depth].append(one)
    for (path, role, depth), members in groups.items():
        if len(members) > 1:
            names = frozenset("/".join((*one.parts[depth:], name)) for one in members for name in one.ids)
            why = f"the folder is called {_called(members[0])}; it stands for the {len(members)} folders below it"
            yield Spread(role, glob.escape(path), why, names, frozenset(one.path for one in members))


def _alike(held: Sequence[_Held]) -> Iterator[Spread]:
    """Folders of one name in several others: data/p0/masks and data/p1/masks."""
    groups: dict[tuple[str, str, int, tuple[str, ...]], list[_Held]] = defaultdict(list)
    for one in held:
        if one.place > 0:
            groups[one.root, one.role, one.place, one.parts[one.place :]].append(one)
    for (root, role, place, _), members in groups.items():
        differing = [level for level in range(place) if len({one.parts[level] for one in members}) > 1]
        # What is trained with and what is tested with are two sets.
        if differing and not any(is_split(one.parts[level]) for one in members for level in differing):
            yield _of_fields(root, role, members, differing)


def _of_fields(root: str, role: str, members: Sequence[_Held], differing: Sequence[int]) -> Spread:
    """A pattern with a field for each level that differs; where each folder holds one and the same, that is the id."""
    files = {name for one in members for name in one.files}
    is_case = len(files) == 1 and len(differing) == 1
    parts = [glob.escape(part) for part in members[0].parts]
    for number, level in enumerate(differing, 1):
        parts[level] = "{id}" if is_case else "{folder}" if number == 1 else f"{{folder_{number}}}"
    last = glob.escape(next(iter(files))) if is_case else _pattern_of(files)
    above = [(one, "/".join(one.parts[level] for level in differing)) for one in members]
    seen: dict[str, str] = {}
    repeated: tuple[str, ...] = ()
    for one, _ in [] if is_case else above:
        for name, file in zip(one.ids, one.files, strict=True):
            path = "/".join((*one.parts, file))
            repeated = repeated or ((seen[name], path) if name in seen else ())
            seen[name] = path
    return Spread(
        role,
        "/".join((glob.escape(root), *parts, last)),
        f"{len(members)} folders hold one called {_called(members[0])}",
        frozenset(folder if is_case else f"{folder}/{name}" for one, folder in above for name in one.ids),
        frozenset(one.path for one in members),
        repeated,
    )


def _pattern_of(files: Iterable[str]) -> str:
    """{id}, what all names have before and behind it, and their ending."""
    around = {affixes(name) or ("", "") for name in files}
    before, after = around.pop() if len(around) == 1 else ("", "")
    endings = {name.removeprefix(stem(name)) for name in files}
    return f"{glob.escape(before)}{{id}}{glob.escape(after)}{endings.pop() if len(endings) == 1 else '.*'}"


def _called(one: _Held) -> str:
    return one.parts[one.place] if one.place >= 0 else Path(one.root).name
