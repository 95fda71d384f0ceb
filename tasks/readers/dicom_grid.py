"""Grids of DICOM planes: a volume's voxels where positions are even, and a sentence with the positions where not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Geometry
from segscale.tasks.readers.dicom_planes import Plane
from segscale.tasks.readers.dicom_words import millimetres, some_of

TOLERANCE: Final = 0.05
"""How far a voxel's centre may lie from where the grid has it, in voxels."""
_ANGLE: Final = 1e-3
_SPACING: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Stack:
    """Planes put in their places along D."""

    geometry: Geometry
    depth: int
    place: tuple[int, ...]
    """Index along D of each plane, in the order given."""
    notes: tuple[str, ...]


def stack_slices(planes: Sequence[Plane], name: str) -> Stack:
    """A volume with a plane in each place, ordered along the normal; UnreadableImage for missing and doubled ones."""
    heights = _heights(planes, name)
    order = np.argsort(heights, kind="stable")
    ordered = heights[order]
    notes: tuple[str, ...] = ()
    if len(planes) == 1:
        gap, notes = _gap_of_one(planes[0], name)
    else:
        _check_even(ordered, name)
        gap = float(ordered[-1] - ordered[0]) / (len(planes) - 1)
    geometry = _geometry(planes[int(order[0])], gap)
    place = np.empty(len(planes), int)
    place[order] = np.arange(len(planes))
    _check_upright(planes, place, geometry, name)
    return Stack(geometry, len(planes), tuple(place.tolist()), notes)


def stack_frames(planes: Sequence[Plane], name: str) -> Stack:
    """The smallest grid that holds planes of which several may share a place and places may be empty."""
    heights = _heights(planes, name)
    lowest = float(heights.min())
    same_place = TOLERANCE * min(planes[0].spacing)
    if float(np.ptp(heights)) <= same_place:
        gap, notes = _gap_of_one(planes[0], name)
    else:
        gap, notes = _common_gap(planes[0].gap, heights, same_place, name)
    place = np.rint((heights - lowest) / gap).astype(np.int64)
    geometry = _geometry(planes[int(np.argmin(heights))], gap)
    _check_upright(planes, place, geometry, name)
    return Stack(geometry, int(place.max()) + 1, tuple(place.tolist()), notes)


def _geometry(first: Plane, gap: float) -> Geometry:
    return Geometry((gap, *first.spacing), (first.normal, first.down, first.across), first.position)


def _heights(planes: Sequence[Plane], name: str) -> NDArray[np.float64]:
    """Millimetres along the common normal of parallel planes."""
    check_parallel(planes, name)
    heights: NDArray[np.float64] = np.array([plane.position for plane in planes]) @ np.array(planes[0].normal)
    return heights


def check_parallel(planes: Sequence[Plane], name: str) -> None:
    """Raise UnreadableImage unless planes differ in nothing but position."""
    first = planes[0]
    for plane in planes:
        turned = np.abs(np.subtract((plane.down, plane.across), (first.down, first.across))).max()
        if turned > _ANGLE:
            raise UnreadableImage(
                f"{name}: slices of two orientations, {millimetres(first.across + first.down)} and "
                f"{millimetres(plane.across + plane.down)} (a localizer among them?); expected parallel slices"
            )
        if max(abs(a / b - 1) for a, b in zip(plane.spacing, first.spacing, strict=True)) > _SPACING:
            raise UnreadableImage(
                f"{name}: slices of two spacings, {millimetres(first.spacing)} and {millimetres(plane.spacing)} mm; "
                "expected one series"
            )


