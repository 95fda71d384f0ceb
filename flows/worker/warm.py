"""What workers load before they begin: the modules of the work, and the first call of what is compiled."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from segscale.flows.worker import work  # noqa: F401  # loaded here, it is loaded in every worker
from segscale.tasks.readers.png_rows import unfilter
from segscale.tasks.readers.png_samples import EFFORT

_BLAS = "scipy.linalg.cython_blas"


def warm_up() -> None:
    """Have the compiler's machinery loaded: it takes a third of a second, while the driver loads too.

    A process of its own would wait with that until there is much to decode; here it is worth the while from the start.
    """
    with _without_blas():
        unfilter(np.zeros((8, 9), np.uint8), 1, 8, np.empty((8, 8), np.uint8))
    EFFORT.spent = EFFORT.worth_loading


@contextmanager
def _without_blas() -> Iterator[None]:
    """Numba looks for the linear algebra of scipy when it is first called, which takes as long to load as all the rest.

    Nothing of it is compiled here; in a process of others something may be, so this is for workers alone.
    """
    if _BLAS in sys.modules:
        yield
        return
    sys.modules[_BLAS] = None  # type: ignore[assignment]  # this is how an import is refused
    try:
        yield
    finally:
        del sys.modules[_BLAS]
