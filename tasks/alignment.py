"""Alignment: what a file holds, brought into the order or the grid of the reference that it belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError
from segscale.tasks.fits import fit
from segscale.tasks.grids import Grid, Size
from segscale.tasks.readers import NO_CHOICE, Choice
from segscale.tasks.resampling import Meaning, Resampling, resampled, resampling
from segscale.tasks.turns import Turn


@dataclass(frozen=True, slots=True)
class Volumes:
    """How the files of a set are read that have a geometry."""

    choice: Choice = NO_CHOICE
    resample: bool = False
    """Whether a file on another grid than its reference is resampled into that; else it is refused."""


AS_THEY_ARE = Volumes()


@dataclass(frozen=True, slots=True)
class Alignment:
    """What is done to the values of a file."""

    turn: Turn
    resampling: Resampling | None
    """Of a file on another grid; then nothing is turned."""
    said: tuple[str, ...]
    """What was done or taken for granted: ends of sentences that begin with the file."""

    def source(self, size: Size) -> Size:
        """(D, H, W) of the values of the file, `size` being that of the reference."""
        if self.resampling is not None:
            return self.resampling.source
        sides = [0, 0, 0]
        for side, axis in zip(size, self.turn.axes, strict=True):
            sides[axis] = side
        depth, height, width = sides
        return depth, height, width

    def labels(self, values: NDArray[Any], background: int) -> NDArray[Any]:
        """Labels (D, H, W) in the grid of the reference; `background` where the file has no voxel."""
        if self.resampling is None:
            return self.turn.applied(values)
        return self.resampling.nearest(values, 0, self.resampling.size[0], background)

    def probabilities(self, values: NDArray[Any]) -> NDArray[Any]:
        """Probabilities (D, H, W) in the grid of the reference; 0 where the file has no voxel."""
        if self.resampling is None:
            return self.turn.applied(values)
        return self.resampling.linear(values, 0, self.resampling.size[0])

    def planes(
        self, values: NDArray[Any], top: int, bottom: int, outside: float, meant: Meaning | None = None
    ) -> NDArray[Any]:
        """Planes `top` to `bottom` of the grid of the reference, of pixels (D, H, W, C), in their type.

        What is resampled becomes the nearest number of that type; `outside` where the file has no voxel. meant: the
        pixels that the values stand for, float32, where it is not they themselves.
        """
        if self.resampling is None:
            planes = self.turn.applied(values)[top:bottom]
            return planes if meant is None else meant(planes)
        found = self.resampling.linear(values, top, bottom, outside, meant)
        if meant is not None:
            return found
        if values.dtype.kind == "f":
            return found.astype(values.dtype, copy=False)
        limits = np.iinfo(values.dtype)
        return np.clip(np.rint(found.astype(np.float64)), limits.min, limits.max).astype(values.dtype)


def aligned(reference: Grid, other: Grid, name: str, may_resample: bool, is_linear: bool) -> Alignment:
    """How the file `name` on the grid `other` comes to lie on the grid of its reference.

    Raises DataError where they are not the same and nothing may be resampled.
    """
    try:
        fitted = fit(reference, other, name)
    except DataError:
        if not may_resample or reference.geometry is None or other.geometry is None:
            raise
        way = resampling(reference, other, name)
        return Alignment(Turn(), way, resampled(way.n_outside() > 0, is_linear))
    return Alignment(fitted.turn, None, fitted.said)


Said = Counter[tuple[str, str]]
"""How often what was said of files, by their role and the end of a sentence."""


def said_facts(said: Said) -> dict[str, Any]:
    """The same as an entry of a commit record; none where nothing was said."""
    return {"said": [[*one, count] for one, count in sorted(said.items())]} if said else {}


def said_in(facts: Mapping[str, Any]) -> Said:
    """What had to be said of the files of a committed shard, from the facts of its record."""
    return Counter({(role, sentence): count for role, sentence, count in facts.get("said", ())})


def sentences(said: Mapping[tuple[str, str], int]) -> tuple[str, ...]:
    """What was said of the files of a set, by role and end of a sentence, with how many it was said of.

    >>> sentences({("prediction", "has no geometry: taken by its shape"): 12})
    ('12 predictions have no geometry: taken by their shape',)
    >>> sentences({("mask", "resampled into the grid of its reference"): 1})
    ('1 mask: resampled into the grid of its reference',)
    """
    return tuple(_sentence(role, end, count) for (role, end), count in sorted(said.items()))


_OF_MANY = {"has": "have", "is": "are", "does": "do"}
"""Verbs with which the ends of sentences begin; others follow a colon."""


def _sentence(role: str, end: str, count: int) -> str:
    verb = end.split(" ", 1)[0]
    link = " " if verb in _OF_MANY else ": "
    if count == 1:
        return f"1 {role}{link}{end}"
    rest = end.removeprefix(verb).replace(" its reference", " their references").replace(" its ", " their ")
    return f"{count} {role}s{link}{_OF_MANY.get(verb, verb)}{rest.replace(' look at it ', ' look at them ')}"
