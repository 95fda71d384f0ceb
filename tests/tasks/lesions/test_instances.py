"""Lesions that a label map names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.lesions.instances import instances_of
from tests.tasks.lesions.drawn_lesions import WIDTHS
from tests.tasks.lesions.lesion_labels import as_labels


def test_neighbours_of_another_number_are_apart_and_pieces_of_one_number_together() -> None:
    labels = np.array([[[7, 7, 3, 0, 7], [0, 3, 3, 3, 9]]], np.uint8)
    found = instances_of(labels)
    assert found.label.tolist() == [3, 7, 9]
    assert found.voxels.tolist() == [4, 3, 1]
    assert found.sums[1].tolist() == [3, 0, 0, 0 + 1 + 4]


def test_a_run_ends_with_its_row() -> None:
    found = instances_of(np.full((2, 3, 64), 5, np.int16))
    assert found.runs.start.tolist() == [0] * 6
    assert found.runs.stop.tolist() == [64] * 6
    assert found.runs.first.tolist() == list(range(7))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 65)])
def test_no_instance(shape: tuple[int, int, int]) -> None:
    found = instances_of(np.zeros(shape, np.uint8))
    assert (len(found), len(found.runs), found.runs.first.tolist()) == (0, 0, [0] * (shape[0] * shape[1] + 1))


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from(WIDTHS)),
    st.sampled_from((np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64)),
    st.sampled_from((1, 4, 60)),
    st.sampled_from(("C", "F")),
    st.integers(0, 2**32 - 1),
)
def test_instances_are_the_label_map_again(
    shape: tuple[int, int, int], dtype: type[Any], length: int, order: Any, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    largest = min(int(np.iinfo(dtype).max), 2**62)
    values = np.array([0, 0, 1, 2, 100, largest], dtype)
    drawn = np.repeat(generator.choice(values, np.prod(shape)), length)[: np.prod(shape)].reshape(shape)
    labels: NDArray[Any] = np.asarray(drawn, order=order)
    found = instances_of(labels)
    np.testing.assert_array_equal(as_labels(found), labels.astype(np.int64))
    expected, voxels = np.unique(labels[labels != 0], return_counts=True)
    assert found.label.tolist() == expected.tolist()
    assert found.voxels.tolist() == voxels.tolist()