def _check_even(heights: NDArray[np.float64], name: str) -> None:
    gaps = np.diff(heights)
    gap = float(np.median(gaps))
    doubled = np.flatnonzero(gaps <= TOLERANCE * max(gap, _SPACING))
    positions = f"positions along the normal: {some_of(heights.tolist())} mm"
    if doubled.size:
        at = float(heights[doubled[0]])
        raise UnreadableImage(
            f"{name}: {doubled.size} slices lie where another does, for example two at {at:.6g} mm (a doubled slice, "
            f"or several times or echoes in one series); expected one slice for each place; {positions}"
        )
    even = heights[0] + np.arange(len(heights)) * (heights[-1] - heights[0]) / (len(heights) - 1)
    if np.abs(heights - even).max() <= TOLERANCE * gap and np.abs(gaps - gap).max() <= 2 * TOLERANCE * gap:
        return
    steps = gaps / gaps.min()
    if np.abs(steps - np.rint(steps)).max() <= 2 * TOLERANCE and steps.max() >= 2 - 2 * TOLERANCE:
        wide = int(np.argmax(steps))
        raise UnreadableImage(
            f"{name}: {int(np.rint(steps).sum()) - len(gaps)} slices are missing, for example between "
            f"{heights[wide]:.6g} and {heights[wide + 1]:.6g} mm, where the gap is {gaps[wide]:.6g} mm and elsewhere "
            f"{gaps.min():.6g}; {positions}"
        )
    raise UnreadableImage(
        f"{name}: gaps between slices are uneven, from {gaps.min():.6g} to {gaps.max():.6g} mm; expected equal ones; "
        f"{positions}"
    )


def _check_upright(planes: Sequence[Plane], place: NDArray[Any], geometry: Geometry, name: str) -> None:
    """Raise UnreadableImage unless each plane lies straight above the first: a tilted gantry shifts them sideways."""
    expected = np.array(geometry.origin) + np.multiply.outer(place * geometry.spacing[0], geometry.directions[0])
    off = np.array([plane.position for plane in planes]) - expected
    sideways = np.hypot(off @ np.array(geometry.directions[1]), off @ np.array(geometry.directions[2]))
    worst = int(np.argmax(sideways))
    if sideways[worst] > TOLERANCE * min(geometry.spacing[1:]):
        above = place[worst] * geometry.spacing[0]
        angle = math.degrees(math.atan2(sideways[worst], above)) if above else 90.0
        raise UnreadableImage(
            f"{name}: slices are not stacked along their normal: {millimetres(planes[worst].position)} mm lies "
            f"{sideways[worst]:.6g} mm sideways of {millimetres(geometry.origin)} mm and {above:.6g} mm above it (a "
            f"gantry tilted by {angle:.3g} degrees); expected a right-angled grid: resample the series first"
        )


def _gap_of_one(plane: Plane, name: str) -> tuple[float, tuple[str, ...]]:
    if plane.gap is not None:
        return plane.gap, ()
    if plane.thickness is not None:
        return plane.thickness, (
            f"one slice: its thickness, {plane.thickness:.6g} mm, is taken for the spacing along D",
        )
    raise UnreadableImage(
        f"{name}: one slice, and its header says neither its thickness nor the spacing between slices; expected either"
    )


def _common_gap(
    stated: float | None, heights: NDArray[np.float64], same_place: float, name: str
) -> tuple[float, tuple[str, ...]]:
    """Millimetres of which all distances of frames are multiples: as the header says it, else the smallest distance."""
    rise = np.sort(heights) - heights.min()
    steps = np.diff(rise)
    smallest = float(steps[steps > same_place].min(initial=rise[-1]))
    gap = stated or smallest
    # From one frame to the next: the error of a long sum of rounded gaps is none of the file's.
    exact = rise[-1] / np.rint(rise[-1] / gap) if rise[-1] >= gap / 2 else gap
    multiples = rise / exact
    if np.abs(multiples - np.rint(multiples)).max() > TOLERANCE or abs(exact / gap - 1) > TOLERANCE:
        source = "Spacing Between Slices" if stated else "the smallest distance"
        raise UnreadableImage(
            f"{name}: frames lie at {some_of(sorted(set(heights.tolist())))} mm along the normal, which are no "
            f"multiples of {gap:.6g} mm ({source}) from each other; expected one grid"
        )
    if stated:
        return float(exact), ()
    note = f"the header does not say the spacing between slices; the smallest distance of frames is taken, {gap:.6g} mm"
    return float(exact), (note,)


def patient_matrix(geometry: Geometry) -> NDArray[np.float64]:
    """(3, 3): column k is the step of one voxel along axis k of (D, H, W), in millimetres."""
    matrix: NDArray[np.float64] = np.array(geometry.directions).T * np.array(geometry.spacing)
    return matrix
