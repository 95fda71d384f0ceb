"""Preloaded by workers on this machine: they end with the process that started them, whatever they are at."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def dask_setup(worker: object) -> None:  # noqa: ARG001  # as Dask calls it
    """Have the kernel end this process with the thread that started it, which its nanny keeps for as long as it lives.

    Dask's own watch over the driver is a thread of the worker, which stands still while a library holds Python's lock.
    Linux alone has this; elsewhere that watch has to do.
    """
    driver = os.getppid()
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        return
    if os.getppid() != driver:
        os.kill(os.getpid(), signal.SIGKILL)
