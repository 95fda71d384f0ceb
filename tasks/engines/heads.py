"""Heads: which outputs of a deeply supervised network are computed, and what is reported of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segscale.errors import ArgumentError

Level = int | Literal["all"]
"""A pruned level, or every head in one pass."""

ENSEMBLE = "ensemble"
"""Name of the mean of several heads."""

_HEAD_NAME = re.compile(r"head_(\d+)")


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """Outputs of a network, and what becomes of them."""

    computed: tuple[str, ...]
    """Outputs that the network is pruned to, shallowest first."""
    reported: tuple[str, ...]
    """What lies along the first axis of the probabilities: computed outputs, the mean of all of them, or both."""

    @property
    def averaged(self) -> bool:
        """Whether the mean of the computed outputs is reported, last or alone."""
        return self.reported != self.computed


def choose_heads(output_names: Sequence[str], level: Level, ensemble: bool) -> HeadChoice:
    """What `level` and `ensemble` ask of a model with these outputs.

    A level N is head N alone, with `ensemble` the mean of heads 1 to N; "all" is every head, with `ensemble` followed
    by their mean. Outputs that are not called head_1, head_2, ... have no levels: all are computed, whatever `level`
    is. Raises ValueError for a level that is not there.

    >>> choose_heads(["head_1", "head_2"], 2, ensemble=False)
    HeadChoice(computed=('head_2',), reported=('head_2',))
    >>> choose_heads(["head_1", "head_2"], "all", ensemble=True).reported
    ('head_1', 'head_2', 'ensemble')
    """
    numbers = _head_numbers(output_names)
    if not numbers:
        names = tuple(output_names)
    elif level == "all":
        names = tuple(numbers)
    elif level not in numbers.values():
        raise ArgumentError(f"level {level} is not there: the model has the outputs {', '.join(numbers)}")
    else:
        names = tuple(name for name, number in numbers.items() if number <= level)
        if not ensemble:
            names = names[-1:]
    if not ensemble:
        return HeadChoice(names, names)
    return HeadChoice(names, (*names, ENSEMBLE) if level == "all" else (ENSEMBLE,))


def head_levels(output_names: Sequence[str]) -> tuple[int, ...]:
    """The levels of outputs that are all called head_1, head_2, ..., ascending; none of others.

    >>> head_levels(["head_2", "head_1"]), head_levels(["mask"])
    ((1, 2), ())
    """
    return tuple(_head_numbers(output_names).values())


def _head_numbers(output_names: Sequence[str]) -> dict[str, int]:
    """The number of every head, ascending; empty where an output is called otherwise."""
    matches = [_HEAD_NAME.fullmatch(name) for name in output_names]
    heads = {match[0]: int(match[1]) for match in matches if match}
    return dict(sorted(heads.items(), key=lambda head: head[1])) if len(heads) == len(output_names) else {}
