from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nibabel import orientations

from segscale.tasks.geometry import Geometry, from_ras_affine, ras_affine
from segscale.tasks.grids import Grid, Size
from segscale.tasks.turns import Turn, nearest_turn, turn_onto
from tests.tasks.geometries import (
    TURNS,
    UPRIGHT,
    backwards,
    geometries,
    geometry_of,
    laid,
    positions,
    rotation,
    sizes,
)

PLAIN = Geometry((2.0, 1.0, 1.0), UPRIGHT, (-10.0, 20.0, 30.0))
SIZE = (4, 5, 6)


def test_there_are_48() -> None:
    assert len(set(TURNS)) == 48


@pytest.mark.parametrize("turn", TURNS, ids=str)
@given(geometry=geometries(), size=sizes, channels=st.sampled_from([(), (2,)]))
def test_each_orientation_comes_back_equal(
    turn: Turn, geometry: Geometry, size: Size, channels: tuple[int, ...]
) -> None:
    values = np.random.default_rng(0).integers(0, 99, (*size, *channels))
    other, other_size = laid(turn, geometry, size)
    found = turn_onto(Grid(size, geometry), Grid(other_size, other))
    assert found == turn
    stored = backwards(turn, values).copy()
    turned = found.applied(stored)
    assert np.array_equal(turned, values)
    assert np.shares_memory(turned, stored)
    assert found.of_size(other_size) == size
    where = positions(found.of_geometry(other, other_size), size)
    assert np.allclose(where, positions(geometry, size), atol=1e-9)


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_each_orientation_as_nibabel_turns_it(turn: Turn) -> None:
    geometry = geometry_of(np.array(UPRIGHT) @ rotation((0.3, -0.2, 0.1)).T, (2.0, 1.0, 0.7), (-10.0, 20.0, 30.0))
    values = np.arange(np.prod(SIZE)).reshape(SIZE)
    wanted = np.array([[axis, -1 if flip else 1] for axis, flip in zip(turn.axes, turn.flips, strict=True)])
    stored = orientations.apply_orientation(values.transpose(2, 1, 0), wanted)  # nibabel's axes are W, H, D
    affine = ras_affine(geometry) @ orientations.inv_ornt_aff(wanted, SIZE[::-1])
    other = Grid(stored.shape[::-1], from_ras_affine(affine, "a.nii"))
    found = turn_onto(Grid(SIZE, geometry), other)
    assert found is not None
    assert np.array_equal(found.applied(stored.transpose(2, 1, 0)), values)


@given(geometries(), sizes, st.floats(0.001, 0.3), st.tuples(*[st.floats(-1, 1)] * 3))
def test_small_rotations_are_the_same_grid_as_long_as_no_voxel_moves_far(
    geometry: Geometry, size: Size, angle: float, axis: tuple[float, float, float]
) -> None:
    length = float(np.linalg.norm(axis))
    assume(length > 0.1)
    around = rotation((axis[0] / length * angle, axis[1] / length * angle, axis[2] / length * angle))
    moved = geometry_of(np.array(geometry.directions) @ around.T, geometry.spacing, geometry.origin)
    shift = positions(moved, size) - positions(geometry, size)
    furthest = np.abs(shift @ np.array(geometry.directions).T / np.array(geometry.spacing)).max()
    assume(abs(furthest - 0.05) > 1e-6)
    assert (turn_onto(Grid(size, geometry), Grid(size, moved)) is not None) == (furthest < 0.05)


