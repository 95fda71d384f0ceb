"""Grids of planes, whatever their order and direction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Vector
from segscale.tasks.readers.dicom_grid import Stack, patient_matrix, stack_frames, stack_slices
from segscale.tasks.readers.dicom_planes import Plane


def plane(height: float, turn: float = 0.0, sideways: float = 0.0, gap: float | None = None) -> Plane:
    """A plane at a height along its normal, of columns turned by radians in the patient's horizontal plane."""
    across: Vector = (float(np.cos(turn)), float(np.sin(turn)), 0.0)
    normal = np.cross(across, (0.0, 0.0, -1.0))
    x, y, z = (float(value) for value in height * normal + sideways * np.array(across))
    return Plane((x, y, z), (0.0, 0.0, -1.0), across, (0.5, 0.75), gap, None)


@given(
    st.integers(2, 30).flatmap(lambda count: st.permutations(range(count))),
    st.floats(0.1, 10),
    st.floats(-500, 500),
    st.floats(-3, 3),
)
def test_any_order_of_even_planes_gives_one_grid(order: list[int], gap: float, lowest: float, turn: float) -> None:
    planes = [plane(lowest + index * gap, turn) for index in order]
    for stack in (stack_slices(planes, "case"), stack_frames(planes, "case")):
        assert list(stack.place) == order
        assert stack.depth == len(order)
        assert stack.geometry.spacing == pytest.approx((gap, 0.5, 0.75))
        for own, place in zip(planes, stack.place, strict=True):
            centre = np.array(stack.geometry.origin) + patient_matrix(stack.geometry) @ (place, 0, 0)
            assert centre == pytest.approx(own.position, abs=1e-6)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=20), st.floats(0.1, 10))
def test_sparse_frames_are_multiples_of_a_stated_gap(places: list[int], gap: float) -> None:
    stack = stack_frames([plane(place * gap, gap=gap) for place in places], "case")
    assert list(stack.place) == [place - min(places) for place in places]
    assert stack.depth == max(places) - min(places) + 1
    assert stack.notes == ()


@given(st.integers(3, 20), st.data(), st.floats(0.1, 10))
def test_a_missing_or_doubled_plane_is_never_taken_for_a_volume(count: int, data: st.DataObject, gap: float) -> None:
    index = data.draw(st.integers(1, count - 1))
    heights = [gap * place for place in range(count + 1)]
    missing = [plane(height) for height in heights if height != heights[index]]
    with pytest.raises(UnreadableImage, match=r"1 slices are missing"):
        stack_slices(missing, "case")
    with pytest.raises(UnreadableImage, match=r"1 slices lie where another does"):
        stack_slices([plane(height) for height in [*heights, heights[index]]], "case")


def test_rounded_positions_are_even_and_a_tilt_of_one_degree_is_none() -> None:
    assert stack_slices([plane(round(index / 3, 3)) for index in range(9)], "case").depth == 9
    with pytest.raises(UnreadableImage, match=r"a gantry tilted by 1 degrees"):
        stack_slices([plane(index * 5, sideways=index * 5 * np.tan(np.radians(1))) for index in range(9)], "case")


def test_frames_in_one_place_need_a_gap_that_is_said() -> None:
    assert stack_frames([plane(3, gap=2), plane(3, gap=2)], "case") == Stack(
        stack_frames([plane(3, gap=2)], "case").geometry, 1, (0, 0), ()
    )
    with pytest.raises(UnreadableImage, match="neither its thickness nor the spacing"):
        stack_frames([plane(3)], "case")
