"""Pieces of an array that a processor holds beside it: what is worked out of them needs no memory of its size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

LENGTH = 2**16
"""Values of a piece: half a megabyte of the widest type, of which some fit into the cache of a core."""


def pieces(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """One after the other, (up to `LENGTH`,), views; of an array that is not C-contiguous it makes a copy first."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, LENGTH):
        yield flat[start : start + LENGTH]
