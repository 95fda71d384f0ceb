"""Pairing: which reference and which prediction belong to an image, by what their names have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ListingError
from segscale.storage.affixes import Affixes, Match, matches
from segscale.storage.enumeration import SHOWN, counted, first_of
from segscale.storage.file_names import stem
from segscale.storage.folders_of_pairs import contradicting
from segscale.storage.left_over import LeftOver
from segscale.storage.listing import Note
from segscale.storage.no_pair import no_pair
from segscale.storage.patterns import all_composed, composed
from segscale.storage.role_files import Calls, RoleFiles


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
    naming: str = ""
    """How the files are called where that is not by their ids alone, as found: ``{id}_mask``, ``{id}/mask``."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """A row for each image, and what had no partner."""

    images: pd.DataFrame
    summary: RoleSummary
    naming: str = ""
    """Of the images themselves, as in their summary."""
    notes: tuple[Note, ...] = ()
    paths: tuple[str, ...] = ()
    """Of each image below its root; its partner's where it lies in no folder. "" where folders have no say."""


def pair(
    images: pd.DataFrame,
    partners: RoleFiles,
    of: str = "image",
    calls: Sequence[Calls] = (),
    paths: Sequence[str] = (),
) -> Pairing:
    """`images` with the URL and the version of each one's partner as columns, `role` and `role`_version.

    `images` has the column image_id, or may be called in the ways of `calls`, and the pairs decide: the id is then what
    their names have in common. `of` is what its rows are called, `paths` is where they lie, as Pairing has it. A
    missing partner has the URL and the version "". Fields of the partners become columns, None where the partner is
    missing.

    Names that are equal are a pair. Where none are, what all names of a side have before or behind the id is found
    from the names. Raises ListingError where no image has a partner, where names can be paired in two ways, where the
    folders of a pair by stems contradict each other, and where a field stands for another text than in the files
    before.
    """
    given = not calls
    agreed = _agreed(calls or [Calls("given", tuple(images["image_id"]))], partners, of)
    ids = images["image_id"].tolist() if given else agreed.ids
    if agreed.match.own and not given:
        _refuse_repeated(ids, partners, of)
    rows = images if given else images.assign(image_id=ids)[["image_id", *images]]
    role, places = partners.role, agreed.places
    theirs = _at(places, partners.paths)
    paths = paths or [""] * len(images)
    if agreed.by_stem:
        _refuse_contradicting(paths, theirs, partners)
    used = np.zeros(len(partners.files), dtype=bool)
    used[places[places >= 0]] = True
    padded = partners.files.reindex(places).fillna("").set_axis(rows.index)
    rows = pd.concat([rows, padded], axis=1)
    rows = _with_fields(rows, partners, places, of)
    unused = np.flatnonzero(~used)
    left_over = LeftOver(
        [ids[place] for place in np.flatnonzero(places < 0)],
        [agreed.theirs.names[place] for place in unused],
        # Of a million files it takes a second to know what they are called in messages.
        _at(unused, partners.shown) if unused.size else [],
    )
    notes = [*agreed.said(partners, of), *left_over.notes(partners, of), *_forms(agreed, partners, of)]
    n_absent, n_unused = len(left_over.absent), len(left_over.names)
    summary = RoleSummary(
        role, partners.source, len(rows) - n_absent, n_absent, tuple(left_over.absent[:SHOWN]), n_unused,
        tuple(left_over.files[:SHOWN]), _naming(agreed.theirs, agreed.match.other, partners.files[role]),
    )  # fmt: skip
    naming = "" if given else _naming(agreed.own, agreed.match.own, rows[of])
    paths = [path if "/" in path else other for path, other in zip(paths, theirs, strict=True)]
    return Pairing(rows, summary, naming, tuple(notes), tuple(paths))


