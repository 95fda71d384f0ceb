"""Label guess: what the values of label maps probably are, for a configuration that is only proposed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from segscale.errors import DataError
from segscale.flows.config.written import Key
from segscale.storage.enumeration import counted
from segscale.tasks.labels import FULL_8_BITS
from segscale.tasks.readers import read_label_map, stores_floats

MOST_CLASSES = 20
"""More values are objects, or grey values."""
MOST_OBJECTS_OF_DOUBT = 8
"""Up to so many values that differ from file to file may be either."""
FOREGROUND = ["background", "foreground"]


@dataclass(frozen=True, slots=True)
class LabelValues:
    """The values of a label map but 0, and how much of it they cover."""

    name: str
    n_of_value: tuple[tuple[int, int], ...]
    """(value, pixels), the smallest value first."""

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(value for value, _ in self.n_of_value)

    @property
    def is_counted_up(self) -> bool:
        """Whether they are 1, 2, 3, ... as numbers of objects are."""
        return self.values == tuple(range(1, len(self.values) + 1))


def values_of(data: bytes, name: str) -> LabelValues | None:
    """What a file of labels holds; None for floats, and for what is no label map."""
    try:
        if stores_floats(data, name):
            return None
        values, counts = np.unique(read_label_map(data, name), return_counts=True)
    except DataError:
        return None
    held = [(int(value), int(count)) for value, count in zip(values, counts, strict=True) if value]
    return LabelValues(name, tuple(held))


def label_keys(references: Sequence[LabelValues]) -> list[Key]:
    """Keys of [dataset] that say what the values of references mean; open ones where two readings are possible."""
    held = sorted({value for one in references for value in one.values})
    seen = f"{counted(len(references), 'reference')} looked at hold {_shown([0, *held])}"
    if len(held) < 2:
        return [_key("classes", FOREGROUND, f"{seen}; the background first")]
    if _is_grey(references):
        return _either(len(held), f"{seen}: a mask that was interpolated or saved with loss? Then save it anew")
    odd = held[0] if held[0] < 0 else held[-1]
    others = [value for value in held if value != odd]
    if odd < 0 or (odd == FULL_8_BITS and others == list(range(1, len(held)))):
        return [
            _key("classes", _names(len(others)), f"{seen}: name the classes, and say below what {odd} is"),
            _key("ignore_label", odd, f"if {odd} is not to be counted", is_open=True),
            _key("label_values", [0, *others, odd], "if it is a class of its own, named in classes", is_open=True),
        ]
    if len(held) > MOST_CLASSES or _vary_as_numbers(references, held):
        if len(held) <= MOST_OBJECTS_OF_DOUBT:
            return _either(len(held), f"{seen}, not all of them in most files: classes, or numbers of objects? Decide")
        return [
            _key("classes", FOREGROUND, "the background first"),
            _key("foreground", "any", f"{seen}, as numbers of objects: every value but 0 is foreground"),
        ]
    keys = [_key("classes", _names(len(held)), f"{seen}; give them their names, the background first")]
    if held != list(range(1, len(held) + 1)):
        keys.append(_key("label_values", [0, *held], "the value of each class"))
    return keys


def _either(n_values: int, why: str) -> list[Key]:
    return [
        _key("classes", _names(n_values), why, is_open=True),
        _key("foreground", "any", "of numbers of objects: every value but 0 is foreground", is_open=True),
    ]


def _vary_as_numbers(references: Sequence[LabelValues], held: Sequence[int]) -> bool:
    """Whether files count up from 1, each as far as it has objects, and few of them to the end."""
    sets = [one.values for one in references if one.values]
    return all(one.is_counted_up for one in references) and sets.count(tuple(held)) < len(sets) / 2


def _is_grey(references: Iterable[LabelValues]) -> bool:
    """Whether most of the foreground of some file is of its largest value and many others are rare."""
    for one in references:
        total = sum(count for _, count in one.n_of_value)
        if len(one.n_of_value) > 8 and one.n_of_value[-1][1] > total / 2 and not one.is_counted_up:
            return True
    return False


def _names(n_foreground: int) -> list[str]:
    return ["background", *(f"class_{number}" for number in range(1, n_foreground + 1))]


def _shown(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")


def _key(name: str, value: object, why: str, *, is_open: bool = False) -> Key:
    return Key("dataset", name, value, why, is_open)
