"""Sizes that compressed streams claim, against what encoders were given."""

import io
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from segscale.errors import UnreadableImage
from segscale.tasks.readers.stream_sizes import claimed_size, says_its_size
from segscale.tasks.readers.tiff import TiffReader

PIXELS = np.random.default_rng(2).integers(0, 255, (20, 33), np.uint8)
COLOURS = np.stack([PIXELS] * 3, axis=-1)


def stream(compression: str, pixels: Any, **options: Any) -> tuple[int, bytes]:
    """The number of a codec and the one strip of a TIFF that is written with it."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, compression=compression, compressionargs=options or None)
    page = tifffile.TiffFile(io.BytesIO(file.getvalue())).pages[0]
    start, count = page.dataoffsets[0], page.databytecounts[0]
    return int(page.compression), file.getvalue()[start : start + count]


@pytest.mark.parametrize(
    ("compression", "pixels", "options", "size"),
    [
        pytest.param("jpeg2000", PIXELS, {}, (20, 33, 1), id="JPEG 2000"),
        pytest.param("jpeg2000", COLOURS, {}, (20, 33, 3), id="JPEG 2000 of three components"),
        pytest.param("jpegxl", PIXELS, {}, (20, 33, 1), id="JPEG XL"),
        pytest.param("jpegxl", PIXELS[:16, :32], {}, (16, 32, 1), id="JPEG XL of multiples of 8, twice as wide"),
        pytest.param("jpegxl", PIXELS[:16, :24], {}, (16, 24, 1), id="JPEG XL of multiples of 8, 3 to 2"),
        pytest.param("jpegxl", np.zeros((600, 17), np.uint8), {}, (600, 17, 1), id="JPEG XL, larger"),
        pytest.param("webp", COLOURS, {"lossless": True}, (20, 33, 1), id="WebP, lossless"),
        pytest.param("webp", COLOURS, {"lossless": False, "level": 80}, (20, 33, 1), id="WebP, lossy"),
        pytest.param("lerc", PIXELS, {}, (20, 33, 1), id="LERC"),
        pytest.param("lerc", COLOURS, {}, (20, 33, 3), id="LERC of three numbers a pixel"),
        pytest.param("png", PIXELS, {}, (20, 33, 1), id="PNG"),
        pytest.param("zlib", PIXELS, {}, None, id="Deflate says nothing"),
    ],
)
def test_sizes(compression: str, pixels: Any, options: dict[str, Any], size: tuple[int, int, int] | None) -> None:
    number, data = stream(compression, pixels, **options)
    assert says_its_size(number) == (size is not None)
    assert claimed_size(number, data) == size
    assert claimed_size(number, data[:2]) is None, "a cut head claims nothing"


def test_a_strip_that_claims_more_than_has_room_in_it_is_not_decoded() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, compression="jpeg2000")
    data = bytearray(file.getvalue())
    start = data.index(b"\xff\x4f\xff\x51")
    data[start + 8 : start + 16] = (20_000).to_bytes(4, "big") * 2
    with pytest.raises(
        UnreadableImage, match="that claims 20000 x 20000 pixels of 1 numbers; expected at most 20 x 33"
    ):
        TiffReader().read(bytes(data), "a.tif")


def test_numbers_of_a_pixel_take_memory_too() -> None:
    """Of LERC, whose decoder gets an array for all of them before it looks at what the strip holds."""
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, compression="lerc")
    data = bytearray(file.getvalue())
    start = data.index(b"Lerc2 ")
    data[start + 22 : start + 26] = (2**27).to_bytes(4, "little")
    with pytest.raises(UnreadableImage, match="20 x 33 pixels of 134217728 numbers; expected at most 20 x 33 of 1"):
        TiffReader().read(bytes(data), "a.tif")


def test_what_imagecodecs_writes_is_read() -> None:
    for encode, number in ((imagecodecs.jpegxl_encode, 50002), (imagecodecs.png_encode, 34933)):
        assert claimed_size(number, bytes(encode(PIXELS))) == (20, 33, 1)