@dataclass(frozen=True, slots=True)
class _Agreed:
    """How two sides are called, so that names meet."""

    own: Calls
    theirs: Calls
    match: Match
    places: Any
    """Of each name its partner's, or -1."""

    @property
    def by_stem(self) -> bool:
        """Whether nothing of the folders has a say."""
        kinds = {self.own.kind, self.theirs.kind}
        return "stem" in kinds and "folder" not in kinds

    @property
    def ids(self) -> list[str]:
        """What the names have in common."""
        affixes = self.match.own
        return affixes.cores(all_composed(self.own.names)) if affixes else list(self.own.names)

    def said(self, partners: RoleFiles, of: str) -> list[Note]:
        """How the names were read, where that is not as they are."""
        place = int(np.flatnonzero(self.places >= 0)[0])
        name, partner = self.own.names[place], self.theirs.names[self.places[place]]
        own, other = self.match.own, self.match.other
        notes = [
            Note(f"{what}s: called by their {calls.kind}s, such as {example}, as stems alone do not do", warns=False)
            for what, calls, example in ((of, self.own, name), (partners.role, self.theirs, partner))
            if calls.kind in ("folder", "path")
        ]
        left = own.core(composed(name))
        n_own, n_theirs = (len(calls.usual_of(calls.names)) for calls in (self.own, self.theirs))
        if own and other:
            text = (
                f"{partners.names}: {counted(n_theirs, 'name')} {other}, those of {of}s {own}; paired by "
                f"what is left, for example {partner} and {name} by {left}"
            )
        elif other:
            text = (
                f"{partners.names}: {counted(n_theirs, 'name')} {other}; {of}s are called as what is "
                f"left of them, for example {name} for {partner}"
            )
        else:
            text = (
                f"{of}s: {counted(n_own, 'name')} {own}; {partners.names} are called as what is left of "
                f"them, for example {partner} for {name}"
            )
        return [*notes, Note(text, warns=False)] if own or other else notes


def _agreed(ways: Sequence[Calls], partners: RoleFiles, of: str) -> _Agreed:
    for own, theirs in product(ways, partners.calls):
        names, others = all_composed(own.names), all_composed(theirs.names)
        places = _places(names, others, Match())
        n_paired = int((places >= 0).sum())
        by_stem = theirs.kind in ("id", "stem") and own.kind in ("id", "stem", "given")
        # By one stem, as ever; folders and paths are asked more, as it is not said that they are meant.
        if n_paired and (by_stem or 2 * n_paired >= min(len(names), len(others))):
            return _Agreed(own, theirs, Match(), places)
        found = [
            match
            for match in matches(own.usual_of(names), theirs.usual_of(others))
            # What {id} says is the id, whole.
            if not (match.own and own.kind == "id") and not (match.other and theirs.kind == "id")
        ]
        if found:
            places = [_places_of_usual(own, theirs, names, others, match) for match in found]
            _refuse_differing(own, theirs, found, places, partners)
            return _Agreed(own, theirs, found[0], places[0])
    raise ListingError(no_pair(ways[0], partners, of))


def _places(names: Sequence[str], others: Sequence[str], match: Match) -> Any:
    own, other = match.own, match.other
    return pd.Index(other.cores(others)).get_indexer(pd.Index(own.cores(names)))


def _places_of_usual(own: Calls, theirs: Calls, names: Sequence[str], others: Sequence[str], match: Match) -> Any:
    """The same, of files with a usual ending alone: no other has a partner."""
    mine, yours = (
        np.flatnonzero(calls.usual) if calls.usual else np.arange(len(calls.names)) for calls in (own, theirs)
    )
    found = _places(own.usual_of(names), theirs.usual_of(others), match)
    places = np.full(len(names), -1)
    places[mine[found >= 0]] = yours[found[found >= 0]]
    return places


