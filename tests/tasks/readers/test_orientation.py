import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from segscale.tasks.readers.orientation import exif_orientation, known_orientation, turned, turned_size

PIXELS = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)


def block(*entries: tuple[int, int, int, int], order: str = "<", directory: int = 8) -> bytes:
    """EXIF with one directory of (tag, kind, count, value)."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, directory)
    body = b"".join(struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries)
    return head + bytes(directory - 8) + struct.pack(f"{order}H", len(entries)) + body + bytes(4)


ONE = (274, 3, 1, 6)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(block(ONE), 6, id="little-endian"),
        pytest.param(block(ONE, order=">"), 6, id="big-endian"),
        pytest.param(b"Exif\0\0" + block(ONE), 6, id="with the prefix of JPEG"),
        pytest.param(block((271, 2, 4, 9), (305, 2, 1, 0), ONE), 6, id="after other tags"),
        pytest.param(block(ONE, directory=40), 6, id="a directory further on"),
        pytest.param(block((274, 3, 1, 1)), 1, id="upright"),
        pytest.param(block((274, 3, 1, 0)), 0, id="0, which some cameras write for unknown"),
        pytest.param(block((274, 3, 1, 9)), 0, id="9, which is none"),
        pytest.param(block((274, 4, 1, 6)), 6, id="a LONG, which viewers take as well"),
        pytest.param(block((274, 4, 1, 0))[:-6] + b"\0\x06" + bytes(4), 0, id="a LONG above 8"),
        pytest.param(
            block((274, 4, 1, 0), order=">")[:-6] + b"\0\x06" + bytes(4), 6, id="a LONG, big-endian: its last bytes"
        ),
        pytest.param(block((274, 1, 1, 6)), 0, id="of another type"),
        pytest.param(block((274, 4, 2, 6)), 0, id="two LONGs"),
        pytest.param(block((274, 3, 2, 6)), 0, id="two numbers"),
        pytest.param(block((271, 2, 4, 9)), 0, id="no such tag"),
        pytest.param(block(), 0, id="no tags"),
        pytest.param(b"", 0, id="nothing"),
        pytest.param(b"XX" + block(ONE)[2:], 0, id="no byte order"),
        pytest.param(block(ONE)[:2] + b"\x2b" + block(ONE)[3:], 0, id="another magic number"),
        pytest.param(b"II*\0\xff\xff\xff\xff", 0, id="a directory beyond the end"),
        pytest.param(b"II*\0\x08\0\0\0\xff\xff", 0, id="more tags than there are bytes"),
    ],
)
def test_exif(data: bytes, expected: int) -> None:
    assert exif_orientation(data) == expected


def test_damage_says_nothing_or_another_orientation() -> None:
    whole = block((271, 2, 4, 9), ONE)
    for length in range(len(whole)):
        assert exif_orientation(whole[:length]) in (0, 6)


@given(st.binary(max_size=60))
def test_any_bytes_are_no_error(data: bytes) -> None:
    assert 0 <= exif_orientation(b"MM\0*" + data) <= 8


@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 5))
def test_what_another_library_shows(orientation: int, height: int, width: int) -> None:
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    image = Image.fromarray(pixels)
    image.getexif()[274] = orientation
    shown = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turned(pixels[None, ..., None], orientation)[0, ..., 0], shown)
    assert turned_size(height, width, orientation) == shown.shape


@pytest.mark.parametrize("orientation", [0, 1, 9, -1])
def test_what_is_not_turned(orientation: int) -> None:
    assert np.array_equal(turned(PIXELS, orientation), PIXELS)
    assert turned_size(3, 5, orientation) == (3, 5)
    assert known_orientation(orientation) in (0, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_axes_stay(orientation: int) -> None:
    first = turned(PIXELS, orientation, (1, 2))
    for plane in range(2):
        assert np.array_equal(first[plane], turned(PIXELS[plane], orientation, (0, 1)))
    last = turned(np.moveaxis(PIXELS, 0, -1), orientation, (0, 1))
    assert np.array_equal(np.moveaxis(last, -1, 0), first)
