from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid, Size, apart, described, same_spacing, shown_spacing
from tests.tasks.geometries import UPRIGHT, geometries, geometry_of, positions, rotation, sizes

PLAIN = Geometry((2.5, 0.8, 0.8), UPRIGHT, (-120.0, -200.25, 30.0))


@given(geometries(), geometries(), sizes)
def test_no_voxel_lies_further_apart_than_a_corner(geometry: Geometry, other: Geometry, size: Size) -> None:
    between = positions(other, size) - positions(geometry, size)
    along = np.abs(between @ np.array(geometry.directions).T) / np.array(geometry.spacing)
    assert apart(size, geometry, other) == pytest.approx(along.max(), rel=1e-9)


def test_apart_worked_by_hand() -> None:
    moved = replace(PLAIN, origin=(-120.0, -199.85, 31.0))
    assert apart((1, 1, 1), PLAIN, moved) == pytest.approx(0.5)  # 0.4 of 0.8 mm along H, 1 of 2.5 mm along D
    assert apart((3, 4, 5), PLAIN, replace(PLAIN, spacing=(2.5, 0.8, 0.9))) == pytest.approx(4 * 0.1 / 0.8)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param((2.5, 0.8, 0.8), True, id="equal"),
        pytest.param((2.5024, 0.7993, 0.8007), True, id="within a thousandth each"),
        pytest.param((2.5026, 0.8, 0.8), False, id="beyond along D"),
        pytest.param((2.5, 0.8, 0.7991), False, id="below along W"),
        pytest.param((0.8, 0.8, 2.5), False, id="another order"),
    ],
)
def test_same_spacing(other: tuple[float, float, float], is_same: bool) -> None:
    assert same_spacing(PLAIN.spacing, other) == is_same


TILTED = geometry_of(np.array(UPRIGHT) @ rotation((0.2, 0.0, 0.0)).T, (2.5, 0.8, 0.8), (0.0, -0.0, 1 / 3))


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        pytest.param(
            Grid((192, 512, 512), PLAIN),
            "192x512x512 voxels (D, H, W) of 2.5x0.8x0.8 mm, axes to S, P, L, first voxel at (-120, -200.25, 30) mm "
            "(LPS)",
            id="an axial CT",
        ),
        pytest.param(
            Grid((4, 5, 6), TILTED),
            "4x5x6 voxels (D, H, W) of 2.5x0.8x0.8 mm, axes to S, P, L (oblique by 11.5 degrees), first voxel at "
            "(0, 0, 0.333333) mm (LPS)",
            id="oblique",
        ),
        pytest.param(Grid((4, 5, 6)), "4x5x6 voxels (D, H, W) without a geometry", id="nothing but a size"),
        pytest.param(
            Grid((4, 5, 6), stated=(3.0, 0.123456789, 1.0)),
            "4x5x6 voxels (D, H, W) of 3x0.123457x1 mm without a geometry",
            id="nothing but a spacing",
        ),
    ],
)
def test_words(grid: Grid, words: str) -> None:
    assert described(grid) == words


def test_what_headers_round_is_not_called_oblique() -> None:
    rounded = geometry_of(np.array(UPRIGHT) @ rotation((5e-4, 0.0, 0.0)).T, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert "oblique" not in described(Grid((4, 5, 6), rounded))


def test_spacing_of_a_grid() -> None:
    assert Grid((4, 5, 6), PLAIN).spacing == (2.5, 0.8, 0.8)
    assert Grid((4, 5, 6), stated=(1.0, 2.0, 3.0)).spacing == (1.0, 2.0, 3.0)
    assert Grid((4, 5, 6)).spacing is None
    assert shown_spacing((1.0, 0.8, 0.80000001)) == "1x0.8x0.8 mm"
