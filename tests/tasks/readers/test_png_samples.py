"""What is decoded quickly is what the decoders of others find, and what they refuse is refused in the same words."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segscale.errors import DataError, UnreadableImage
from segscale.tasks.compiled import EFFORT, Effort
from segscale.tasks.readers import png, png_samples
from segscale.tasks.readers.png import PngReader
from segscale.tasks.readers.png_structure import parse_png
from tests.tasks import encoded

READER = PngReader()
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
KINDS = [
    *((depth, GREY) for depth in (1, 2, 4, 8, 16)),
    *((depth, PALETTE) for depth in (1, 2, 4, 8)),
    *((depth, kind) for kind in (RGB, GREY_ALPHA, RGB_ALPHA) for depth in (8, 16)),
]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
ANCILLARY = (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"sBIT", b"bKGD", b"tIME", b"eXIf", b"tEXt", b"zTXt", b"tRNS", b"PLTE",
             b"iCCP", b"acTL", b"fcTL", b"prIv", b"CRIT", b"no?!")  # fmt: skip


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@dataclass(frozen=True)
class Drawn:
    """A PNG in parts, so that any of them can be spoiled with the checksums still right."""

    head: tuple[int, ...]
    before: tuple[tuple[bytes, bytes], ...]
    stream: bytes
    cuts: tuple[int, ...] = ()
    between: bytes = b""
    after: tuple[tuple[bytes, bytes], ...] = ()
    trailing: bytes = b""

    def encoded(self) -> bytes:
        places = [0, *sorted(self.cuts), len(self.stream)]
        parts = [chunk(b"IDAT", self.stream[a:b]) for a, b in pairwise(places)]
        chunks = [chunk(*one) for one in self.before], [chunk(*one) for one in self.after]
        body = [chunk(b"IHDR", struct.pack(">IIBBBBB", *self.head)), *chunks[0], self.between.join(parts), *chunks[1]]
        return SIGNATURE + b"".join(body) + chunk(b"IEND", b"") + self.trailing


def scanline_bytes(width: int, depth: int, kind: int) -> int:
    return 1 + (width * SAMPLES[kind] * depth + 7) // 8


@st.composite
def drawn_pngs(draw: st.DrawFn) -> Drawn:
    """PNGs of every kind and filter, in one or more parts."""
    depth, kind = draw(st.sampled_from(KINDS))
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.sampled_from((1, 2, 4, 256)))
    scanlines = generator.integers(0, largest, (height, scanline_bytes(width, depth, kind))).astype(np.uint8)
    scanlines[:, 0] = draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    palette = (
        [(b"PLTE", generator.integers(0, 256, 3 * 2**depth).astype(np.uint8).tobytes())] if kind == PALETTE else []
    )
    window = draw(st.sampled_from((15, 15, 9, 12)))
    packer = zlib.compressobj(draw(st.sampled_from((0, 1, 6, 9))), zlib.DEFLATED, window)
    stream = packer.compress(scanlines.tobytes()) + packer.flush()
    cuts = tuple(draw(st.lists(st.integers(0, len(stream)), max_size=3)))
    return Drawn((width, height, depth, kind, 0, 0, 0), tuple(palette), stream, cuts)


@st.composite
def spoiled_pngs(draw: st.DrawFn) -> bytes:
    """PNGs with one thing or two out of the ordinary: harmless, damaged, or nonsense with right checksums."""
    one = draw(drawn_pngs())
    parts = {name: getattr(one, name) for name in one.__dataclass_fields__}
    for _ in range(draw(st.integers(1, 2))):
        match draw(st.sampled_from(("head", "chunk", "after", "between", "stream", "longer", "flip", "cut", "end"))):
            case "head":
                place, value = draw(st.integers(0, 6)), draw(st.integers(0, 17))
                parts["head"] = (*parts["head"][:place], value, *parts["head"][place + 1 :])
            case "chunk":
                length = draw(st.sampled_from((0, 1, 2, 3, 4, 6, 7, 8, 9, 26, 32, 33, 768, 771)))
                body = draw(st.binary(min_size=length, max_size=length))
                extra = (draw(st.sampled_from(ANCILLARY)), body)
                parts["before"] = tuple(draw(st.permutations([*parts["before"], extra])))
            case "after":
                parts["after"] = ((draw(st.sampled_from(ANCILLARY)), draw(st.binary(max_size=9))),)
            case "between":
                parts["between"] = chunk(b"tEXt", b"a\0b")
            case "stream" if parts["stream"]:
                spoiled = bytearray(parts["stream"])
                spoiled[draw(st.integers(0, len(spoiled) - 1))] ^= draw(st.integers(1, 255))
                parts["stream"] = bytes(spoiled)
            case "longer":
                parts["stream"] += draw(st.binary(min_size=1, max_size=9))
            case "cut":
                parts["stream"] = parts["stream"][: draw(st.integers(0, len(parts["stream"])))]
                parts["cuts"] = ()
            case "end":
                parts["trailing"] = draw(st.binary(min_size=1, max_size=9))
            case _:
                inflated = bytearray(zlib.decompress(one.stream))
                line = scanline_bytes(one.head[0], one.head[2], one.head[3])
                inflated[line * draw(st.integers(0, one.head[1] - 1))] = draw(st.integers(0, 9))
                length = draw(st.sampled_from((len(inflated), len(inflated) - 1, line, len(inflated) + 1)))
                parts["stream"], parts["cuts"] = zlib.compress(bytes(inflated.ljust(length, b"\0")[:length])), ()
    return Drawn(**parts).encoded()


def found(data: bytes, method: str, way: str) -> Any:
    """What a method of the reader gives or says, in one of three ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EFFORT, "worth_loading", 0 if way == "loop" else 2**62)
        if way == "others":
            patch.setattr(png, "plain_samples", lambda *_: None)
        try:
            return getattr(READER, method)(data, "a.png")
        except DataError as error:
            return f"{type(error).__name__}: {error}"


