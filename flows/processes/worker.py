"""A worker: it does the jobs that come over a socket, one after the other, for as long as the other end is there."""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
from typing import NoReturn

import psutil

from segscale.flows.processes.messages import Done, Incoming, Ready, framed, pack_error, packed, unpacked

LOOK_SECONDS = 0.1
"""So often a worker looks at its memory, and whether the driver is there."""
MEMORY_SHARE = 0.95
"""Of its part of the memory; a worker that has more ends, as Dask's do."""
OUT_OF_MEMORY = 71
"""Its exit code then."""


def work_for(driver: socket.socket, memory_bytes: int) -> NoReturn:
    """Do what comes until the other end is closed; then this process ends, whatever it is at."""
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(driver, jobs, memory_bytes), name="driver", daemon=True).start()
    driver.sendall(framed(packed(Ready())))
    while True:
        driver.sendall(framed(_answer(jobs.get())))


def _answer(message: bytes) -> bytes:
    try:
        work, *arguments = unpacked(message)
        return packed(Done(work(*arguments)))
    except BaseException as error:  # noqa: BLE001  # the driver decides what becomes of the shard
        return pack_error(error)


def _listen(driver: socket.socket, jobs: queue.SimpleQueue[bytes], memory_bytes: int) -> NoReturn:
    """Take jobs from the socket, and end this process with the driver, or when it takes too much memory.

    The driver's end may be held open by a process that it has forked; then its own end is seen by the parent's number.
    """
    process, parent, incoming = psutil.Process(), os.getppid(), Incoming()
    while os.getppid() == parent:
        if process.memory_info().rss > MEMORY_SHARE * memory_bytes:
            os._exit(OUT_OF_MEMORY)
        if not select.select([driver], [], [], LOOK_SECONDS)[0]:
            continue
        try:
            data = driver.recv(1 << 18)
        except OSError:
            break
        if not data:
            break
        for message in incoming.add(data):
            jobs.put(message)
    os._exit(0)
