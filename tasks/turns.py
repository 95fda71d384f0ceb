"""Turns: the axes of an array put into the order and the direction of another's, without a change of any number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.geometry import AXES, Geometry, nearest_axes
from segscale.tasks.grids import Grid, Size, apart, same_spacing

CENTRES_ERROR = 0.05
"""Voxels by which the centres of two grids may lie apart and be the same."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A permutation of axes, and which of them are reversed then: one of 48."""

    axes: tuple[int, int, int] = (0, 1, 2)
    """Of the array: those that become D, H and W."""
    flips: tuple[bool, bool, bool] = (False, False, False)
    """Whether D, H and W are reversed then."""

    @property
    def is_none(self) -> bool:
        """Whether the array stays as it is."""
        return self == Turn()

    def applied(self, values: NDArray[Any]) -> NDArray[Any]:
        """An array (D, H, W, ...) turned, as a view; what stands behind the three axes stays."""
        turned = values.transpose(*self.axes, *range(3, values.ndim))
        return turned[tuple(slice(None, None, -1 if flip else None) for flip in self.flips)]

    def of_size(self, size: Size) -> Size:
        """The size of a turned array."""
        first, second, third = (size[axis] for axis in self.axes)
        return first, second, third

    def of_geometry(self, geometry: Geometry, size: Size) -> Geometry:
        """The geometry of a turned array whose size was `size`: each voxel stays where it is."""
        steps = geometry.steps
        origin, spacing, directions = np.array(geometry.origin), [], []
        for axis, flip in zip(self.axes, self.flips, strict=True):
            first, second, third = geometry.directions[axis]
            spacing.append(geometry.spacing[axis])
            directions.append((-first, -second, -third) if flip else (first, second, third))
            if flip:
                origin += (size[axis] - 1) * steps[axis]
        left, back, head = origin.tolist()
        return Geometry(
            (spacing[0], spacing[1], spacing[2]), (directions[0], directions[1], directions[2]), (left, back, head)
        )

    def __str__(self) -> str:
        """What is done, as the end of a sentence.

        >>> str(Turn((2, 1, 0), (True, False, False)))
        'axes W, H, D taken as D, H, W, then D reversed'
        """
        moved = f"axes {', '.join(AXES[axis] for axis in self.axes)} taken as D, H, W" if self.axes != (0, 1, 2) else ""
        against = [axis for axis, flip in zip(AXES, self.flips, strict=True) if flip]
        listed = " and ".join(part for part in (", ".join(against[:-1]), *against[-1:]) if part)
        flipped = f"{'then ' if moved else ''}{listed} reversed" if against else ""
        return ", ".join(part for part in (moved, flipped) if part) or "taken as it is"


def nearest_turn(reference: Grid, other: Grid) -> Turn:
    """The turn after which the axes of `other` run along those of the reference, as nearly as can be.

    Both have geometries. An axis of one voxel is never reversed, which would change nothing.
    """
    assert reference.geometry is not None
    assert other.geometry is not None
    cosines = np.array(reference.geometry.directions) @ np.array(other.geometry.directions).T
    axes = nearest_axes(cosines)
    first, second, third = (bool(cosines[row, axis] < 0 and other.size[axis] > 1) for row, axis in enumerate(axes))
    return Turn(axes, (first, second, third))


def turn_onto(reference: Grid, other: Grid) -> Turn | None:
    """How an array on `other` is brought into the stored order of the reference; None where the grids are not the same.

    They are the same where, after a turn, they have the same size, spacings within `SPACING_ERROR` and the centres of
    all voxels within `CENTRES_ERROR` along each axis. Both have geometries.
    """
    turn = nearest_turn(reference, other)
    assert reference.geometry is not None
    assert other.geometry is not None
    turned = turn.of_geometry(other.geometry, other.size)
    is_same = (
        turn.of_size(other.size) == reference.size
        and same_spacing(reference.geometry.spacing, turned.spacing)
        and apart(reference.size, reference.geometry, turned) <= CENTRES_ERROR
    )
    return turn if is_same else None
