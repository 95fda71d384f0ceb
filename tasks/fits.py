"""Fits: whether a file lies on the grid of its reference, what is done so that it does, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from segscale.errors import DataError
from segscale.tasks.axes import by
from segscale.tasks.geometry import AXES
from segscale.tasks.grids import (
    SPACING_ERROR,
    VISIBLE_DEGREES,
    Grid,
    Size,
    apart,
    described,
    largest_angle,
    same_spacing,
    shown_spacing,
)
from segscale.tasks.turns import CENTRES_ERROR, Turn, nearest_turn, turn_onto


@dataclass(frozen=True, slots=True)
class Fit:
    """How the array of a file comes to lie on the grid of its reference."""

    turn: Turn
    said: tuple[str, ...] = ()
    """What was done or taken for granted: ends of sentences that begin with the file, equal where the same was done."""


def fit(reference: Grid, other: Grid, name: str) -> Fit:
    """The fit of the file `name` with the grid `other`.

    By the geometries where both have one; else by the size alone, which is said. Raises DataError, with both grids in
    words, where they are not the same.
    """
    if reference.geometry is None or other.geometry is None:
        return _by_shape(reference, other, name)
    turn = turn_onto(reference, other)
    if turn is None:
        raise DataError(
            f"{name}: lies on another grid than its reference: {described(other)}; the reference has "
            f"{described(reference)}: {differences(reference, other)}. Expected the same voxel centres (spacing within "
            f"{SPACING_ERROR:.1%}, centres within {CENTRES_ERROR:g} voxel), the axes in any order: resample it, or set "
            "dataset.resample = true"
        )
    return Fit(turn, () if turn.is_none else (f"turned by its geometry into the order of its reference: {turn}",))


def _by_shape(reference: Grid, other: Grid, name: str) -> Fit:
    if other.size != reference.size:
        raise DataError(f"{name}: {_other_size(reference, other)}")
    expected, found = reference.spacing, other.spacing
    if expected and found and not same_spacing(expected, found):
        raise DataError(
            f"{name}: its voxels are {shown_spacing(found)} apart along D, H and W, those of its reference "
            f"{shown_spacing(expected)}; expected the same within {SPACING_ERROR:.1%}: save it again with the geometry "
            "of its reference"
        )
    if reference.geometry is None and other.geometry is None:
        return Fit(Turn())  # pictures: they have no other place than that in their array
    lacking = "has no geometry" if other.geometry is None else "has a geometry, and its reference has none"
    taken = f"{lacking}: taken by its shape, its axes in the order and the direction of its reference"
    untold = equal_sides(reference.size)
    return Fit(Turn(), (taken, untold) if untold else (taken,))


def equal_sides(size: Size) -> str:
    """The end of a sentence where the shape of an array does not tell all of its axes apart; else "".

    >>> equal_sides((4, 40, 40))
    'is as long along H as along W, so that its shape does not tell these axes apart: look at it in a viewer'
    """
    equal = sorted({axis for pair in combinations(range(3), 2) if 1 < size[pair[0]] == size[pair[1]] for axis in pair})
    if not equal:
        return ""
    first, *others = (AXES[axis] for axis in equal)
    return (
        f"is as long along {first} as along {' and '.join(others)}, so that its shape does not tell these axes apart: "
        "look at it in a viewer"
    )


def _other_size(reference: Grid, other: Grid) -> str:
    expected = f"expected the size of its reference {by(reference.size)} (D, H, W), got {by(other.size)}"
    if sorted(other.size) != sorted(reference.size):
        return expected
    lacking = "it" if other.geometry is None else "its reference"
    return (
        f"{expected}: the same sides in another order, and {lacking} has no geometry that says which axis is which; "
        "save it with the slowest axis first, as numpy reads its reference, or in a format with a geometry"
    )


def differences(reference: Grid, other: Grid) -> str:
    """What differs between two grids with geometries, the axes of `other` turned as it goes best; "" for nothing."""
    assert reference.geometry is not None
    assert other.geometry is not None
    turn = nearest_turn(reference, other)
    size, turned = turn.of_size(other.size), turn.of_geometry(other.geometry, other.size)
    sides = zip(AXES, reference.size, size, strict=True)
    found = [
        f"{_voxels(side)} along the reference's {axis} where it has {has}" for axis, has, side in sides if side != has
    ]
    if not same_spacing(reference.geometry.spacing, turned.spacing):
        expected = shown_spacing(reference.geometry.spacing)
        found.append(f"spacing {shown_spacing(turned.spacing)} along the reference's axes where it has {expected}")
    degrees = largest_angle(np.sum(np.multiply(reference.geometry.directions, turned.directions), axis=1))
    if degrees > VISIBLE_DEGREES:
        found.append(f"turned against it by {degrees:.3g} degrees")
    # Where the sizes differ, it may have been cut out: its first voxel tells from where.
    is_cut = size != reference.size
    distance = apart((1, 1, 1) if is_cut else size, reference.geometry, turned)
    if distance > CENTRES_ERROR:
        found.append(f"{'first voxels' if is_cut else 'centres up to'} {_voxels(distance)} apart")
    return ", ".join(found)


def _voxels(number: float) -> str:
    shown = f"{number:.3g}" if isinstance(number, float) else str(number)
    return f"{shown} voxel{'' if shown == '1' else 's'}"