@pytest.mark.parametrize(
    ("size", "changes", "is_same"),
    [
        pytest.param((4, 5, 6), {}, True, id="the same"),
        pytest.param((4, 5, 6), {"spacing": (2.0019, 1.0, 1.0)}, True, id="spacing within a thousandth"),
        pytest.param((4, 5, 6), {"spacing": (2.0021, 1.0, 1.0)}, False, id="spacing just beyond"),
        pytest.param((4, 5, 6), {"spacing": (1.9979, 1.0, 1.0)}, False, id="spacing just below"),
        pytest.param((4, 5, 60), {"spacing": (2.0, 1.0, 1.0008)}, True, id="adds up to 0.047 voxels over 59"),
        pytest.param((4, 5, 80), {"spacing": (2.0, 1.0, 1.0008)}, False, id="adds up to 0.063 voxels over 79"),
        pytest.param((4, 5, 6), {"origin": (-9.951, 20.0, 30.0)}, True, id="moved by 0.049 voxels along W"),
        pytest.param((4, 5, 6), {"origin": (-9.949, 20.0, 30.0)}, False, id="moved by 0.051 voxels along W"),
        pytest.param((4, 5, 6), {"origin": (-10.0, 20.0, 30.099)}, True, id="moved by 0.0495 of longer voxels along D"),
        pytest.param((4, 5, 6), {"origin": (-10.0, 20.0, 30.101)}, False, id="moved by 0.0505 of them"),
        pytest.param((4, 5, 6), {"origin": (-9.96, 20.04, 30.08)}, True, id="moved by 0.04 along each axis"),
        pytest.param((4, 5, 6), {"origin": (-8.0, 20.0, 30.0)}, False, id="moved by whole voxels"),
    ],
)
def test_borders_of_what_is_the_same(size: Size, changes: dict[str, Any], is_same: bool) -> None:
    found = turn_onto(Grid(size, PLAIN), Grid(size, replace(PLAIN, **changes)))
    assert (found == Turn()) == is_same
    assert (found is None) != is_same


@pytest.mark.parametrize(
    "size",
    [
        pytest.param((4, 5, 7), id="a voxel more"),
        pytest.param((4, 6, 5), id="sides in another order"),
        pytest.param((1, 5, 6), id="a slice of it"),
    ],
)
def test_another_size_is_another_grid(size: Size) -> None:
    assert turn_onto(Grid(SIZE, PLAIN), Grid(size, PLAIN)) is None


def test_an_axis_of_one_voxel_is_not_reversed() -> None:
    down = replace(PLAIN, directions=((0.0, 0.0, -1.0), *UPRIGHT[1:]))
    assert turn_onto(Grid((1, 5, 6), PLAIN), Grid((1, 5, 6), down)) == Turn()
    assert turn_onto(Grid((2, 5, 6), PLAIN), Grid((2, 5, 6), down)) is None  # the second slice lies elsewhere


def test_a_cube_is_turned_by_its_geometry() -> None:
    cube = Geometry((1.0, 1.0, 1.0), UPRIGHT, (0.0, 0.0, 0.0))
    for turn in TURNS:
        other, size = laid(turn, cube, (3, 3, 3))
        assert turn_onto(Grid((3, 3, 3), cube), Grid(size, other)) == turn


def test_nearest_turn_of_a_grid_that_is_another() -> None:
    tilted = geometry_of(np.array(UPRIGHT)[::-1] @ rotation((0.4, 0.0, 0.0)).T, (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    assert nearest_turn(Grid(SIZE, PLAIN), Grid((6, 5, 4), tilted)) == Turn((2, 1, 0))


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        pytest.param(Turn(), "taken as it is", id="none"),
        pytest.param(Turn(flips=(True, False, True)), "D and W reversed", id="reversed"),
        pytest.param(Turn(flips=(True, True, True)), "D, H and W reversed", id="all reversed"),
        pytest.param(Turn((1, 2, 0)), "axes H, W, D taken as D, H, W", id="another order"),
        pytest.param(
            Turn((2, 1, 0), (False, True, False)), "axes W, H, D taken as D, H, W, then H reversed", id="both"
        ),
    ],
)
def test_words(turn: Turn, words: str) -> None:
    assert str(turn) == words


def test_slices_stored_the_other_way_round() -> None:
    """The trap of dcmqi: a CT whose files run against its segmentation."""
    ct = Geometry((1.0, 0.8, 0.8), UPRIGHT, (-200.0, -200.0, -128.69))
    against = replace(ct, directions=((0.0, 0.0, -1.0), *UPRIGHT[1:]), origin=(-200.0, -200.0, -126.69))
    assert turn_onto(Grid((3, 512, 512), ct), Grid((3, 512, 512), against)) == Turn(flips=(True, False, False))
