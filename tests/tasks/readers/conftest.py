"""Files made by hand, so that tests do not depend on what a library chooses to write."""

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

MakePng = Callable[..., bytes]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _make_png(
    width: int,
    height: int,
    bit_depth: int,
    colour_type: int,
    scanlines: Sequence[bytes],
    *,
    chunks: Sequence[tuple[bytes, bytes]] = (),
    interlace: int = 0,
) -> bytes:
    """A PNG file of unfiltered scanlines."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, interlace)
    pixels = zlib.compress(b"".join(b"\0" + bytes(line) for line in scanlines))
    body = _chunk(b"IHDR", header) + b"".join(_chunk(*chunk) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


@pytest.fixture
def make_png() -> MakePng:
    """make_png(width, height, bit_depth, colour_type, scanlines, *, chunks=(), interlace=0) -> bytes."""
    return _make_png


@pytest.fixture
def data_folder() -> Path:
    """The folder of real images; skips the test where there is none."""
    default = Path(__file__).parents[3].parent / "shared" / "data"
    folder = Path(os.environ.get("SEGSCALE_DATA", default))
    if not folder.is_dir():
        pytest.skip("no real images: set SEGSCALE_DATA")
    return folder
