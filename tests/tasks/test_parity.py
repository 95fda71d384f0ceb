from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.parity import Parity, Piece, compare

REFERENCE = np.array([[1, 1, 0, 0]], np.uint8)
FOUND = (0.9, 0.8, 0.1, 0.2)


def piece(
    reduced: Any, full: Any, reference: NDArray[np.uint8] = REFERENCE, image_id: str = "a"
) -> Piece:  # fmt: skip
    """One head of one output, a row of pixels."""
    rows = (np.asarray(values, np.float32).reshape(1, 1, -1, 1) for values in (reduced, full))
    return Piece(image_id, reference, *rows)


def test_equal_results_have_no_price() -> None:
    found = compare([piece(FOUND, FOUND)], 2, 0.5)
    assert found == Parity(1, 0, 4, 0, 0.0, 0.0, 0.0, "")
    assert found.within(0.0)


@pytest.mark.parametrize(
    ("reduced", "reference", "n_flipped", "largest", "mean"),
    [
        pytest.param((0.95, 0.8, 0.1, 0.2), REFERENCE, 0, 0.0, 0.0, id="no pixel crosses the threshold"),
        pytest.param((0.9, 0.4, 0.1, 0.2), REFERENCE, 1, 1 / 3, -1 / 3, id="one pixel lost: Dice 2/3"),
        pytest.param((0.9, 0.8, 0.6, 0.2), REFERENCE, 1, 0.2, -0.2, id="one pixel too many: Dice 4/5"),
        pytest.param((0.9, 0.4, 0.1, 0.2), np.array([[1, 255, 0, 0]], np.uint8), 1, 0.0, 0.0,
                     id="an ignored pixel flips and scores nothing"),
    ],
)  # fmt: skip
def test_change_by_hand(
    reduced: tuple[float, ...], reference: NDArray[np.uint8], n_flipped: int, largest: float, mean: float
) -> None:
    found = compare([piece(reduced, FOUND, reference)], 2, 0.5)
    assert found.n_flipped == n_flipped
    assert found.largest_dice_change == pytest.approx(largest)
    assert found.mean_dice_change == pytest.approx(mean)
    assert found.largest_difference == pytest.approx(np.abs(np.subtract(reduced, FOUND)).max(), rel=1e-6)
    assert found.within(largest + 1e-9)
    assert not largest or not found.within(largest / 2)


def test_finding_something_where_nothing_is_changes_by_one() -> None:
    empty, nothing = np.zeros((1, 4), np.uint8), (0.1, 0.1, 0.1, 0.1)
    found = compare([piece((0.6, 0.1, 0.1, 0.1), nothing, empty)], 2, 0.5)
    assert found.largest_dice_change == 1.0
    assert found.worst_image == "a"
    assert math.isnan(found.mean_dice_change), "no image whose Dice both define"


def test_two_empty_predictions_of_an_empty_reference_agree() -> None:
    found = compare([piece((0.1,) * 4, (0.2,) * 4, np.zeros((1, 4), np.uint8))], 2, 0.5)
    assert found.largest_dice_change == 0.0
    assert found.within(0.0)


def test_the_worst_image_is_named() -> None:
    lost = (0.9, 0.4, 0.1, 0.2)
    found = compare([piece(FOUND, FOUND, image_id="a"), piece(lost, FOUND, image_id="b")], 2, 0.5)
    assert (found.n_images, found.worst_image) == (2, "b")
    assert found.mean_dice_change == pytest.approx(-1 / 6)


@pytest.mark.parametrize("side", ["reduced", "full"])
def test_what_is_no_probability_is_counted_and_never_within(side: str) -> None:
    sides: dict[str, Any] = {"reduced": FOUND, "full": FOUND, side: (np.nan, 0.8, 0.1, 0.2)}
    found = compare([piece(FOUND, FOUND, image_id="a"), piece(**sides, image_id="b")], 2, 0.5)
    assert (found.n_images, found.n_unusable, found.n_pixels) == (1, 1, 4)
    assert not found.within(1.0)


def test_a_later_part_that_is_unusable_takes_the_image_with_it() -> None:
    found = compare([piece(FOUND, FOUND), piece((np.inf, 0, 0, 0), FOUND)], 2, 0.5)
    assert (found.n_images, found.n_unusable, found.n_pixels) == (0, 1, 0)


def test_nothing_compared_is_not_within() -> None:
    found = compare([], 2, 0.5)
    assert found.n_images == 0
    assert math.isnan(found.largest_dice_change)
    assert not found.within(1.0)


def test_more_classes_are_told_apart_by_argmax() -> None:
    reference = np.array([[0, 1, 2]], np.uint8)
    full = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)
    reduced = full.copy()
    reduced[0, 0, 1] = (0.1, 0.4, 0.5)
    found = compare([Piece("a", reference, reduced, full)], 3, 0.5)
    # Class 1 is lost, and class 2 gains a false pixel.
    assert found.n_flipped == 1
    assert found.largest_dice_change == 1.0
    assert found.mean_dice_change == pytest.approx((-1 + (2 / 3 - 1)) / 2)


def test_every_head_counts() -> None:
    both = np.stack([piece(FOUND, FOUND).full[0], piece((0.9, 0.4, 0.1, 0.2), FOUND).reduced[0]])
    full = np.repeat(piece(FOUND, FOUND).full, 2, axis=0)
    found = compare([Piece("a", REFERENCE, both, full)], 2, 0.5)
    assert (found.n_pixels, found.n_flipped) == (8, 1)
    assert found.largest_dice_change == pytest.approx(1 / 3)


@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_pieces_add_up_to_the_whole(cut: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    reference = generator.integers(0, 2, (8, 5)).astype(np.uint8)
    reduced, full = (generator.random((2, 8, 5, 1), np.float32) for _ in range(2))
    parts = [Piece("a", reference[rows], reduced[:, rows], full[:, rows]) for rows in (slice(cut, None), slice(0, cut))]
    assert compare(parts, 2, 0.5) == compare([Piece("a", reference, reduced, full)], 2, 0.5)
