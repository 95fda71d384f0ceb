"""Places of NRRD: which of its axes are D, H and W, and where they lie in the patient."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Geometry, from_steps
from segscale.tasks.readers.nrrd_header import NrrdHeader, floats

Spacing = tuple[float, float, float]

_SPACES: Final = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
"""What turns the coordinates of a space into those to the left, back and head."""
_MILLIMETRES: Final = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
_PLACES = ("domain", "space")
_COLOURS = ("rgb-color", "3-color")
_VECTOR = re.compile(r"none|\([^()]*\)")


@dataclass(frozen=True, slots=True)
class NrrdPlace:
    """How the axes of an NRRD become (D, H, W, C), and where they lie."""

    shape: tuple[int, int, int, int]
    geometry: Geometry | None
    spacing_mm: Spacing | None
    notes: tuple[str, ...]


def place_of(header: NrrdHeader, name: str) -> NrrdPlace:
    """The place of what a header describes.

    Axes of length 1 that are not of space are dropped, with a note; colours along the fastest axis are channels; lists,
    vectors and layers of segments raise UnreadableImage, and so does more that no grid can be.
    """
    vectors = _vectors(header, name)
    axes, notes = _axes_of_space(header, vectors, name)
    is_colour = 0 not in axes and header.sides[0] == 3
    sides = [header.sides[axis] for axis in axes]
    width, height, depth = (*sides, 1)[:3]
    shape = depth, height, width, 3 if is_colour else 1
    if len(axes) == 2:
        return NrrdPlace(shape, None, None, (*notes, "a flat image: where it lies in the patient is not read"))
    signs = _SPACES.get(header.fields.get("space", "").lower())
    steps = [vectors[axis] for axis in reversed(axes)] if vectors else []
    if signs and steps and "spaceorigin" in header.fields:
        origin = _vector(header.fields["spaceorigin"], "space origin", name)
        if any(len(vector) != 3 for vector in (*steps, origin)):
            raise UnreadableImage(f"{name}: its space directions and origin have two numbers each; expected three")
        scale = _units(header.fields.get("spaceunits"), name)
        turned = [_turned(step, signs, scale) for step in steps]
        geometry = from_steps(turned, _turned(origin, signs, scale), name)
        return NrrdPlace(shape, geometry, geometry.spacing, tuple(notes))
    spacing, said = _spacing_alone(header, steps, axes, name)
    return NrrdPlace(shape, None, spacing, (*notes, *said))


def _vectors(header: NrrdHeader, name: str) -> list[list[float]]:
    """The steps along each axis, an empty one where the axis is not of space; nothing where no steps are given."""
    text = header.fields.get("spacedirections")
    if text is None:
        return []
    words = _VECTOR.findall(text)
    if len(words) != len(header.sides) or _VECTOR.sub("", text).strip():
        raise UnreadableImage(
            f"{name}: its space directions are {text[:200]!r}; expected a vector, or none, for each of its "
            f"{len(header.sides)} axes"
        )
    return [[] if word == "none" else _vector(word, "space directions", name) for word in words]


def _vector(text: str, what: str, name: str) -> list[float]:
    found = floats(text.strip().strip("()").replace(",", " "), what, name)
    if len(found) not in (2, 3):  # two in the plane of a flat image
        raise UnreadableImage(f"{name}: its field {what!r} holds {text[:100]!r}; expected three numbers in parentheses")
    return found


def _axes_of_space(header: NrrdHeader, vectors: list[list[float]], name: str) -> tuple[list[int], list[str]]:
    """The axes of space, fastest first, and a note for those of length 1 that are none."""
    count = len(header.sides)
    kinds = header.fields.get("kinds", "").lower().split() or ["???"] * count
    if len(kinds) != count:
        raise UnreadableImage(f"{name}: its kinds are {' '.join(kinds)[:100]!r}; expected one for each of {count} axes")
    if vectors:
        is_place = [bool(vector) for vector in vectors]
    elif "???" in kinds or "none" in kinds:
        is_place = [axis < 3 for axis in range(count)]  # of a file that says nothing: those behind must be 1 long
    else:
        is_place = [kind in _PLACES for kind in kinds]
    notes = []
    for axis in range(count):
        if is_place[axis] or (axis == 0 and header.sides[0] == 3 and kinds[0] in _COLOURS):
            continue
        if header.sides[axis] > 1:
            raise UnreadableImage(
                f"{name}: {' x '.join(map(str, header.sides))} numbers, of which axis {axis} (from 0) is none of space "
                f"(kind {kinds[axis][:100]!r}); expected one number a voxel: layers of segments, vectors and series "
                "are saved as a file for each"
            )
        notes.append(f"axis {axis} (from 0) of length 1, none of space, is dropped")
    axes = [axis for axis in range(count) if is_place[axis]]
    if len(axes) not in (2, 3):
        raise UnreadableImage(f"{name}: {len(axes)} axes of space; expected 2 or 3")
    return axes, notes


def _spacing_alone(
    header: NrrdHeader, steps: list[list[float]], axes: list[int], name: str
) -> tuple[Spacing | None, list[str]]:
    """The spacing along D, H and W of a file that does not say where it lies, and what has to be said of it."""
    note = f"no place in the patient ({_why_no_place(header)})"
    text = header.fields.get("spacings")
    if steps:
        lengths = [math.hypot(*step) * _units(header.fields.get("spaceunits"), name) for step in steps]
    elif text is not None:
        given = floats(text, "spacings", name)
        if len(given) != len(header.sides):
            raise UnreadableImage(f"{name}: its spacings are {text[:100]!r}; expected one for each axis")
        units = re.findall(r'"([^"]*)"', header.fields.get("units", ""))
        scales = [_units(unit, name) for unit in units] if len(units) == len(given) else [1.0] * len(given)
        lengths = [given[axis] * scales[axis] for axis in reversed(axes)]
        if not any(units):
            note += "; its spacings have no unit: millimetres are assumed"
        if all(map(math.isnan, lengths)):  # how the format says that it does not know
            return None, [f"{note}; no spacing"]
    else:
        return None, [f"{note}; no spacing"]
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        raise UnreadableImage(
            f"{name}: its spacings along D, H and W are {' '.join(f'{length:g}' for length in lengths)}; expected "
            "millimetres above 0"
        )
    depth, height, width = lengths
    return (depth, height, width), [note]


def _why_no_place(header: NrrdHeader) -> str:
    space = header.fields.get("space")
    if space is not None and space.lower() not in _SPACES:
        return f"its space is {space[:100]!r}"
    needed = "space", "space directions", "space origin"
    return f"its header lacks {' and '.join(field for field in needed if field.replace(' ', '') not in header.fields)}"


def _units(text: str | None, name: str) -> float:
    """Millimetres of a unit, or of the one unit for all axes in quotes; those of patients are in mm without one."""
    words = set(re.findall(r"[^\s\"]+", text or ""))
    if not words:
        return 1.0
    word = words.pop()
    if words or word.lower() not in _MILLIMETRES:
        raise UnreadableImage(
            f"{name}: its units of length are {(text or '')[:100]!r}; expected one of {', '.join(_MILLIMETRES)}"
        )
    return _MILLIMETRES[word.lower()]


def _turned(vector: list[float], signs: tuple[int, int, int], scale: float) -> list[float]:
    return [number * sign * scale for number, sign in zip(vector, signs, strict=True)]
