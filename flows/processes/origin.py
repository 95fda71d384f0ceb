"""Where worker processes come from: one that has loaded everything and forks them, or an interpreter for each."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Protocol

from segscale.errors import ClusterLostError
from segscale.flows.processes.program import FORK, KILL, ORDER

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Workers share the cores as processes, so each computes with one thread. What the user sets stands, as with Dask."""
END_SECONDS = 10.0
"""So long processes that were killed may take to go."""


class Origin(Protocol):
    """What started a worker, and ends it: the process number alone could be another's by now."""

    def is_there(self) -> bool:
        """Whether a worker that has ended did so by itself, and not with what started it."""
        ...

    def kill(self, number: int) -> None:
        """End the worker of this number, whatever it is at."""
        ...

    def close(self) -> None:
        """Kill all that is left and wait until it is gone."""
        ...


class Forker:
    """A process that forks workers; it never says a word, and they end with it."""

    def __init__(self, preload: str, memory_bytes: int) -> None:
        self._orders, its = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with its:
            call = f"fork_workers({preload!r}, {memory_bytes}, {os.getpid()})"
            self._process = _start(its, call)

    def is_there(self) -> bool:
        try:
            return bool(self._orders.recv(1, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def fork(self, number: int, its: socket.socket) -> None:
        """Order a worker at the other end of a socket; its first word says when it is there."""
        # Where the process has ended since, whoever waits for the worker hears of that end.
        with suppress(OSError):
            socket.send_fds(self._orders, [ORDER.pack(FORK, number)], [its.fileno()])

    def kill(self, number: int) -> None:
        with suppress(OSError):
            self._orders.send(ORDER.pack(KILL, number))

    def close(self) -> None:
        # At the end of its orders it kills its workers, and waits for them; while it still loads it has none.
        self._orders.close()
        self._process.terminate()
        _await_end(self._process)


class Alone:
    """A worker that is an interpreter of its own, where what has loaded the system's libraries cannot fork."""

    def __init__(self, preload: str, memory_bytes: int, its: socket.socket) -> None:
        self._process = _start(its, f"be_worker({preload!r}, {memory_bytes})")

    def is_there(self) -> bool:
        return True

    def kill(self, number: int) -> None:  # noqa: ARG002  # there is one
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        _await_end(self._process)


def _start(its: socket.socket, call: str) -> subprocess.Popen[bytes]:
    """A Python process with the paths and the settings of this one, and a socket for its standard input.

    Its session is its own: no signal of a terminal reaches it, nor one to the group of the command.
    """
    program = f"import sys; sys.path[:] = sys.argv[1:]; from segscale.flows.processes import program; program.{call}"
    settings = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does it
    try:
        return subprocess.Popen(
            # Nothing in the folder it is started in may stand in for a module, but for what this process finds there.
            [sys.executable, *settings, "-P", "-c", program, *sys.path],
            stdin=its.fileno(),
            env={**dict.fromkeys(ONE_THREAD, "1"), **os.environ},
            start_new_session=True,
        )
    except OSError as error:
        raise ClusterLostError(f"no process for workers can be started on this machine: {error}") from error


def _await_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        # It waits for a worker that a file system holds; that one ends when it is let go.
        process.kill()
        process.wait()
