import io
import struct
import tracemalloc
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segscale.errors import UnreadableImage
from segscale.tasks.readers import UNDECIDED, read_stated_maximum
from segscale.tasks.readers.orientation import turned
from segscale.tasks.readers.png import PngReader

READER = PngReader()
MakePng = Callable[..., bytes]
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
GREY_PALETTE = (b"PLTE", bytes([0, 0, 0, 60, 60, 60, 120, 120, 120, 200, 200, 200]))
COLOUR_PALETTE = (b"PLTE", bytes([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]))


@pytest.mark.parametrize(
    ("bit_depth", "colour_type", "line", "chunks", "pixels", "dtype", "full_scale"),
    [
        pytest.param(1, GREY, b"\x50", (), [[0], [1], [0], [1]], "uint8", 1, id="1 bit: 0 and 1"),
        pytest.param(2, GREY, b"\x1b", (), [[0], [1], [2], [3]], "uint8", 3, id="2 bits, not stretched to 255"),
        pytest.param(4, GREY, b"\x01\xef", (), [[0], [1], [14], [15]], "uint8", 15, id="4 bits, not stretched"),
        pytest.param(8, GREY, b"\x00\x01\xfe\xff", (), [[0], [1], [254], [255]], "uint8", 255, id="8 bits"),
        pytest.param(16, GREY, b"\0\0\0\1\1\0\xff\xff", (), [[0], [1], [256], [65535]], "uint16", 65535, id="16 bits"),
        pytest.param(8, RGB, bytes(range(12)), (), np.arange(12).reshape(4, 3).tolist(), "uint8", 255, id="RGB"),
        pytest.param(
            16, RGB, bytes([1, 2] * 12), (), [[258] * 3] * 4, "uint16", 65535, id="RGB of 16 bits, not reduced to 8"
        ),
        pytest.param(8, GREY_ALPHA, b"\x07\xff" * 4, (), [[7]] * 4, "uint8", 255, id="opaque alpha beside grey"),
        pytest.param(16, GREY_ALPHA, b"\1\2\xff\xff" * 4, (), [[258]] * 4, "uint16", 65535, id="the same, 16 bits"),
        pytest.param(8, RGB_ALPHA, b"\1\2\3\xff" * 4, (), [[1, 2, 3]] * 4, "uint8", 255, id="opaque alpha beside RGB"),
        pytest.param(
            16, RGB_ALPHA, b"\0\1\0\2\0\3\xff\xff" * 4, (), [[1, 2, 3]] * 4, "uint16", 65535, id="the same RGB, 16 bits"
        ),
        pytest.param(2, PALETTE, b"\x1b", (GREY_PALETTE,), [[0], [60], [120], [200]], "uint8", 255, id="grey palette"),
        pytest.param(
            2,
            PALETTE,
            b"\x1b",
            (COLOUR_PALETTE,),
            [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]],
            "uint8",
            255,
            id="coloured palette",
        ),
        pytest.param(
            8, GREY, b"\1\2\3\4", ((b"tRNS", b"\0\x09"),), [[1], [2], [3], [4]], "uint8", 255, id="colour key unused"
        ),
        pytest.param(
            16,
            RGB,
            bytes([1, 2] * 12),
            ((b"tRNS", bytes(6)),),
            [[258] * 3] * 4,
            "uint16",
            65535,
            id="key unused, RGB 16",
        ),
    ],
)
def test_every_kind_of_png(
    make_png: MakePng,
    bit_depth: int,
    colour_type: int,
    line: bytes,
    chunks: tuple[tuple[bytes, bytes], ...],
    pixels: list[list[int]],
    dtype: str,
    full_scale: int,
) -> None:
    data = make_png(4, 1, bit_depth, colour_type, [line], chunks=chunks)
    picture, header = READER.read(data, "a.png"), READER.header(data, "a.png")
    assert picture.pixels[0, 0].tolist() == pixels
    assert picture.full_scale == full_scale
    assert picture.spacing_mm is None
    assert picture.pixels.flags.c_contiguous
    assert (
        (header.shape, header.dtype)
        == (picture.pixels.shape, picture.pixels.dtype.name)
        == (
            (1, 1, 4, len(pixels[0])),
            dtype,
        )
    )


