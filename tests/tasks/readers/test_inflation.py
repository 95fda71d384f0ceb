import bz2
import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import UnreadableImage
from segscale.tasks.readers.inflation import BZIP2, DEFLATE, Codec, first_bytes, inflated

CONTENT = np.random.default_rng(0).integers(0, 9, 300_000, np.uint8).tobytes()
HALF = len(CONTENT) // 2


@pytest.mark.parametrize(
    ("stream", "codec"),
    [
        pytest.param(gzip.compress(CONTENT), DEFLATE, id="gzip"),
        pytest.param(zlib.compress(CONTENT), DEFLATE, id="zlib, as MetaImage has it"),
        pytest.param(gzip.compress(CONTENT[:HALF]) + gzip.compress(CONTENT[HALF:]), DEFLATE, id="two members"),
        pytest.param(gzip.compress(CONTENT) + gzip.compress(b""), DEFLATE, id="an empty member behind"),
        pytest.param(gzip.compress(b"") + gzip.compress(CONTENT), DEFLATE, id="an empty member before"),
        pytest.param(gzip.compress(CONTENT) + bytes(512), DEFLATE, id="zeros of a tape behind"),
        pytest.param(bz2.compress(CONTENT), BZIP2, id="bzip2"),
        pytest.param(bz2.compress(CONTENT[:HALF]) + bz2.compress(CONTENT[HALF:]), BZIP2, id="two streams of bzip2"),
    ],
)
def test_content(stream: bytes, codec: Codec) -> None:
    assert inflated(stream, len(CONTENT), "a", codec).tobytes() == CONTENT
    assert inflated(memoryview(stream), len(CONTENT), "a", codec).tobytes() == CONTENT


def flipped(data: bytes, place: int) -> bytes:
    return bytes(byte ^ (1 if i == place % len(data) else 0) for i, byte in enumerate(data))


@pytest.mark.parametrize(
    ("stream", "n_bytes", "codec", "message"),
    [
        pytest.param(
            gzip.compress(CONTENT), len(CONTENT) - 1, DEFLATE, "holds more than the 299999 bytes", id="longer"
        ),
        pytest.param(gzip.compress(CONTENT), len(CONTENT) + 1, DEFLATE, "holds 300000 of the 300001", id="shorter"),
        pytest.param(
            gzip.compress(CONTENT)[:-9], len(CONTENT), DEFLATE, "cut off: its compressed data end", id="cut off"
        ),
        pytest.param(gzip.compress(CONTENT)[:-1], len(CONTENT), DEFLATE, "cut off", id="cut off in its sums"),
        pytest.param(
            flipped(gzip.compress(CONTENT), -6), len(CONTENT), DEFLATE, "damaged compressed data", id="checksum"
        ),
        pytest.param(
            flipped(zlib.compress(CONTENT), -1), len(CONTENT), DEFLATE, "damaged compressed data", id="of zlib"
        ),
        pytest.param(gzip.compress(CONTENT) + b"more", len(CONTENT), DEFLATE, "4 bytes behind the end", id="behind it"),
        pytest.param(zlib.compress(CONTENT) + b"more", len(CONTENT), DEFLATE, "4 bytes behind", id="behind zlib"),
        pytest.param(
            gzip.compress(CONTENT) + gzip.compress(b"."), len(CONTENT), DEFLATE, "holds more than", id="a member more"
        ),
        pytest.param(b"not compressed", 14, DEFLATE, "damaged compressed data after 0 bytes", id="nothing of the kind"),
        pytest.param(b"", 0, DEFLATE, None, id="nothing of nothing"),
        pytest.param(gzip.compress(b"\0" * 99), 10**12, DEFLATE, "cannot hold the 1000000000000 bytes", id="a claim"),
        pytest.param(bz2.compress(CONTENT), len(CONTENT) - 1, BZIP2, "holds more than", id="bzip2, longer"),
        pytest.param(bz2.compress(CONTENT)[:-9], len(CONTENT), BZIP2, "cut off", id="bzip2, cut off"),
        pytest.param(bz2.compress(CONTENT) + b"\0", len(CONTENT), BZIP2, "1 bytes behind", id="bzip2, behind it"),
        pytest.param(b"BZh9 no", 9, BZIP2, "damaged compressed data", id="bzip2, damaged"),
    ],
)
def test_refused(stream: bytes, n_bytes: int, codec: Codec, message: str | None) -> None:
    if message is None:
        assert inflated(stream, n_bytes, "a", codec).size == 0
        return
    with pytest.raises(UnreadableImage, match=message):
        inflated(stream, n_bytes, "a", codec)


def test_a_bomb_is_inflated_as_far_as_the_header_says() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(UnreadableImage, match="holds more than the 1000 bytes"):
        inflated(bomb, 1000, "a")


@pytest.mark.parametrize("n_bytes", [0, 1, 348, 10_000])
def test_first_bytes(n_bytes: int) -> None:
    for stream in (
        gzip.compress(CONTENT),
        gzip.compress(b"") + gzip.compress(CONTENT[:9]) + gzip.compress(CONTENT[9:]),
    ):
        assert first_bytes(stream, n_bytes, "a") == CONTENT[:n_bytes]


def test_first_bytes_of_less() -> None:
    assert first_bytes(gzip.compress(b"abc"), 9, "a") == b"abc"
    assert first_bytes(gzip.compress(b"abc") + b"more", 9, "a") == b"abc"
    with pytest.raises(UnreadableImage, match="damaged compressed"):
        first_bytes(b"\x1f\x8b" + bytes(20), 9, "a")


@given(content=st.binary(max_size=2000), place=st.integers(0, 3000), cut=st.integers(0, 3000))
def test_damage_is_found_or_changes_nothing(content: bytes, place: int, cut: int) -> None:
    stream = gzip.compress(content, mtime=0)
    for damaged in (flipped(stream, place), stream[:cut]):
        try:
            assert inflated(damaged, len(content), "a").tobytes() == content
        except UnreadableImage:
            assert damaged != stream
