import struct
from collections.abc import Callable

import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.readers import png_structure
from segscale.tasks.readers.png import PngReader
from segscale.tasks.readers.png_structure import parse_png

MakePng = Callable[..., bytes]
GREY, RGB, PALETTE = 0, 2, 3


@pytest.mark.parametrize(
    ("width", "height", "interlace", "expected"),
    [
        pytest.param(9, 2, 0, 2 * (1 + 2), id="9 pixels of 1 bit take 2 bytes and a filter byte"),
        pytest.param(1, 1, 1, 2, id="one pixel: the first of seven passes only"),
        pytest.param(8, 8, 1, 15 * (1 + 1), id="8 x 8: 1+1+1+2+2+4+4 lines of at most 8 pixels"),
    ],
)
def test_inflated_length(make_png: MakePng, width: int, height: int, interlace: int, expected: int) -> None:
    data = make_png(width, height, 1, GREY, [b"\0\0"], interlace=interlace)
    assert parse_png(data, "a.png").inflated_bytes == expected


def test_interlaced_pixels_come_in_reading_order(make_png: MakePng) -> None:
    # Adam7 on 2 x 2: pass 1 holds (0, 0), pass 6 (0, 1), pass 7 the second row.
    data = make_png(2, 2, 8, GREY, [b"\x01", b"\x02", b"\x03\x04"], interlace=1)
    assert PngReader().read(data, "a.png").pixels.ravel().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda _: b"", "is empty", id="no bytes"),
        pytest.param(lambda _: b"not a picture", "whatever its name says", id="text"),
        pytest.param(
            lambda png: png(2, 9, 8, GREY, [b"\1\2"]), "end after 3 of 27 bytes", id="rows missing, well formed"
        ),
        pytest.param(lambda png: png(2, 1, 8, GREY, [b"\1\2"])[:-12], "without its IEND", id="end missing"),
        pytest.param(lambda png: png(2, 1, 3, GREY, [b"\1\2"]), "3 bits of colour type 0", id="no such bit depth"),
        pytest.param(lambda png: png(2, 1, 8, 5, [b"\1\2"]), "8 bits of colour type 5", id="no such colour type"),
        pytest.param(lambda png: png(2, 1, 8, PALETTE, [b"\1\2"]), "0 bytes of palette", id="palette missing"),
        pytest.param(
            lambda png: png(2, 1, 8, PALETTE, [b"\0\2"], chunks=[(b"PLTE", bytes(6))]),
            "palette index 2 occurs, but the palette has 2 entries",
            id="index beyond the palette",
        ),
        pytest.param(
            lambda png: png(2, 1, 8, GREY, [b"\1\2"], chunks=[(b"acTL", struct.pack(">II", 3, 0))]),
            "animated PNG of 3 frames",
            id="animation",
        ),
        pytest.param(lambda png: png(2**30, 2**30, 8, GREY, [b"\1"]), "expected at most", id="decompression bomb"),
        pytest.param(lambda png: png(0, 1, 8, GREY, [b""]), "no pixels", id="no columns"),
    ],
)
def test_reasons(make_png: MakePng, make: Callable[[MakePng], bytes], message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        PngReader().read(make(make_png), "a.png")


def test_a_changed_palette_byte_is_noticed(make_png: MakePng) -> None:
    data = bytearray(make_png(2, 1, 8, PALETTE, [b"\0\1"], chunks=[(b"PLTE", bytes(6))]))
    data[data.index(b"PLTE") + 5] = 1
    with pytest.raises(UnreadableImage, match="wrong checksum of the chunk at byte 33"):
        PngReader().header(bytes(data), "a.png")


@pytest.mark.parametrize("block", [1, 7, 2**14], ids=["byte by byte", "a few bytes", "all at once"])
def test_pixels_are_inflated_in_blocks(make_png: MakePng, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(png_structure, "_BLOCK_BYTES", block)
    rows = [bytes(300)] * 50
    assert PngReader().read(make_png(300, 50, 8, GREY, rows), "a.png").pixels.shape == (1, 50, 300, 1)
    with pytest.raises(UnreadableImage, match="end after 14749 of 15050 bytes"):
        PngReader().read(make_png(300, 50, 8, GREY, rows[:-1]), "a.png")
