"""Preloaded by workers on this machine: they end with the process that started them, whatever they are at."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def dask_setup(worker: object) -> None:  # noqa: ARG001  # as Dask calls it
    """End with the thread of the nanny that started this process, which lives as long as the nanny.

    Dask's own watch over the driver is a thread of the worker, which stands still while a library holds Python's lock.
    """
    end_with(os.getppid())


def end_with(parent: int) -> None:
    """Have the kernel end this process with the thread that started it, of the process `parent`.

    Linux alone has this; elsewhere a watch of the process itself has to do.
    """
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        return
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