def assert_the_same(data: bytes) -> None:
    for method in ("stored_values", "read"):
        slow = found(data, method, "others")
        for way in ("loop", "no loop"):
            quick = found(data, method, way)
            if isinstance(slow, str):
                assert quick == slow
                continue
            ours, theirs = (one if method == "stored_values" else one.pixels for one in (quick, slow))
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=100)
@given(drawn_pngs())
def test_pixels_are_those_of_other_decoders(one: Drawn) -> None:
    data = one.encoded()
    assert_the_same(data)
    structure = parse_png(data, "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EFFORT, "worth_loading", 0)
        stored = png_samples.plain_samples(structure, data)
    holds_all = one.stream[0] >> 4 == 7 or structure.inflated_bytes <= 1 << (8 + (one.stream[0] >> 4))
    assert (stored is not None) == (holds_all and not (structure.bit_depth == 16 and structure.colour_type != GREY))


@settings(max_examples=150)
@given(spoiled_pngs())
def test_what_is_out_of_the_ordinary_is_told_in_the_same_words(data: bytes) -> None:
    assert_the_same(data)


@given(drawn_pngs(), st.data())
def test_damaged_and_cut_files_are_told_in_the_same_words(one: Drawn, data: st.DataObject) -> None:
    encoded_one = bytearray(one.encoded())
    if data.draw(st.booleans()):
        assert_the_same(bytes(encoded_one[: data.draw(st.integers(0, len(encoded_one)))]))
    else:
        encoded_one[data.draw(st.integers(0, len(encoded_one) - 1))] ^= data.draw(st.integers(1, 255))
        assert_the_same(bytes(encoded_one))


@pytest.fixture(params=[0, 2**62], ids=["loop", "no loop"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EFFORT, "worth_loading", request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "LA", "RGBA"])
@pytest.mark.parametrize("optimize", [False, True])
def test_what_others_write_is_decoded_quickly(mode: str, optimize: bool) -> None:
    generator = np.random.default_rng(0)
    grey = Image.fromarray(generator.integers(0, 256, (33, 45), np.uint8))
    image = Image.fromarray(generator.integers(0, 65536, (33, 45)).astype(np.uint16)) if mode == "I;16" else (
        grey.convert(mode)
    )  # fmt: skip
    sink = io.BytesIO()
    image.save(sink, "PNG", optimize=optimize, dpi=(72, 72))
    data = sink.getvalue()
    if EFFORT.worth_loading and mode in "1P":
        assert png_samples.plain_samples(parse_png(data, "a.png"), data) is None
        return
    stored = png_samples.plain_samples(parse_png(data, "a.png"), data)
    assert stored is not None
    np.testing.assert_array_equal(stored.squeeze(), np.asarray(image))


def test_what_is_interlaced_is_left_to_others() -> None:
    one = Drawn((2, 2, 8, GREY, 0, 0, 1), (), zlib.compress(b"\0\1\0\2\0\3\4"))
    assert png_samples.plain_samples(parse_png(one.encoded(), "a.png"), one.encoded()) is None
    assert READER.stored_values(one.encoded(), "a.png").ravel().tolist() == [1, 2, 3, 4]


def test_a_claim_beyond_the_limits_is_refused_before_anything_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Drawn((2**16, 2**16, 8, GREY, 0, 0, 0), (), zlib.compress(b""))
    monkeypatch.setattr(png, "plain_samples", lambda *_: pytest.fail("inflated"))
    with pytest.raises(UnreadableImage, match="expected at most"):
        READER.stored_values(one.encoded(), "a.png")


@pytest.mark.usefixtures("way")
def test_the_caller_may_write_into_what_it_gets() -> None:
    values = READER.stored_values(encoded.png(np.eye(9, dtype=np.uint8)), "a.png")
    values[...] = 3
    assert READER.stored_values(encoded.png(np.eye(9, dtype=np.uint8)), "a.png").sum() == 9


def test_the_loop_is_loaded_once_it_is_worth_that(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded.png(np.eye(9, dtype=np.uint8))
    ways: list[str] = []
    for way in ("_without_loop", "_unfiltered"):
        monkeypatch.setattr(png_samples, way, lambda *_, way=way: ways.append(way))
    monkeypatch.setattr(png_samples, "EFFORT", Effort(0, 3 * (9 * 10 + png_samples._FILE_COST)))
    for _ in range(5):
        png_samples.plain_samples(parse_png(data, "a.png"), data)
    assert ways == ["_without_loop"] * 2 + ["_unfiltered"] * 3
