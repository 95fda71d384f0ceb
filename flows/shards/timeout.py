"""A limit to the time of a shard, kept by the worker itself: it ends its process, and the driver hears why."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, Worker, get_worker

from segscale.flows.cluster.scheduler import answered

TOPIC = "segscale-time-limit"
"""Of the events that name the tasks that took too long."""
TELL_SECONDS = 10.0
"""So long a process that ends tries to say why."""
GRACE_SECONDS = 30.0
"""So much later a process ends whose threads cannot run, because one of them never lets go of Python's lock."""
_EXIT_CODE = 70
_at_work = threading.local()


def run_limited(name: str, seconds: float, work: Callable[..., Any], *arguments: Any) -> Any:
    """``work(*arguments)`` on a worker, as the task `name`; where it takes longer, the worker's process ends.

    Nothing else ends what hangs in a library or in a file system. The nanny starts another process in its place.
    """
    alarm = _at_work.alarm = _Alarm(name, seconds)
    try:
        alarm.set(seconds)
        return work(*arguments)
    finally:
        alarm.clear()
        del _at_work.alarm


@contextmanager
def other_limit(seconds: float) -> Iterator[None]:
    """Another limit for what a worker does once, such as building a network; the shard's own begins anew after it.

    Counted with the first shard, it would take the blame for what is no fault of its images. Nothing happens outside
    of `run_limited`.
    """
    alarm: _Alarm | None = getattr(_at_work, "alarm", None)
    if alarm is None:
        yield
        return
    alarm.set(seconds)
    yield
    alarm.set(alarm.seconds)


class _Alarm:
    """Ends this process, unless it is cleared in time."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds = name, seconds
        self._worker = get_worker()
        self._timer: threading.Timer | None = None

    def set(self, seconds: float) -> None:
        self.clear()
        self._timer = threading.Timer(seconds, self._end, (seconds,))
        self._timer.daemon = True
        self._timer.start()
        # One for the process: workers have one thread each.
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)

    def clear(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            faulthandler.cancel_dump_traceback_later()

    def _end(self, seconds: float) -> None:
        # What hangs may leave little time to the thread of the connection.
        with contextlib.suppress(Exception):
            told = _tell(self._worker, {"task": self.name, "seconds": seconds})
            asyncio.run_coroutine_threadsafe(told, self._worker.loop.asyncio_loop).result(TELL_SECONDS)
        os._exit(_EXIT_CODE)


async def _tell(worker: Worker, event: dict[str, Any]) -> None:
    # An answer says that the scheduler has it, before it sees the connection end.
    await worker.scheduler.log_event(topic=TOPIC, msg=event)


def seconds_taken(client: Client, name: str) -> float | None:
    """The limit at which a worker ended because the task of this name took too long; None where none did."""
    events = answered(client, client.get_events, TOPIC)
    return next((float(event["seconds"]) for _, event in events if event["task"] == name), None)
