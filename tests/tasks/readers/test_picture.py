import re

import imagecodecs
import numpy as np
import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.readers.picture import (
    DECODED_BYTES_LIMIT,
    PLANE_PIXELS_LIMIT,
    Header,
    check_signature,
    check_size,
    decoding,
    native_pixels,
    picture_dtype,
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "a.png: the file is empty (0 bytes); expected a PNG image", id="empty file"),
        pytest.param(b"id,path\n1,x", "a PNG image, whatever its name says: it begins as text; give", id="a table"),
        pytest.param(b"\xff\xd8\xff\xe0", "it begins as a JPEG image", id="another format"),
        pytest.param(b"\x89PN\r\n", "it begins as no format", id="nearly the right one"),
        pytest.param(b"\x00\x01\x02", "it begins as no format that is known here", id="any bytes"),
    ],
)
def test_wrong_signature_is_named(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=re.escape(message)):
        check_signature(data, "a.png", (b"\x89PNG",), "a PNG image")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        pytest.param(Header(1, 0, 5, 1, "uint8"), "no pixels", id="no rows"),
        pytest.param(Header(1, 1, PLANE_PIXELS_LIMIT + 1, 1, "uint8"), "expected at most", id="plane too large"),
        pytest.param(Header(65, 2**13, 2**13, 1, "uint8"), f"{65 * 2**26} decoded bytes", id="volume too large"),
    ],
)
def test_impossible_sizes_are_refused_before_memory_is_asked_for(header: Header, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        check_size(header, "a.png")


def test_largest_sizes_pass() -> None:
    header = Header(DECODED_BYTES_LIMIT // PLANE_PIXELS_LIMIT, 1, PLANE_PIXELS_LIMIT, 1, "uint8")
    assert check_size(header, "a.png") is header


def test_addresses_do_not_reach_the_message() -> None:
    with pytest.raises(UnreadableImage) as caught, decoding("a.png", "PNG image"):
        raise OSError("cannot read <_io.BytesIO object at 0x7f13449c7a10> at 0x7f13449c7a10\nsecond line")
    assert str(caught.value) == ("a.png: damaged or unsupported PNG image (OSError: cannot read (object) at (object))")


def test_what_libpng_said_is_no_longer_in_memory() -> None:
    with pytest.raises(UnreadableImage) as caught, decoding("a.tif", "TIFF image"):
        raise imagecodecs.PngError("0D\u04bf]\x7f")
    assert str(caught.value) == "a.tif: damaged or unsupported TIFF image (PngError: no reason given)"


@pytest.mark.parametrize("error", [MemoryError(), ImportError("no codec")], ids=["memory", "installation"])
def test_troubles_of_the_machine_are_no_unreadable_image(error: Exception) -> None:
    with pytest.raises(type(error)), decoding("a.png", "PNG image"):
        raise error


def test_native_pixels_swaps_bytes_and_orders_axes() -> None:
    found = native_pixels(np.array([[1, 2], [3, 4]], ">u2").T)
    assert found.dtype == np.dtype("uint16")
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert found.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("stored", "kept"),
    [("?", "uint8"), (">u2", "uint16"), ("<i4", "int32"), ("<f2", "float16"), ("<f8", "float32")],
)
def test_types_of_pictures(stored: str, kept: str) -> None:
    assert picture_dtype(np.dtype(stored), "a.tif") == kept


@pytest.mark.parametrize("stored", ["<u8", "<i8", "<c8", "<f16"])
def test_types_that_no_picture_has(stored: str) -> None:
    with pytest.raises(UnreadableImage, match="expected bool, integers"):
        picture_dtype(np.dtype(stored), "a.tif")


def test_a_slide_is_no_decompression_bomb() -> None:
    header = Header(1, 20_000, 20_000, 3, "uint8")
    assert check_size(header, "slide.png") is header
