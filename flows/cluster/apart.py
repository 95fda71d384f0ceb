"""Processes that a signal to the whole group leaves alone: who has started them ends them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

OF_TERMINALS = (signal.SIGINT, signal.SIGHUP)


@contextmanager
def deaf() -> Iterator[None]:
    """Threads that are started in this block, and all processes that they or it start, hear no signal of a terminal.

    A terminal sends Ctrl-C to all processes of its command. Workers that ended by it, each with a traceback, would be
    replaced by their nannies while the driver closes the cluster. The thread in the block hears none either, until its
    end; another thread may.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
