import numpy as np
import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.readers.channels import single_channel, without_opaque_alpha


def test_opaque_alpha_is_dropped() -> None:
    pixels = np.array([[[7, 255], [8, 255]]], np.uint8)
    assert without_opaque_alpha(pixels, 255, "a").tolist() == [[[7], [8]]]


def test_one_transparent_pixel_is_counted() -> None:
    pixels = np.array([[[7, 255], [8, 254]]], np.uint8)
    with pytest.raises(UnreadableImage, match="1 of 2 pixels are not fully opaque"):
        without_opaque_alpha(pixels, 255, "a")


def test_equal_channels_count_as_one() -> None:
    values = np.array([[[[4, 4, 4], [5, 5, 5]]]], np.uint8)
    assert single_channel(values, "a").tolist() == [[[4, 5]]]


def test_differing_channels_are_no_labels() -> None:
    values = np.array([[[[4, 4, 4], [5, 5, 6]]]], np.uint8)
    with pytest.raises(UnreadableImage, match="a coloured image, 1 of 2 pixels"):
        single_channel(values, "a")