@pytest.mark.parametrize(
    ("bit_depth", "colour_type", "line", "chunks", "transparent"),
    [
        pytest.param(8, GREY_ALPHA, b"\7\xff\7\xfe", (), 1, id="alpha of 254"),
        pytest.param(16, RGB_ALPHA, b"\0\1\0\2\0\3\xff\xfe" * 2, (), 2, id="alpha of 65534"),
        pytest.param(8, GREY, b"\x09\x01", ((b"tRNS", b"\0\x09"),), 1, id="grey colour key that occurs"),
        pytest.param(2, GREY, b"\x40", ((b"tRNS", b"\0\1"),), 1, id="key in stored units of 2 bits"),
        pytest.param(16, GREY, b"\1\2\0\0", ((b"tRNS", b"\1\2"),), 1, id="grey key of 16 bits"),
        pytest.param(8, RGB, b"\1\2\3\1\2\4", ((b"tRNS", b"\0\1\0\2\0\3"),), 1, id="RGB colour key that occurs"),
        pytest.param(16, RGB, b"\0\1\0\2\0\3" * 2, ((b"tRNS", b"\0\1\0\2\0\3"),), 2, id="RGB key of 16 bits"),
        pytest.param(2, PALETTE, b"\x10", (GREY_PALETTE, (b"tRNS", b"\0")), 1, id="transparent palette entry in use"),
    ],
)
def test_transparency_is_never_dropped_quietly(
    make_png: MakePng,
    bit_depth: int,
    colour_type: int,
    line: bytes,
    chunks: tuple[tuple[bytes, bytes], ...],
    transparent: int,
) -> None:
    data = make_png(2, 1, bit_depth, colour_type, [line], chunks=chunks)
    with pytest.raises(UnreadableImage, match=f"a.png: {transparent} of 2 pixels are not fully opaque"):
        READER.read(data, "a.png")


@pytest.mark.parametrize(
    ("bit_depth", "colour_type", "line", "chunks", "stored"),
    [
        pytest.param(2, PALETTE, b"\x1b", (COLOUR_PALETTE,), [0, 1, 2, 3], id="indices, not colours"),
        pytest.param(
            2, PALETTE, b"\x1b", (COLOUR_PALETTE, (b"tRNS", b"\0")), [0, 1, 2, 3], id="background see-through"
        ),
        pytest.param(4, GREY, b"\x01\xef", (), [0, 1, 14, 15], id="4 bits as stored"),
        pytest.param(8, GREY_ALPHA, b"\1\xff\2\xff\3\xff\4\xff", (), [1, 2, 3, 4], id="opaque alpha"),
    ],
)
def test_stored_values(
    make_png: MakePng,
    bit_depth: int,
    colour_type: int,
    line: bytes,
    chunks: tuple[tuple[bytes, bytes], ...],
    stored: list[int],
) -> None:
    data = make_png(4, 1, bit_depth, colour_type, [line], chunks=chunks)
    found = READER.stored_values(data, "a.png")
    assert found.shape == (1, 1, 4, 1)
    assert found.ravel().tolist() == stored


def exif(orientation: int, order: str = ">") -> bytes:
    head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_role_is_turned_alike(make_png: MakePng, orientation: int, order: str) -> None:
    rows = [b"\1\2\3", b"\4\5\6"]
    data = make_png(3, 2, 8, GREY, rows, chunks=[(b"eXIf", exif(orientation, order))])
    shown = turned(np.array([list(row) for row in rows])[None, ..., None], orientation)
    header, picture = READER.header(data, "a.png"), READER.read(data, "a.png")
    assert np.array_equal(picture.pixels, shown)
    assert np.array_equal(READER.stored_values(data, "a.png"), shown)
    assert (header.shape, header.orientation) == (shown.shape, orientation)
    assert picture.pixels.flags.c_contiguous
    assert READER.orientation(data, "a.png") == orientation


@pytest.mark.parametrize("damaged", [b"", b"MM", exif(6)[:12], exif(6)[:2] + b"x" * 20, b"Exif\0\0", exif(77)])
def test_damaged_exif_turns_nothing(make_png: MakePng, damaged: bytes) -> None:
    data = make_png(3, 1, 8, GREY, [b"\1\2\3"], chunks=[(b"eXIf", damaged)])
    assert READER.read(data, "a.png").pixels.ravel().tolist() == [1, 2, 3]
    assert READER.header(data, "a.png").orientation == 0


@pytest.mark.parametrize("colour_type", [GREY, PALETTE])
def test_colours_and_indices_are_turned_too(make_png: MakePng, colour_type: int) -> None:
    chunks = [(b"eXIf", exif(2)), *([COLOUR_PALETTE] if colour_type == PALETTE else [])]
    data = make_png(4, 1, 2, colour_type, [b"\x1b"], chunks=chunks)
    assert READER.stored_values(data, "a.png").ravel().tolist() == [3, 2, 1, 0]


