"""Inflation: compressed bytes whose length is known from a header, and never more than that."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.buffers import buffer

Bytes = bytes | memoryview

GZIP = b"\x1f\x8b"
LARGEST_RATIO = 1032
"""Bytes that one byte of Deflate can stand for: 258 of them take two bits at least (RFC 1951)."""
_CHUNK, _SHORT_CHUNK = 2**16, 2**12
_ANY_ZLIB = zlib.MAX_WBITS | 32
"""For zlib: a gzip or a zlib stream, as its first bytes say."""


class _Decompressor(Protocol):
    """What zlib and bz2 have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Any, max_length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to compress: how its streams begin, and what takes one apart."""

    starts: tuple[bytes, ...]
    make: Callable[[], _Decompressor]
    ratio: int | None
    """How much longer than the stream its content can be; None where there is no such bound."""


DEFLATE = Codec((GZIP, b"\x78"), lambda: zlib.decompressobj(_ANY_ZLIB), LARGEST_RATIO)
BZIP2 = Codec((b"BZh",), bz2.BZ2Decompressor, None)


def is_gzip(data: Bytes) -> bool:
    """Whether bytes begin as a gzip file does."""
    return bytes(data[:2]) == GZIP


def inflated(data: Bytes, n_bytes: int, name: str, codec: Codec = DEFLATE) -> NDArray[np.uint8]:
    """The `n_bytes` that a stream, or several one after the other, must hold: no byte less, no byte more.

    A gzip stream may have zeros behind it, as tapes leave them. Raises UnreadableImage for anything else, and for
    damage; memory is taken for `n_bytes` alone, and for none of them where so short a stream cannot hold as many.
    """
    if codec.ratio is not None and n_bytes > codec.ratio * len(data):
        raise UnreadableImage(
            f"{name}: {len(data)} compressed bytes cannot hold the {n_bytes} bytes that its header claims (at "
            f"most {codec.ratio} for each): the file is cut off, or its header is wrong"
        )
    out = buffer(n_bytes)
    if codec is not DEFLATE or not _at_once(data, out):
        _by_chunks(data, out, name, codec)
    return out


def first_bytes(data: Bytes, n_bytes: int, name: str) -> bytes:
    """The first `n_bytes` of a gzip file, or fewer where it holds fewer."""
    found, place, stream = b"", 0, zlib.decompressobj(_ANY_ZLIB)
    try:
        while len(found) < n_bytes and place < len(data):
            chunk = data[place : place + _SHORT_CHUNK]
            found += stream.decompress(chunk, n_bytes - len(found))
            place += len(chunk) - len(stream.unused_data)
            if stream.eof:  # of several, one after the other
                if not is_gzip(data[place:]):
                    break
                stream = zlib.decompressobj(_ANY_ZLIB)
    except zlib.error as error:
        raise _damaged(name, len(found), error) from error
    return found


def _at_once(data: Bytes, out: NDArray[np.uint8]) -> bool:
    """Whether libdeflate, three times as fast as zlib, filled `out` from one stream that ends where `data` does."""
    import imagecodecs  # who reads PNG alone need not wait for it

    is_gz = is_gzip(data)
    decode: Any = imagecodecs.gzip_decode if is_gz else imagecodecs.deflate_decode
    try:
        filled = len(decode(data, out=out)) == out.size
    except (imagecodecs.DeflateError, ValueError, RuntimeError):
        return False  # zlib says what is wrong, or finds nothing
    # It stops at the end of the first stream and does not say where that is; each stream ends with sums of its content.
    tail = bytes(data[-4:])
    if is_gz:
        return filled and int.from_bytes(tail, "little") == out.size
    return filled and int.from_bytes(tail, "big") == zlib.adler32(out.data)


def _by_chunks(data: Bytes, out: NDArray[np.uint8], name: str, codec: Codec) -> None:
    """Fill `out` with one bounded piece after the other."""
    view = memoryview(data)
    filled, place = 0, 0
    while place < len(view):
        if place and not bytes(view[place : place + 3]).startswith(codec.starts):
            _check_padding(view[place:], name, codec)
            break
        stream = codec.make()
        while not stream.eof:
            chunk = view[place : place + _CHUNK]
            if not chunk:
                raise UnreadableImage(
                    f"{name}: cut off: its compressed data end after {filled} of {out.size} bytes; copy it again"
                )
            try:
                piece = stream.decompress(chunk, out.size - filled + 1)
            except (zlib.error, OSError, ValueError) as error:
                raise _damaged(name, filled, error) from error
            if len(piece) > out.size - filled:
                raise UnreadableImage(
                    f"{name}: holds more than the {out.size} bytes that its header claims; expected as many: its "
                    "header does not fit its voxels"
                )
            out[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
            place += len(chunk) - len(stream.unused_data)
    if filled < out.size:
        raise UnreadableImage(
            f"{name}: holds {filled} of the {out.size} bytes that its header claims: cut off before it was compressed, "
            "or its header is wrong"
        )


def _check_padding(rest: memoryview, name: str, codec: Codec) -> None:
    if codec is BZIP2 or bytes(rest).strip(b"\0"):
        raise UnreadableImage(
            f"{name}: {len(rest)} bytes behind the end of its compressed data; expected none: two files in one, or "
            "a damaged copy"
        )


def _damaged(name: str, filled: int, error: Exception) -> UnreadableImage:
    return UnreadableImage(f"{name}: damaged compressed data after {filled} bytes ({error}); copy it again")
