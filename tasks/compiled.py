"""Compilation of the few loops that Python is too slow for."""

import hashlib
import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_FOLDER = Path(__file__).parent
PACKAGES = ("metrics", "readers")
"""Of `tasks`, where functions are compiled."""
logger = logging.getLogger("segscale")


def compiled(function: FunctionT) -> FunctionT:
    """The function as machine code, compiled at its first call per kind of arguments and kept on disk.

    It releases the interpreter lock. No fast-math: sums keep the order in which they are written.
    """
    before = numba.config.CACHE_DIR
    folder = _kept_in(before)
    if folder is None:
        return cast(FunctionT, numba.njit(nogil=True)(function))
    numba.config.CACHE_DIR = str(folder)
    try:
        return cast(FunctionT, numba.njit(nogil=True, cache=True)(function))
    finally:
        numba.config.CACHE_DIR = before


@cache
def _kept_in(asked: str) -> Path | None:
    """A folder named after all sources that are compiled; None, and a note of it, where none can be written.

    Numba compares the file of a function alone, so where a function calls one of another file it would go on with what
    that one was before it was changed.
    """
    sources = [path.read_bytes() for package in PACKAGES for path in sorted(_FOLDER.glob(f"{package}/*.py"))]
    digest = hashlib.sha256(b"".join(source for source in sources if b"compiled" in source)).hexdigest()[:12]
    own = (str(_FOLDER / "__pycache__"), os.path.expanduser("~/.cache/segscale"))  # noqa: PTH111  # pathlib raises without a home
    for home in (str(Path(asked).absolute()),) if asked else own:
        folder = Path(home) / f"numba-{digest}"
        # Whoever has no home keeps the sign for it.
        if folder.is_absolute() and _is_writable(folder):
            return folder
    logger.info("numba: every process compiles anew, no folder can be written; NUMBA_CACHE_DIR names one")
    return None


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    # A disk that is mounted to be read says so here, also to root.
    return os.access(folder, os.W_OK)
