"""Voxels written as text: decimal numbers, or the hexadecimal digits of their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage


def decimal_numbers(text: memoryview, count: int, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """`count` numbers with spaces, commas or line ends between; UnreadableImage for another number of them."""
    # A number and what parts it from the next are two bytes at least, but for the last: checked before it is split.
    if 2 * count - 1 > len(text):
        raise UnreadableImage(f"{name}: cut off: {len(text)} bytes of text; its header claims {count} numbers")
    words = bytes(text).replace(b",", b" ").split(maxsplit=count)
    if len(words) != count:
        found = f"{len(words)} numbers" if len(words) < count else "more numbers"
        raise UnreadableImage(f"{name}: {found} as text; its header claims {count}")
    try:
        return np.array([(float if dtype.kind == "f" else int)(word) for word in words], dtype)
    except (ValueError, OverflowError) as error:
        raise UnreadableImage(
            f"{name}: its voxels as text are no numbers of type {dtype.name} ({str(error)[:200]})"
        ) from None


def hexadecimal_bytes(text: memoryview, name: str) -> bytes:
    """The bytes whose digits are given, spaces between them passed over."""
    try:
        return bytes.fromhex(bytes(text).decode("ascii"))
    except ValueError:
        raise UnreadableImage(f"{name}: its voxels are no pairs of hexadecimal digits") from None
