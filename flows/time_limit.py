"""A limit to the time of a shard, kept by the worker itself: it ends its process, and the driver hears why."""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, get_worker

TOPIC = "segscale-time-limit"
"""Of the events that name the tasks that took too long."""
GRACE_SECONDS = 30.0
"""So much later a process ends whose threads cannot run, because one of them never lets go of Python's lock."""
_EXIT_CODE = 70


def run_limited(name: str, seconds: float, work: Callable[..., Any], *arguments: Any) -> Any:
    """``work(*arguments)`` on a worker, as the task `name`; where it takes longer, the worker's process ends.

    Nothing else ends what hangs in a library or in a file system. The nanny starts another process in its place.
    """
    with _limited(name, seconds):
        return work(*arguments)


@contextmanager
def _limited(name: str, seconds: float) -> Iterator[None]:
    worker = get_worker()

    def end() -> None:
        worker.log_event(TOPIC, {"task": name, "seconds": seconds})
        # The event leaves with the next heartbeat of the connection, some milliseconds from now.
        time.sleep(1)
        os._exit(_EXIT_CODE)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    # One for the process: of several threads the last one sets it, which is late enough for the others.
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def took_too_long(client: Client, name: str) -> bool:
    """Whether a worker ended because the task of this name took too long."""
    return any(event["task"] == name for _, event in client.get_events(TOPIC))
