"""Compilation of the few loops that Python is too slow for."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def compiled(function: FunctionT) -> FunctionT:
    """The function as machine code, compiled at its first call per kind of arguments and kept on disk.

    It releases the interpreter lock. No fast-math: sums keep the order in which they are written.
    """
    return cast(FunctionT, numba.njit(nogil=True, cache=True)(function))
