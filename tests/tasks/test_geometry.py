import math
import re
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import (
    Geometry,
    checked_spacing,
    from_directions,
    from_ras_affine,
    from_steps,
    letters,
    nearest_axes,
    ras_affine,
)
from tests.tasks.geometries import EYE, UPRIGHT, geometries, positions, rotation

ORIGIN = (0.0, 0.0, 0.0)


def test_an_affine_of_nifti_worked_by_hand() -> None:
    # x (W) runs to the left, y (H) to the back, z (D) to the head; RAS has the first two the other way.
    affine = np.array([[-0.8, 0, 0, 120], [0, -0.9, 0, 200], [0, 0, 2.5, -30], [0, 0, 0, 1]])
    found = from_ras_affine(affine, "a.nii")
    assert found == Geometry((2.5, 0.9, 0.8), UPRIGHT, (-120.0, -200.0, -30.0))
    assert letters(found) == "SPL"
    assert np.array_equal(ras_affine(found), affine)


@given(geometries())
def test_affine_and_back(geometry: Geometry) -> None:
    back = from_ras_affine(ras_affine(geometry), "a.nii")
    assert np.allclose(back.spacing, geometry.spacing, rtol=1e-12)
    assert np.allclose(back.directions, geometry.directions, atol=1e-12)
    assert np.allclose(back.origin, geometry.origin, atol=1e-12)


@given(geometries())
def test_affine_leads_where_the_geometry_leads(geometry: Geometry) -> None:
    size = (3, 4, 5)
    w, h, d = (index.ravel() for index in np.indices(size)[::-1])
    right, front, head, _ = ras_affine(geometry) @ np.stack([w, h, d, np.ones(w.size)])
    expected = positions(geometry, size).reshape(-1, 3).T
    assert np.allclose([-right, -front, head], expected, atol=1e-9)


@given(geometries())
def test_steps_and_directions_say_the_same(geometry: Geometry) -> None:
    by_steps = from_steps(geometry.steps.tolist(), geometry.origin, "a.nrrd")
    by_directions = from_directions(geometry.directions, geometry.spacing, geometry.origin, "a.mha")
    assert np.allclose(by_steps.steps, by_directions.steps, atol=1e-12)
    assert np.allclose(by_steps.directions, geometry.directions, atol=1e-12)


@given(geometries())
def test_letters_are_those_of_nibabel(geometry: Geometry) -> None:
    assert letters(geometry)[::-1] == "".join(nibabel.aff2axcodes(ras_affine(geometry))) or _is_between(geometry)


def _is_between(geometry: Geometry) -> bool:
    """Whether no axis of the patient is clearly the nearest: nibabel looks for it one after the other."""
    return bool(np.abs(geometry.directions).max(axis=1).min() < math.cos(math.radians(35)))


@given(geometries())
def test_positions_are_those_of_simpleitk(geometry: Geometry) -> None:
    itk = pytest.importorskip("SimpleITK")
    image = itk.Image([4, 3, 2], itk.sitkUInt8)
    image.SetSpacing(geometry.spacing[::-1])
    image.SetDirection(np.array(geometry.directions)[::-1].T.ravel().tolist())
    image.SetOrigin(geometry.origin)
    place = image.TransformIndexToPhysicalPoint((3, 2, 1))
    assert np.allclose(place, positions(geometry, (2, 3, 4))[1, 2, 3], atol=1e-9)


def test_directions_with_few_digits_are_taken() -> None:
    # As ImageOrientationPatient often has them: 45 degrees with three digits, 0.99985 long.
    found = from_directions(((0, 0.707, -0.707), (0, 0.707, 0.707), (1, 0, 0)), (3, 1, 1), ORIGIN, "a.dcm")
    assert found.directions[0] == pytest.approx((0, math.sqrt(0.5), -math.sqrt(0.5)), abs=1e-15)
    assert found.spacing == (3, 1, 1)


def test_zeros_have_no_sign() -> None:
    found = from_ras_affine(np.diag([-1.0, -1.0, 1.0, 1.0]) * np.array([1.0, 1.0, 1.0, -1.0]), "a.nii")
    assert "-0" not in repr(found)


