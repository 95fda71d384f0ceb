"""The program that the driver starts: it loads once what workers need, and is a worker, or forks them when asked to.

Its standard input is a socket of the driver. Nothing of the driver's own program is loaded or run a second time.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import struct
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from segscale.flows.cluster import tied
from segscale.flows.processes.worker import work_for

ORDER = struct.Struct("!cQ")
"""What is asked of the process that forks, and the number of the worker that it is about. A socket comes with FORK."""
FORK, KILL = b"f", b"k"
LOOK_SECONDS = 1.0
"""So often that process sees whether its driver is there, whose socket another process may hold open."""


def fork_workers(preload: str, memory_bytes: int, driver: int) -> NoReturn:
    """Fork a worker for each order, for as long as the process `driver` is there; then end them all."""
    orders = _socket_of_driver()
    _load(preload)
    # Until now it has no workers, and ends at once. From here on it ends by its orders, and its workers before it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # What was loaded is shared with the workers for as long as nobody writes there.
    gc.collect()
    gc.freeze()
    workers: dict[int, int] = {}
    while os.getppid() == driver:
        _forget_ended(workers)
        if not select.select([orders], [], [], LOOK_SECONDS)[0]:
            continue
        order, sockets, *_ = socket.recv_fds(orders, ORDER.size, 1)
        if not order:
            break
        what, number = ORDER.unpack(order)
        if what == FORK:
            with socket.socket(fileno=sockets[0]) as its, suppress(OSError):
                # Where the machine has no room for another process, the driver sees the socket end.
                workers[number] = _forked(orders, its, memory_bytes)
        elif number in workers:
            os.kill(workers[number], signal.SIGKILL)
    for worker in workers.values():
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    for worker in workers.values():
        os.waitpid(worker, 0)
    os._exit(0)


def be_worker(preload: str, memory_bytes: int) -> NoReturn:
    """Be one worker, where forking what has loaded the libraries of the system is not safe."""
    driver = _socket_of_driver()
    _load(preload)
    work_for(driver, memory_bytes)


def _socket_of_driver() -> socket.socket:
    found = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # In a session of its own nobody types, and whoever ends the driver ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return found


def _load(preload: str) -> None:
    import_module(preload).warm_up()


def _forked(orders: socket.socket, its: socket.socket, memory_bytes: int) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        orders.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        tied.end_with(parent)
        work_for(its, memory_bytes)
    finally:
        # Nothing may come back into the loop of the parent.
        os._exit(70)


def _forget_ended(workers: dict[int, int]) -> None:
    """Let go of the workers that are gone, whose process numbers may become others'."""
    for number, pid in list(workers.items()):
        if os.waitpid(pid, os.WNOHANG)[0]:
            del workers[number]