def test_one_bit_is_bool(make_png: MakePng) -> None:
    found = READER.stored_values(make_png(4, 1, 1, GREY, [b"\x50"]), "a.png")
    assert found.dtype == np.bool_
    assert found.ravel().tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("bit_depth", "colour_type", "line", "chunk", "stated"),
    [
        pytest.param(16, GREY, b"\x0f\xff\0\1", b"\x0c", 4095, id="12 bits as they are"),
        pytest.param(16, GREY, b"\x01\xff\0\1", b"\x0a", 1023, id="10 bits as they are"),
        pytest.param(16, GREY, b"\xff\xf0\x80\0", b"\x0c", 0, id="scaled up, as the format wants it"),
        pytest.param(16, GREY, b"\0\0\0\0", b"\x0c", UNDECIDED, id="black"),
        pytest.param(16, GREY, b"\x0f\xff\0\1", b"\x10", 0, id="all bits"),
        pytest.param(8, GREY, b"\x0f\x01", b"\x04", 15, id="4 of 8 bits"),
        pytest.param(16, RGB, b"\0\1" * 6, b"\x0a\x0c\x0a", 4095, id="the most of three colours"),
        pytest.param(16, GREY_ALPHA, b"\0\1\xff\xff" * 2, b"\x0a\x10", 1023, id="alpha does not count"),
        pytest.param(16, GREY, b"\0\1\0\1", b"\x11", 0, id="more than there are"),
        pytest.param(16, GREY, b"\0\1\0\1", b"\0", 0, id="none"),
        pytest.param(16, GREY, b"\0\1\0\1", b"\x0c\x0c", 0, id="of two samples"),
    ],
)
def test_significant_bits(
    make_png: MakePng, bit_depth: int, colour_type: int, line: bytes, chunk: bytes, stated: int
) -> None:
    data = make_png(2, 1, bit_depth, colour_type, [line], chunks=[(b"sBIT", chunk)])
    assert read_stated_maximum(data, "a.png") == stated
    assert READER.read(data, "a.png").full_scale == 2**bit_depth - 1, "which no file decides alone"


def test_what_pillow_writes_comes_back() -> None:
    rng = np.random.default_rng(0)
    for mode, shape in [("L", (9, 7)), ("RGB", (9, 7, 3)), ("I;16", (9, 7))]:
        pixels = rng.integers(0, 256, shape).astype(np.uint16 if mode == "I;16" else np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        assert np.array_equal(READER.read(stream.getvalue(), "a.png").pixels, pixels.reshape(1, 9, 7, -1))


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_16_bit_round_trip(height: int, width: int, channels: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 65536, (height, width, channels)).astype(np.uint16)
    data = bytes(imagecodecs.png_encode(pixels if channels == 3 else pixels[..., 0]))
    assert np.array_equal(READER.read(data, "a.png").pixels, pixels[np.newaxis])


@pytest.mark.parametrize(("bit_depth", "colour_type"), [(8, RGB), (16, RGB), (8, GREY), (1, GREY)])
def test_every_cut_is_noticed(make_png: MakePng, bit_depth: int, colour_type: int) -> None:
    samples = 3 if colour_type == RGB else 1
    line = bytes(range((5 * samples * bit_depth + 7) // 8))
    data = make_png(5, 3, bit_depth, colour_type, [line] * 3)
    for length in range(len(data)):
        with pytest.raises(UnreadableImage):
            READER.read(data[:length], "a.png")


@given(st.data())
def test_damage_gives_one_error_with_a_repeatable_text(data: st.DataObject) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(stream, "PNG")
    damaged = bytearray(stream.getvalue())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    texts = []
    for _ in range(2):
        with pytest.raises(UnreadableImage) as caught:
            READER.read(bytes(damaged), "a.png")
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_the_limits_of_pillow_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(sink.getvalue()))
    np.testing.assert_array_equal(PngReader().read(sink.getvalue(), "a.png").pixels[0, ..., 0], pixels)


def test_pixels_that_so_few_bytes_cannot_hold_take_no_memory(make_png: MakePng) -> None:
    data = make_png(20_000, 20_000, 8, 0, [bytes(9)])
    READER.header(data, "a.png")
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match="cut off: its compressed pixels end after 10 of 400020000 bytes"):
            READER.read(data, "a.png")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
