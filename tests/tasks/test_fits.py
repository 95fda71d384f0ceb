import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segscale.errors import DataError
from segscale.tasks.fits import differences, equal_sides, fit
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid, Size
from segscale.tasks.turns import Turn
from tests.tasks.geometries import EYE, UPRIGHT, geometry_of, rotation

PLAIN = Geometry((2.0, 1.0, 1.0), UPRIGHT, (-10.0, 20.0, 30.0))
SIZE = (4, 5, 6)
REFERENCE = Grid(SIZE, PLAIN)
BY_SHAPE = "has no geometry: taken by its shape, its axes in the order and the direction of its reference"
UNTOLD = ", so that its shape does not tell these axes apart: look at it in a viewer"


def test_the_same_grid_needs_no_word() -> None:
    found = fit(REFERENCE, REFERENCE, "a.nii")
    assert found.turn.is_none
    assert found.said == ()


def test_another_order_is_said() -> None:
    other = Grid((6, 5, 4), Geometry((1.0, 1.0, 2.0), (EYE[0], EYE[1], EYE[2]), PLAIN.origin))
    found = fit(REFERENCE, other, "a.nii")
    assert found.turn == Turn((2, 1, 0))
    assert found.said == ("turned by its geometry into the order of its reference: axes W, H, D taken as D, H, W",)


def test_another_grid_is_refused_with_both_in_words() -> None:
    other = Grid((4, 5, 7), replace(PLAIN, spacing=(2.5, 1.0, 1.0), origin=(-10.0, 20.0, 31.0)))
    with pytest.raises(DataError) as refused:
        fit(REFERENCE, other, "case_7.nii.gz")
    assert str(refused.value) == (
        "case_7.nii.gz: lies on another grid than its reference: 4x5x7 voxels (D, H, W) of 2.5x1x1 mm, axes to S, P, L"
        ", first voxel at (-10, 20, 31) mm (LPS); the reference has 4x5x6 voxels (D, H, W) of 2x1x1 mm, axes to S, P, L"
        ", first voxel at (-10, 20, 30) mm (LPS): 7 voxels along the reference's W where it has 6, spacing 2.5x1x1 mm "
        "along the reference's axes where it has 2x1x1 mm, first voxels 0.5 voxels apart. Expected the same voxel "
        "centres (spacing within 0.1%, centres within 0.05 voxel), the axes in any order: resample it, or set "
        "dataset.resample = true"
    )


TILTED = geometry_of(np.array(UPRIGHT) @ rotation((0.0, 0.0, 0.1)).T, (2.0, 1.0, 1.0), (-10.0, 20.0, 30.0))


@pytest.mark.parametrize(
    ("size", "geometry", "words"),
    [
        pytest.param(SIZE, PLAIN, "", id="nothing"),
        pytest.param((4, 9, 6), PLAIN, "9 voxels along the reference's H where it has 5", id="a longer side"),
        pytest.param(
            (3, 2, 6),
            PLAIN,
            "3 voxels along the reference's D where it has 4, 2 voxels along the reference's H where it has 5",
            id="cut out from its first voxel on",
        ),
        pytest.param(
            (3, 5, 6),
            replace(PLAIN, origin=(-10.0, 20.0, 32.0)),
            "3 voxels along the reference's D where it has 4, first voxels 1 voxel apart",
            id="cut out from another",
        ),
        pytest.param((1, 5, 6), PLAIN, "1 voxel along the reference's D where it has 4", id="its first slice"),
        pytest.param(
            SIZE, replace(PLAIN, origin=(-10.0, 23.25, 30.0)), "centres up to 3.25 voxels apart", id="moved by 3.25 mm"
        ),
        pytest.param(  # by 0.1 about D: the last voxel of the first row goes by 5 sin 0.1 along H
            SIZE, TILTED, "turned against it by 5.73 degrees, centres up to 0.499 voxels apart", id="turned"
        ),
        pytest.param(
            (6, 5, 4),
            Geometry((1.0, 1.0, 3.0), EYE, PLAIN.origin),
            "spacing 3x1x1 mm along the reference's axes where it has 2x1x1 mm, centres up to 1.5 voxels apart",
            id="compared after a turn",
        ),
    ],
)
def test_differences(size: Size, geometry: Geometry, words: str) -> None:
    assert differences(REFERENCE, Grid(size, geometry)) == words