@pytest.mark.parametrize(
    ("degrees", "is_taken"),
    [
        pytest.param(0, True, id="right angles"),
        pytest.param(0.05, True, id="few digits of a header"),
        pytest.param(-0.05, True, id="to the other side"),
        pytest.param(0.06, False, id="just beyond"),
        pytest.param(-0.06, False, id="just beyond on the other side"),
        pytest.param(15, False, id="a tilted gantry"),
    ],
)
def test_shear(degrees: float, is_taken: bool) -> None:
    angle = math.radians(degrees)
    tilted = (0.0, 3 * math.sin(angle), 3 * math.cos(angle))
    steps = (tilted, EYE[1], EYE[0])
    if is_taken:
        assert from_steps(steps, ORIGIN, "a.nrrd").spacing == pytest.approx((3, 1, 1))
    else:
        words = f"a.nrrd: its geometry is sheared: the axes D and H stand at {90 - degrees:.2f} degrees to each other"
        with pytest.raises(UnreadableImage, match=re.escape(words)):
            from_steps(steps, ORIGIN, "a.nrrd")


AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])


def changed(row: int, column: int, value: float) -> Any:
    affine = AFFINE.copy()
    affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        pytest.param(changed(0, 0, np.nan), "holds nan; expected finite numbers", id="NaN"),
        pytest.param(changed(1, 3, np.inf), "holds inf; expected finite numbers", id="infinite position"),
        pytest.param(changed(2, 3, -1e12), "holds -1e+12; expected finite numbers up to 1e+09", id="absurd position"),
        pytest.param(changed(2, 2, 1e300), "holds 1e+300", id="squares that no float holds"),
        pytest.param(changed(0, 0, 0), "along W is 0 mm; expected a number above 0", id="an axis without length"),
        pytest.param(changed(2, 2, 1e-30), "along D is 1e-30 mm", id="next to no length"),
        pytest.param(np.zeros((4, 4)), "along D is 0 mm", id="zeros"),
        pytest.param(np.array([[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "is singular", id="parallel"),
        pytest.param(
            np.array([[1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
            "is singular: the axes D, H and W lie in one plane",
            id="three axes in a plane",
        ),
        pytest.param(changed(0, 1, 0.1), "is sheared: the axes H and W stand at", id="sheared"),
    ],
)
def test_affines_that_are_no_grid(affine: Any, words: str) -> None:
    with pytest.raises(UnreadableImage, match=f"^a.nii: .*{re.escape(words)}"):
        from_ras_affine(affine, "a.nii")


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        pytest.param((1, 0, 1), "along H is 0 mm", id="zero"),
        pytest.param((-2.5, 1, 1), "along D is -2.5 mm", id="negative"),
        pytest.param((1, 1, np.nan), "along W is nan mm", id="NaN"),
        pytest.param((1, 1, np.inf), "along W is inf mm", id="infinite"),
        pytest.param((1, 1, 1e10), "along W is 1e+10 mm", id="absurd"),
    ],
)
def test_spacings_that_are_none(spacing: tuple[float, float, float], words: str) -> None:
    for given_by in (lambda: checked_spacing(spacing, "a"), lambda: from_directions(UPRIGHT, spacing, ORIGIN, "a")):
        with pytest.raises(UnreadableImage, match=re.escape(words)):
            given_by()


@pytest.mark.parametrize(
    ("directions", "words"),
    [
        pytest.param((EYE[2], EYE[1], (0.0, 0.0, 0.0)), "direction of its axis W is 0 long", id="none"),
        pytest.param(
            (EYE[2], (0.0, 2.0, 0.0), EYE[0]), "direction of its axis H is 2 long", id="with the spacing in it"
        ),
        pytest.param((EYE[2], EYE[1], EYE[1]), "is singular", id="twice the same"),
        pytest.param((EYE[2], EYE[1], (0.8, 0.6, 0.0)), "H and W stand at 53.13 degrees", id="sheared"),
        pytest.param(((np.nan, 0.0, 0.0), EYE[1], EYE[0]), "holds nan", id="NaN"),
    ],
)
def test_directions_that_are_none(directions: Any, words: str) -> None:
    with pytest.raises(UnreadableImage, match=re.escape(words)):
        from_directions(directions, (1, 1, 1), ORIGIN, "a.mha")


def test_oblique_axes_have_the_letters_that_they_are_nearest_to() -> None:
    tilted = np.array(UPRIGHT) @ rotation((0.5, 0.2, 0.1)).T
    assert nearest_axes(tilted) == (2, 1, 0)
    # Greedily the first row would take what the second needs.
    assert nearest_axes(np.array([[0.70, 0.71, 0.0], [0.1, 0.99, 0.0], [0.0, 0.0, 1.0]])) == (0, 1, 2)
