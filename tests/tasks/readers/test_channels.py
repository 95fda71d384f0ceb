import numpy as np
import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.readers.channels import is_grey_palette, palette_colours, single_channel, without_opaque_alpha

GREY_RAMP = np.array([[0, 0, 0], [9, 9, 9]], np.uint8)
ONE_RED = np.array([[0, 0, 0], [9, 0, 0]], np.uint8)


def test_opaque_alpha_is_dropped() -> None:
    pixels = np.array([[[7, 255], [8, 255]]], np.uint8)
    assert without_opaque_alpha(pixels, 255, "a").tolist() == [[[7], [8]]]


def test_one_transparent_pixel_is_counted() -> None:
    pixels = np.array([[[7, 255], [8, 254]]], np.uint8)
    with pytest.raises(UnreadableImage, match="1 of 2 pixels are not fully opaque"):
        without_opaque_alpha(pixels, 255, "a")


def test_the_palette_alone_decides_the_channels() -> None:
    indices = np.zeros((1, 2, 1), np.uint8)  # the red entry does not occur
    assert is_grey_palette(GREY_RAMP)
    assert palette_colours(indices, GREY_RAMP, "a").shape == (1, 2, 1)
    assert not is_grey_palette(ONE_RED)
    assert palette_colours(indices, ONE_RED, "a").shape == (1, 2, 3)


def test_index_beyond_the_palette() -> None:
    with pytest.raises(UnreadableImage, match="palette index 2 occurs, but the palette has 2 entries"):
        palette_colours(np.array([[[2]]], np.uint8), GREY_RAMP, "a")


def test_equal_channels_count_as_one() -> None:
    values = np.array([[[[4, 4, 4], [5, 5, 5]]]], np.uint8)
    assert single_channel(values, "a").tolist() == [[[4, 5]]]


def test_differing_channels_are_no_labels() -> None:
    values = np.array([[[[4, 4, 4], [5, 5, 6]]]], np.uint8)
    with pytest.raises(UnreadableImage, match="a coloured image, 1 of 2 pixels"):
        single_channel(values, "a")
