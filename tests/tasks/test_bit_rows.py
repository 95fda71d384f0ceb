"""Masks as rows of bits, and the instructions on their words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.bit_rows import bit_rows, highest_bit, lowest_bit, mask_of, n_bits, n_words
from segscale.tasks.compiled import compiled


@compiled
def _told(word: Any) -> Any:
    return lowest_bit(word), highest_bit(word), n_bits(word)


@pytest.mark.parametrize(
    ("word", "told"),
    [(0, (64, -1, 0)), (1, (0, 0, 1)), (2**63, (63, 63, 1)), (0b1100, (2, 3, 2)), (2**64 - 1, (0, 63, 64))],
    ids=["none", "first", "last", "two", "all"],
)
def test_a_word_says_its_lowest_bit_its_highest_and_how_many(word: int, told: tuple[int, int, int]) -> None:
    assert _told(np.uint64(word)) == told


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from((1, 2, 62, 63, 64, 65, 127, 128, 129, 200))),
    st.sampled_from((np.bool_, np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64)),
    st.sampled_from(("C", "F", "every second")),
    st.integers(0, 2**32),
)
def test_rows_hold_where_the_mask_has_the_label(
    shape: tuple[int, int, int], dtype: type[Any], order: str, seed: int
) -> None:
    drawn: NDArray[Any] = np.random.default_rng(seed).integers(0, 2 if dtype is np.bool_ else 4, shape).astype(dtype)
    mask = np.repeat(drawn, 2, axis=0)[::2] if order == "every second" else np.array(drawn, order=order)  # type: ignore[call-overload]
    rows = bit_rows(mask, 1)
    assert rows.shape == (*shape[:2], n_words(shape[2]))
    np.testing.assert_array_equal(mask_of(rows, shape[2]), drawn == 1)
    # Nothing stands behind the width: counting the bits counts the voxels.
    assert sum(int(word).bit_count() for word in rows.ravel()) == np.count_nonzero(drawn == 1)


@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
def test_a_mask_without_voxels_has_rows_without_words(shape: tuple[int, int, int]) -> None:
    rows = bit_rows(np.zeros(shape, bool))
    assert rows.shape == (*shape[:2], n_words(shape[2]))
    assert mask_of(rows, shape[2]).shape == shape


@pytest.mark.parametrize(("dtype", "label"), [(np.uint8, 256), (np.uint8, -1), (np.int8, 128)])
def test_a_label_that_its_type_cannot_hold_is_nowhere(dtype: type[Any], label: int) -> None:
    assert not bit_rows(np.ones((1, 2, 70), dtype), label).any()


def test_labels_in_the_byte_order_of_other_machines() -> None:
    labels = np.arange(140).reshape(1, 2, 70) % 3
    np.testing.assert_array_equal(bit_rows(labels.astype(">i2"), 2), bit_rows(labels.astype(np.int16), 2))


def test_a_boolean_is_true_whatever_byte_says_so() -> None:
    bitmap = np.array([[[0, 255, 1, 0, 2]]], np.uint8).view(np.bool_)
    np.testing.assert_array_equal(mask_of(bit_rows(bitmap), 5), [[[False, True, True, False, True]]])
