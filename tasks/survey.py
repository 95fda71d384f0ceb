"""Survey: some files of a data set, looked at before anything starts, tell what the files of the set are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from segscale.errors import ConfigError, DataError
from segscale.tasks.labels import is_full_scale, two_values_expected
from segscale.tasks.prediction_file import Kind
from segscale.tasks.readers import (
    NO_CHOICE,
    Choice,
    are_whole,
    read_header,
    read_labels,
    read_picture,
    read_probabilities,
    read_stated_maximum,
    stores_floats,
)
from segscale.tasks.readers.pieces import pieces

CODE_VERSION = 2
"""Raised when equal files may be judged differently than before."""
DARK = 1 / 16
"""Share of full scale below which a whole set is suspected to have fewer bits than its files claim: 12 of 16."""
_KEPT = 16
"""Different values of a file that are kept; more say nothing else."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a file of labels or of probabilities holds."""

    name: str
    """What messages call it, with its role."""
    labels: tuple[int, ...]
    """Of whole numbers: without 0, the smallest first, `_KEPT` of them at most."""
    zero: bool
    """Whether 0 is among them."""
    full_scale: frozenset[int]
    """Those of them that say "yes" in their type as 1 does."""
    floats: bool = False
    whole: bool = True
    """Whether all are whole numbers (NaN aside), so that they can be labels."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the files of a set are read: as configured, and where nothing was, as files of the set told."""

    label_values: tuple[int, ...] = ()
    """Of the classes in the references; of two classes for which none were configured: 0 and the other value of the
    set, or empty where that is 1 or full scale."""
    labels_found: bool = False
    """Whether the files told that."""
    kind: Kind = "floats"
    """Which predictions are probabilities."""
    kind_found: bool = False
    highest_share: float = 1.0
    """The largest pixel of the images looked at, as a share of full scale; 1 where it was not looked for."""
    turned: str = ""
    """What is to be said of files that are turned before they are shown; found when they were read."""
    placed: tuple[str, ...] = ()
    """What was done or taken for granted of where volumes lie, a sentence each; found likewise."""

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """The reading whose `asdict` was kept as JSON."""
        placed = tuple(facts.get("placed", ()))
        return cls(**{**facts, "label_values": tuple(facts["label_values"]), "placed": placed})


def look_at_labels(data: bytes, name: str, choice: Choice = NO_CHOICE) -> Seen | None:
    """What a reference or a prediction holds; None where it cannot be read, which is its image's affair."""
    try:
        if not stores_floats(data, name, choice):
            labels = read_labels(data, name, choice=choice).values
            return _seen(_held(labels), labels.dtype, name)
        values = read_probabilities(data, name, choice).values
    except DataError:
        return None
    held = _held_by_whole(values)
    seen = _seen({0} if held is None else held, np.dtype(np.int32), name)
    return replace(seen, floats=True, whole=held is not None)


def _held_by_whole(values: npt.NDArray[Any]) -> set[int] | None:
    """Which values are there beside NaN; None where one is no whole number."""
    held: set[int] = set()
    for piece in pieces(values):
        known = piece[~np.isnan(piece)]
        if not are_whole(known).all():
            return None
        held |= _held(known.astype(np.int32))
    return held


def look_at_type(data: bytes, name: str, choice: Choice = NO_CHOICE) -> Seen | None:
    """The same, but of integers nothing more than that they are none of floats: no pixel of them is decoded."""
    try:
        if not stores_floats(data, name, choice):
            return Seen(name, (), zero=False, full_scale=frozenset())
    except DataError:
        return None
    return look_at_labels(data, name, choice)


def look_at_image(data: bytes, name: str, full_scale: float = 0.0, choice: Choice = NO_CHOICE) -> float | None:
    """The largest pixel of an image of integers as a share of full scale; None for floats and what cannot be read.

    Full scale is as given, as the file states it, or that of its type. Floats are not decoded.
    """
    try:
        if np.dtype(read_header(data, name, choice).dtype).kind not in "iu":
            return None
        picture, stated = read_picture(data, name, choice), read_stated_maximum(data, name)
    except DataError:
        return None
    # Of a type with a sign, all of it: 12 bits are as few in int16 as in uint16.
    of_type = 2 * picture.full_scale + 1 if picture.pixels.dtype.kind == "i" else picture.full_scale
    return float(picture.pixels.max()) / (full_scale or max(stated, 0) or of_type)


def _held(values: npt.NDArray[Any]) -> set[int]:
    """Which values are there."""
    found: set[int] = set()
    for piece in pieces(values):
        is_bytes = piece.dtype == np.uint8
        held = np.flatnonzero(np.bincount(piece, minlength=256)) if is_bytes else np.unique(piece)
        found.update(map(int, held.tolist()))
    return found


def _seen(held: Collection[int], dtype: np.dtype[Any], name: str) -> Seen:
    other = sorted(value for value in held if value)
    full_scale = frozenset(value for value in other if is_full_scale(value, dtype))
    return Seen(name, tuple(other[:_KEPT]), 0 in held, full_scale)


def kind_of(predictions: Iterable[Seen]) -> Kind:
    """Whether files of floats are probabilities or labels: labels where one of them holds whole numbers above 1.

    Raises ConfigError where others of them hold fractions.
    """
    floats = [one for one in predictions if one.floats]
    whole = [one for one in floats if one.whole and max(one.labels, default=0) > 1]
    fractions = [one for one in floats if not one.whole]
    if whole and fractions:
        raise ConfigError(
            f"predictions.kind: {whole[0].name} holds whole numbers up to {max(whole[0].labels)}, as label maps do, "
            f"and {fractions[0].name} fractions, as probabilities do; say which they are: "
            'predictions.kind = "labels" or "probabilities"'
        )
    return "labels" if whole else "floats"


def _values(one: Seen, files: Iterable[Seen], ignored: int | None) -> tuple[set[int], set[int]]:
    """The counted values of a file, and of all files together."""
    of_file = {file: {*file.labels, *([0] if file.zero else [])} - {ignored} for file in (one, *files)}
    return of_file[one], set[int]().union(*of_file.values())


def two_values_of(files: Sequence[Seen], ignored: int | None) -> tuple[int, ...]:
    """The label values of two classes that nobody gave values, from what files hold: () for 0 and 1, or full scale.

    Raises ConfigError for more than two values, naming them, and what they may be.
    """
    first: dict[int, Seen] = {}
    scaled = True
    for one in files:
        counted = [value for value in one.labels if value != ignored]
        scaled = scaled and one.full_scale.issuperset(counted)
        if len(counted) > 1:
            raise ConfigError(f"dataset.label_values: {one.name}: {two_values_expected(*_values(one, files, ignored))}")
        first |= {value: first.get(value, one) for value in counted}
    if scaled:
        return ()
    if len(first) == 1 and min(first) > 0:
        return (0, min(first))
    where = ", ".join(f"{one.name} has {value}" for value, one in sorted(first.items())[:4])
    apart = len({one.name.split()[0] for one in first.values()}) > 1
    own = "; or predictions have values of their own (predictions.label_values)" if apart else ""
    raise ConfigError(f"dataset.label_values: {where}: {two_values_expected((0, *first))}{own}")
