"""Buffers: memory of large arrays that is used again, for memory from the system costs more than filling it does.

The system gives memory page by page, at the first touch of each: 20 ms for a volume of 50 MB that is inflated in 5. So
a few large arrays are kept, and given out anew once nobody holds any view of them. Nothing has to be given back: numpy
counts who holds an array, and a view, or what is made of one without a copy, holds the whole of it.
"""

from __future__ import annotations

import sys
from threading import Lock

import numpy as np
from numpy.typing import NDArray

LEAST_BYTES = 2**22
"""Smaller arrays cost little, and most of them do come from memory that the process has."""
MOST_BYTES = 2**29
"""Kept in all: a volume of 512x512x1000 bytes and its prediction."""
MOST_KEPT = 4
"""A reference and a prediction, and what is made of each."""

_LOCK = Lock()
_kept: list[NDArray[np.uint8]] = []
"""The one that was given out last stands last."""
_listed = [np.empty(0, np.uint8)]
_HELD_BY_A_LIST = sys.getrefcount(_listed[0])
"""How many hold what a list alone holds, as they are counted: whoever counts may hold it as well."""


def buffer(n_bytes: int) -> NDArray[np.uint8]:
    """An array (n_bytes,) of uint8 that holds anything, and which nobody else holds as long as somebody does."""
    if not LEAST_BYTES <= n_bytes <= MOST_BYTES:
        return np.empty(n_bytes, np.uint8)
    with _LOCK:
        fitting = [place for place in _free() if _kept[place].size >= n_bytes]
        best = min(fitting, key=lambda place: _kept[place].size, default=None)
        found = np.empty(n_bytes, np.uint8) if best is None else _kept.pop(best)
        _make_room(found.size)
        _kept.append(found)
        return found[:n_bytes]


def let_go() -> None:
    """Keep nothing: what nobody holds goes back to the system."""
    with _LOCK:
        _kept.clear()


def _free() -> list[int]:
    """The places of those that nobody else holds, neither whole nor a view of it."""
    return [place for place in range(len(_kept)) if sys.getrefcount(_kept[place]) <= _HELD_BY_A_LIST]


def _make_room(n_bytes: int) -> None:
    """Forget some, those first that nobody holds, so that what is kept with `n_bytes` more is within the limits."""
    while _kept and (len(_kept) >= MOST_KEPT or sum(one.size for one in _kept) + n_bytes > MOST_BYTES):
        _kept.pop(next(iter(_free()), 0))
