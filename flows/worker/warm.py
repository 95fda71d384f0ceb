"""What workers load before they begin: the modules of the work, and the first call of what is compiled."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from segscale.flows.worker import work  # noqa: F401  # loaded here, it is loaded in every worker
from segscale.tasks.metrics.stacks import count_overlaps
from segscale.tasks.readers.png_rows import unfilter

_BLAS = "scipy.linalg.cython_blas"


def warm_up() -> None:
    """Have the compiler's machinery loaded: its first call costs a third of a second in every process."""
    masks = np.zeros((1, 8, 8), np.uint8)
    with _without_blas():
        count_overlaps(masks, n_classes=2, label_maps=masks, ignore_index=255)
        unfilter(np.zeros((8, 9), np.uint8), 1, 8, masks[0])


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