@pytest.mark.parametrize(
    ("reference", "other", "said"),
    [
        pytest.param(Grid(SIZE), Grid(SIZE), (), id="pictures"),
        pytest.param(REFERENCE, Grid(SIZE), (BY_SHAPE,), id="a prediction of numpy"),
        pytest.param(
            Grid(SIZE),
            REFERENCE,
            (BY_SHAPE.replace("has no geometry", "has a geometry, and its reference has none"),),
            id="a reference of numpy",
        ),
        pytest.param(REFERENCE, Grid(SIZE, stated=(2.0, 1.0, 1.001)), (BY_SHAPE,), id="its spacing agrees"),
        pytest.param(Grid(SIZE, stated=(2.0, 1.0, 1.0)), Grid(SIZE), (), id="a spacing alone is no geometry"),
        pytest.param(
            Grid((5, 5, 5), PLAIN),
            Grid((5, 5, 5)),
            (BY_SHAPE, f"is as long along D as along H and W{UNTOLD}"),
            id="a cube is said twice",
        ),
        pytest.param(
            Grid((4, 5, 5), PLAIN),
            Grid((4, 5, 5)),
            (BY_SHAPE, f"is as long along H as along W{UNTOLD}"),
            id="square slices",
        ),
        pytest.param(Grid((5, 5, 5)), Grid((5, 5, 5)), (), id="a cube among pictures"),
    ],
)
def test_without_a_geometry_the_shape_decides(reference: Grid, other: Grid, said: tuple[str, ...]) -> None:
    found = fit(reference, other, "a.npz")
    assert found.turn.is_none
    assert found.said == said


@pytest.mark.parametrize(
    ("size", "axes"),
    [
        pytest.param((4, 5, 6), None, id="three sides"),
        pytest.param((1, 1, 6), None, id="axes of one voxel have no order"),
        pytest.param((6, 5, 6), "along D as along W", id="first and last"),
        pytest.param((6, 6, 1), "along D as along H", id="one of one voxel"),
    ],
)
def test_equal_sides(size: Size, axes: str | None) -> None:
    assert (axes in equal_sides(size)) if axes else equal_sides(size) == ""


@pytest.mark.parametrize(
    ("reference", "other", "words"),
    [
        pytest.param(
            REFERENCE,
            Grid((4, 5, 7)),
            "expected the size of its reference 4x5x6 (D, H, W), got 4x5x7",
            id="another size",
        ),
        pytest.param(
            REFERENCE,
            Grid((6, 5, 4)),
            "got 6x5x4: the same sides in another order, and it has no geometry that says which axis is which; save it "
            "with the slowest axis first",
            id="as nibabel has arrays",
        ),
        pytest.param(
            Grid(SIZE), Grid((6, 5, 4), PLAIN), "and its reference has no geometry", id="the reference lacks it"
        ),
        pytest.param(
            REFERENCE,
            Grid(SIZE, stated=(1.0, 1.0, 2.0)),
            "its voxels are 1x1x2 mm apart along D, H and W, those of its reference 2x1x1 mm",
            id="a spacing that is another",
        ),
        pytest.param(
            Grid(SIZE, stated=(2.0, 1.0, 1.0)),
            Grid(SIZE, stated=(2.0, 1.0, 1.1)),
            "its voxels are 2x1x1.1 mm apart along D, H and W, those of its reference 2x1x1 mm",
            id="two spacings",
        ),
    ],
)
def test_shapes_that_do_not_fit(reference: Grid, other: Grid, words: Any) -> None:
    with pytest.raises(DataError, match=f"^a.npz: .*{re.escape(words)}"):
        fit(reference, other, "a.npz")
