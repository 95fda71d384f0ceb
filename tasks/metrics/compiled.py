"""Compilation of the few loops that Python is too slow for."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_FOLDER = Path(__file__).parent


def compiled(function: FunctionT) -> FunctionT:
    """The function as machine code, compiled at its first call per kind of arguments and kept on disk.

    It releases the interpreter lock. No fast-math: sums keep the order in which they are written.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_kept_in(before))
    try:
        return cast(FunctionT, numba.njit(nogil=True, cache=True)(function))
    finally:
        numba.config.CACHE_DIR = before


@cache
def _kept_in(asked: str) -> Path:
    """A folder named after all sources that are compiled.

    Numba compares the file of a function alone, so where a function calls one of another file it would go on with what
    that one was before it was changed.
    """
    sources = [path.read_bytes() for path in sorted(_FOLDER.glob("*.py"))]
    digest = hashlib.sha256(b"".join(source for source in sources if b"compiled" in source)).hexdigest()[:12]
    own = _FOLDER / "__pycache__" if os.access(_FOLDER, os.W_OK) else Path.home() / ".cache" / "segscale"
    return (Path(asked) if asked else own) / f"numba-{digest}"
