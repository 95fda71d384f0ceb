import numpy as np
import pytest

from segscale.tasks.overlays.brightness import brightness


def test_percentiles_become_black_and_white() -> None:
    grey = brightness(np.arange(101, dtype=np.float64).reshape(1, 101, 1))
    assert grey.dtype == np.float32
    assert grey[0, [0, 1, 50, 99, 100]].tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_channels_are_averaged_in_numbers_that_do_not_overflow() -> None:
    pixels = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], np.uint8)
    grey = brightness(pixels)[0]
    assert grey[0] == 1
    assert grey[1] == 0
    assert 0.3 < grey[2] < 0.4


@pytest.mark.parametrize(
    "pixels", [np.full((2, 2, 1), 7.0), np.full((2, 2, 1), np.nan)], ids=["one value", "no number"]
)
def test_what_has_no_range_is_black(pixels: np.ndarray) -> None:
    assert (brightness(pixels) == 0).all()


def test_what_is_no_number_is_black_beside_others() -> None:
    pixels = np.array([[[np.nan], [0.0], [1.0]]])
    assert brightness(pixels).tolist() == [[0, 0, 1]]