def _refuse_differing(
    own: Calls, theirs: Calls, found: Sequence[Match], ways: Sequence[Any], partners: RoleFiles
) -> None:
    """Raise ListingError where the matches do not agree on the places of the partners."""
    first = ways[0]
    for places, match in zip(ways[1:], found[1:], strict=True):
        differing = np.flatnonzero(first != places)
        if not differing.size:
            continue
        place = int(differing[0])
        one, other = (theirs.names[at] if at >= 0 else "none" for at in (first[place], places[place]))
        raise ListingError(
            f"{partners.source}: the names can be paired in two ways: {own.names[place]} with {one} where "
            f"{_where(found[0], partners)}, or with {other} where {_where(match, partners)}; write the part that is "
            f"the id as {{id}}, for example {{id}}_mask.png, or name the pairs in a manifest"
        )


def _where(match: Match, partners: RoleFiles) -> str:
    said = [f"{partners.names} {match.other}"] * bool(match.other) + [f"the others {match.own}"] * bool(match.own)
    return " and ".join(said)


def _naming(calls: Calls, affixes: Affixes, urls: pd.Series) -> str:
    if calls.kind == "folder":
        return f"{affixes.named('{id}')}/{stem(urls.iloc[0])}"
    return affixes.named("{id}") if affixes else ""


def _at(places: Any, names: Sequence[str]) -> list[str]:
    """The name at each place; "" for -1."""
    return [names[place] if place >= 0 else "" for place in places.tolist()]


def _with_fields(rows: pd.DataFrame, partners: RoleFiles, places: Any, of: str) -> pd.DataFrame:
    """Raises ListingError where a field and a column of the same name disagree."""
    fields = partners.fields.reindex(places).set_axis(rows.index)
    for name in fields.columns:
        if name not in rows:
            rows[name] = fields[name]
            continue
        differing = (rows[name] != fields[name]) & rows[name].notna() & fields[name].notna()
        if differing.any():
            place = int(differing.to_numpy().argmax())
            raise ListingError(
                f"{partners.source}: {{{name}}} of {rows['image_id'].iloc[place]!r} is {fields[name].iloc[place]!r}, "
                f"and of the {of} it is {rows[name].iloc[place]!r}{_and_more(int(differing.sum()))}: expected the "
                "same; call one of the fields otherwise"
            )
        rows[name] = rows[name].fillna(fields[name])
    return rows


def _refuse_repeated(ids: Sequence[str], partners: RoleFiles, of: str) -> None:
    if len(set(ids)) < len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise ListingError(
            f"{partners.source}: two {of}s would be called {twice!r} by what their names have in common with those of "
            f"{partners.names}; name the files that are meant, for example with *.png, or the pairs in a manifest"
        )


def _refuse_contradicting(paths: Sequence[str], theirs: Sequence[str], partners: RoleFiles) -> None:
    """Raise ListingError for files that are paired by their stems and lie in folders of different names."""
    found = contradicting(paths, theirs)
    if found:
        path, other = found[0]
        raise ListingError(
            f"{partners.source}: {other} would be paired with {path} by its name alone, and their folders differ"
            f"{_and_more(len(found))}: expected folders called alike on both sides; rename them, or write a pattern "
            f"with {{id}} where the names alone decide, for example {partners.role}s/**/{{id}}.png, or name the pairs "
            "in a manifest"
        )


def _and_more(count: int) -> str:
    return f" (and {count - 1} more differ)" if count > 1 else ""


def _forms(agreed: _Agreed, partners: RoleFiles, of: str) -> list[Note]:
    """Partners that were found although their names are other bytes."""
    match, names = agreed.match, agreed.theirs.names
    if all(map(str.isascii, (*agreed.own.names, *names))):
        return []
    if match.own or match.other:
        pairs = [(composed(name) != name, composed(names[at]) != names[at], name)
                 for name, at in zip(agreed.own.names, agreed.places, strict=True) if at >= 0]  # fmt: skip
        other = [name for one, two, name in pairs if one != two]
    else:
        other = [names[at] for name, at in zip(agreed.own.names, agreed.places, strict=True)
                 if at >= 0 and name != names[at]]  # fmt: skip
    if not other:
        return []
    text = f"{counted(len(other), 'name')} in another Unicode form (NFC, NFD) than that of the {of}, taken for the same"
    return [Note(f"{partners.names}: {text}: {first_of(other)}", warns=False)]
