"""Connected components, against a flood by hand and scipy's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from segscale.tasks.bit_rows import bit_rows, mask_of
from segscale.tasks.lesions.components import ROWS_BEFORE, components
from segscale.tasks.lesions.runs import runs_of
from tests.tasks.lesions.drawn_lesions import masks
from tests.tasks.lesions.lesion_labels import as_labels, in_scan_order

STRUCTURES = {
    4: np.pad(ndimage.generate_binary_structure(2, 1)[None], ((1, 1), (0, 0), (0, 0))),
    8: np.pad(ndimage.generate_binary_structure(2, 2)[None], ((1, 1), (0, 0), (0, 0))),
    6: ndimage.generate_binary_structure(3, 1),
    18: ndimage.generate_binary_structure(3, 2),
    26: ndimage.generate_binary_structure(3, 3),
}


def mask_with(voxels: Sequence[tuple[int, int, int]], shape: tuple[int, int, int] = (3, 3, 130)) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[tuple(np.transpose(voxels))] = True
    return mask


@pytest.mark.parametrize(
    ("offset", "joined_by"),
    [
        ((0, 0, 1), {4, 8, 6, 18, 26}),
        ((0, 1, 0), {4, 8, 6, 18, 26}),
        ((1, 0, 0), {6, 18, 26}),
        ((0, 1, 1), {8, 18, 26}),
        ((0, 1, -1), {8, 18, 26}),
        ((1, 0, 1), {18, 26}),
        ((1, 0, -1), {18, 26}),
        ((1, 1, 0), {18, 26}),
        ((1, -1, 0), {18, 26}),
        ((1, 1, 1), {26}),
        ((1, 1, -1), {26}),
        ((1, -1, 1), {26}),
        ((1, -1, -1), {26}),
        ((0, 0, 2), set()),
        ((0, 2, 0), set()),
        ((2, 0, 0), set()),
        ((1, 2, 0), set()),
    ],
    ids=str,
)
@pytest.mark.parametrize("x", [1, 62, 63, 64, 65, 127])
def test_two_voxels_that_touch_by_a_face_an_edge_or_a_corner(
    offset: tuple[int, int, int], joined_by: set[int], x: int
) -> None:
    z, y = int(offset[0] < 0), 1 if offset[1] < 2 else 0
    mask = mask_with([(z, y, x), (z + offset[0], y + offset[1], x + offset[2])])
    found = {neighbours for neighbours in ROWS_BEFORE if len(components(bit_rows(mask), 130, neighbours)) == 1}
    assert found == joined_by


@pytest.mark.parametrize(
    ("mask", "neighbours", "numbers"),
    [
        ("#..#\n#..#\n####", 4, "1..1 1..1 1111"),
        ("..#.#\n#.#.#\n###.#", 4, "..1.2 1.1.2 111.2"),
        ("#.#.#\n#####", 4, "1.1.1 11111"),
        (".#.#\n#.#.", 8, ".1.1 1.1."),
        (".#.#\n#.#.", 4, ".1.2 3.4."),
        ("#.##\n#...\n#.##\n..#.\n###.", 4, "1.22 1... 1.33 ..3. 333."),
        (".#.\n#.#\n.#.", 4, ".1. 2.3 .4."),
    ],
    ids=["a cup", "a late join", "a comb", "corners join", "corners do not", "a snake and two", "a ring of specks"],
)
def test_components_are_numbered_by_their_first_voxels(mask: str, neighbours: int, numbers: str) -> None:
    drawn = np.array([[letter == "#" for letter in line] for line in mask.split()])[None]
    labels = as_labels(components(bit_rows(drawn), drawn.shape[-1], neighbours))
    assert " ".join("".join(str(one or ".") for one in row) for row in labels[0].tolist()) == numbers


@given(masks(), st.sampled_from(sorted(ROWS_BEFORE)))
def test_components_are_those_of_scipy(drawn: tuple[NDArray[np.bool_]], neighbours: int) -> None:
    (mask,) = drawn
    found = components(bit_rows(mask), mask.shape[-1], neighbours)
    expected, n = ndimage.label(mask, STRUCTURES[neighbours])
    labels = as_labels(found)
    assert found.label.tolist() == list(range(1, n + 1))
    np.testing.assert_array_equal(labels, in_scan_order(expected))
    np.testing.assert_array_equal(found.sums, sums_of(labels, n))


def sums_of(labels: NDArray[Any], n: int) -> NDArray[np.int64]:
    places = np.stack([np.ones(labels.shape, np.int64), *np.indices(labels.shape)], axis=-1)
    return np.array([places[labels == label].sum(axis=0) for label in range(1, n + 1)]).reshape(n, 4)


@given(masks())
def test_runs_are_the_mask_again(drawn: tuple[NDArray[np.bool_]]) -> None:
    (mask,) = drawn
    rows = bit_rows(mask)
    runs = runs_of(rows, mask.shape[-1])
    np.testing.assert_array_equal(as_labels(components(rows, mask.shape[-1], 26)) > 0, mask_of(rows, mask.shape[-1]))
    assert len(runs) == runs.first[-1] == runs.start.size == runs.stop.size
    assert (runs.start < runs.stop).all()
    within_rows = np.ones(max(len(runs) - 1, 0), np.bool_)
    within_rows[runs.first[(runs.first > 0) & (runs.first < len(runs))] - 1] = False
    assert (runs.stop[:-1] < runs.start[1:])[within_rows].all(), "between runs of a row there is background"


def test_a_checkerboard_and_a_full_volume_are_one_or_all() -> None:
    board = np.indices((4, 6, 129)).sum(axis=0) % 2 == 0
    assert len(components(bit_rows(board), 129, 6)) == board.sum()
    assert len(components(bit_rows(board), 129, 18)) == 1
    full = components(bit_rows(np.ones((3, 2, 128), np.bool_)), 128, 6)
    assert (len(full), full.sums[0].tolist()) == (1, [768, 768, 384, 768 * 127 // 2])
