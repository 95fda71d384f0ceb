"""Compilation of the few loops that Python is too slow for."""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, cast

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_FOLDER = Path(__file__).parent
_LOCK = RLock()
_TO_BE_TOLD: list[Callable[[], None]] = []
SOURCES = ("bit_rows.py", "calibration/*.py", "lesions/*.py", "metrics/*.py", "readers/*.py", "surfaces/*.py")
"""Of `tasks`, where functions are compiled."""
logger = logging.getLogger("segscale")


@dataclass(slots=True)
class Effort:
    """What a process has done without compiled loops, which take a third of a second to load."""

    spent: int = 0
    """Bytes read or counted."""
    worth_loading: int = 2**27
    """Bytes on which they would have saved that third of a second."""

    def spend(self, n_bytes: int) -> bool:
        """Take note of so many bytes; whether from now on the loops are worth loading."""
        self.spent += n_bytes
        return self.spent >= self.worth_loading


EFFORT = Effort()
"""Of this process."""


def compiled(function: FunctionT) -> FunctionT:
    """The function as machine code, compiled at its first call per kind of arguments and kept on disk.

    It releases the interpreter lock. No fast-math: sums keep the order in which they are written. The compiler is
    imported with the first call: a process that counts nothing starts without it.
    """
    return cast(FunctionT, Compiled(function))


def before_compiling(tell: Callable[[], None]) -> Callable[[], None]:
    """Call a function once the compiler is loaded, before anything is compiled: it says what code means there."""
    _TO_BE_TOLD.append(tell)
    return tell


class Compiled:
    """A function that becomes machine code when it is called, by Python or by another one that is compiled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.dispatcher(*arguments)

    @cached_property
    def dispatcher(self) -> Any:
        """The function as Numba has it."""
        with _LOCK:
            while _TO_BE_TOLD:
                _TO_BE_TOLD.pop()()
            return _dispatcher(self._function)


@before_compiling
def _tell_numba() -> None:
    """A compiled function calls another by its name in the module, under which Numba finds a `Compiled`."""
    from numba.extending import typeof_impl

    typeof_impl.register(Compiled)(lambda called, context: typeof_impl(called.dispatcher, context))


def _dispatcher(function: Callable[..., Any]) -> Any:
    import numba

    before = numba.config.CACHE_DIR
    folder = _kept_in(before)
    if folder is None:
        return numba.njit(nogil=True)(function)
    numba.config.CACHE_DIR = str(folder)
    try:
        return numba.njit(nogil=True, cache=True)(function)
    finally:
        numba.config.CACHE_DIR = before


def say_whether_kept() -> None:
    """Say where code is compiled anew, or for the first time: workers do it, and what they say nobody sees."""
    folder = _kept_in(os.environ.get("NUMBA_CACHE_DIR", ""))
    if folder is not None and not any(folder.glob("**/*.nbc")):
        logger.info("numba: nothing is compiled for this version yet, this run takes some seconds longer")


@cache
def _kept_in(asked: str) -> Path | None:
    """A folder named after all sources that are compiled; None, and a note of it, where none can be written.

    Numba compares the file of a function alone, so where a function calls one of another file it would go on with what
    that one was before it was changed.
    """
    sources = [path.read_bytes() for pattern in SOURCES for path in sorted(_FOLDER.glob(pattern))]
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
