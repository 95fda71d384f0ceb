import re

import numpy as np
import pytest

from segscale.errors import DataError
from segscale.tasks.axes import laid_over

FLAT, VOLUME = (1, 6, 7), (4, 6, 7)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        pytest.param((6, 7), FLAT, id="height, width"),
        pytest.param((1, 6, 7), FLAT, id="a depth of one, or a channel before"),
        pytest.param((6, 7, 1), FLAT, id="a channel behind"),
        pytest.param((1, 6, 7, 1), FLAT, id="batch and channel"),
        pytest.param((1, 1, 6, 7), FLAT, id="as PyTorch saves it"),
        pytest.param((4, 6, 7), VOLUME, id="a volume"),
        pytest.param((1, 4, 6, 7), VOLUME, id="a volume with a batch"),
        pytest.param((1, 1, 4, 6, 7), VOLUME, id="a volume with batch and channel"),
        pytest.param((4, 6, 7, 1), VOLUME, id="a volume with a channel behind"),
    ],
)
def test_axes_of_length_one_may_stand_anywhere(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    values = np.arange(np.prod(size))
    found = laid_over(values.reshape(shape), size, {0, 2}, "a.npy")
    assert np.array_equal(found, values.reshape(size))


@pytest.mark.parametrize("size", [FLAT, VOLUME], ids=["flat", "volume"])
@pytest.mark.parametrize(
    ("first", "batch"), [(True, False), (True, True), (False, False), (False, True)], ids=["CHW", "1CHW", "HWC", "1HWC"]
)
def test_channels_stand_before_or_behind(size: tuple[int, ...], first: bool, batch: bool) -> None:
    stack = np.arange(np.prod(size) * 3).reshape((*size, 3))
    drawn = np.squeeze(np.moveaxis(stack, -1, 0) if first else stack)
    assert np.array_equal(laid_over(drawn[None] if batch else drawn, size, {0, 3}, "a.npy"), stack)


@pytest.mark.parametrize("size", [VOLUME, (2, 6, 7), (4, 1, 7)])
def test_channels_of_each_slice_of_a_volume(size: tuple[int, ...]) -> None:
    stack = np.arange(np.prod(size) * 3).reshape((*size, 3))
    assert np.array_equal(laid_over(np.moveaxis(stack, -1, 1), size, {3}, "a.npy"), stack)


@pytest.mark.parametrize(
    ("shape", "size", "channels"),
    [
        pytest.param((2, 2, 6, 7), (2, 6, 7), {0, 2}, id="two channels of two slices, or of each of them"),
        pytest.param((3, 3, 6, 7), (3, 6, 7), {3}, id="three of three"),
        pytest.param((2, 2, 2), (1, 2, 2), {2}, id="two channels before or behind a 2x2 image"),
        pytest.param((3, 3, 3), (1, 3, 3), {3}, id="three channels of a 3x3 image"),
        pytest.param((2, 2, 2, 2), (2, 2, 2), {2}, id="two channels of a volume of side two"),
    ],
)
def test_what_fits_in_two_ways_is_refused(shape: tuple[int, ...], size: tuple[int, ...], channels: set[int]) -> None:
    with pytest.raises(DataError, match=r"a\.npy: .*fits in more than one way"):
        laid_over(np.zeros(shape), size, channels, "a.npy")


def test_what_has_the_size_is_named() -> None:
    """Where predictions are scored without images there is none whose size could be expected."""
    with pytest.raises(DataError, match=r"a\.npy: expected the size of its reference 6x7, got 7x6"):
        laid_over(np.zeros((7, 6)), FLAT, {0}, "a.npy", "reference")


@pytest.mark.parametrize(
    ("shape", "size", "channels", "words"),
    [
        pytest.param((7, 6), FLAT, {0, 2}, "expected the size of its image 6x7, got 7x6", id="turned"),
        pytest.param((3, 5), FLAT, {0}, "expected the size of its image 6x7, got 3x5", id="another size"),
        pytest.param((6, 7), FLAT, {3}, "6x7, stacked, with 3 channels before or behind, got 6x7", id="no channels"),
        pytest.param((2, 6, 7), FLAT, {3}, "got 2x6x7", id="two channels for three classes"),
        pytest.param((4, 5, 6, 7), VOLUME, {0, 2}, "2 channels before, behind or after the depth, got", id="DCHW of 5"),
        pytest.param((1, 6, 2, 7), FLAT, {0, 2}, "6x7, with 2 channels before or behind, got 6x2x7", id="HCW"),
        pytest.param((6, 7), VOLUME, {0}, "expected the size of its image 4x6x7", id="a slice of a volume"),
    ],
)
def test_what_does_not_fit(shape: tuple[int, ...], size: tuple[int, ...], channels: set[int], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        laid_over(np.zeros(shape), size, channels, "a.npy")
