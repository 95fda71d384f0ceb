"""The processes of a driver: started when a stream needs them, held between streams, ended with the driver."""

from __future__ import annotations

import itertools
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from segscale.flows.cluster.machine import memory_bytes
from segscale.flows.processes.messages import Channel
from segscale.flows.processes.origin import Alone, Forker, Origin
from segscale.flows.shards.retry import Attempt

FORKS = sys.platform == "linux"
"""Elsewhere libraries of the system do not survive a fork, and each worker loads what it needs for itself."""


@dataclass(eq=False)
class Worker:
    """A worker process, as its driver knows it."""

    number: int
    origin: Origin
    channel: Channel
    in_hand: deque[Attempt] = field(default_factory=deque)
    """What it was sent and has not answered: the first it is at, the others wait."""
    is_ready: bool = False
    """It has said its first word."""
    since: float = field(default_factory=time.monotonic)
    """When it began with the first, by the monotonic clock; before it is ready, when it was asked for."""


class Pool:
    """Starts, holds and ends `count` workers, which load the module `preload` and call its `warm_up` first.

    Starting waits for nothing: the processes load while the driver goes on, and what they are to do lies ready then.
    """

    def __init__(self, count: int, preload: str) -> None:
        self.count = count
        self._preload, self._memory_bytes = preload, memory_bytes() // count
        self._idle: list[Worker] = []
        self._numbers = itertools.count()
        self._origins: list[Origin] = []

    def start(self) -> None:
        """Have all workers there, or on their way."""
        self._idle += [self._new() for _ in range(self.count - len(self._idle))]

    def take(self) -> Worker:
        """A worker for a stream: one that waits, or a new one."""
        while self._idle:
            worker = self._idle.pop()
            # While nothing is asked of it, it has one word to say.
            worker.is_ready |= bool(worker.channel.receive())
            if not worker.channel.has_ended:
                return worker
            worker.channel.close()
        return self._new()

    def give(self, worker: Worker) -> None:
        """Take a worker back; one that is at something is killed, since nobody waits for that any more."""
        if worker.in_hand:
            self.end(worker)
        else:
            self._idle.append(worker)

    def end(self, worker: Worker) -> None:
        """Kill a worker, or let go of one that is gone."""
        worker.origin.kill(worker.number)
        worker.channel.close()

    def close(self) -> None:
        """Kill all workers and wait until they are gone. What they have committed stands, the rest is nothing."""
        for worker in self._idle:
            worker.channel.close()
        for origin in self._origins:
            origin.close()
        self._idle, self._origins = [], []

    def _new(self) -> Worker:
        own, its = socket.socketpair()
        number = next(self._numbers)
        with its:
            if not FORKS:
                origin: Origin = Alone(self._preload, self._memory_bytes, its)
                self._origins.append(origin)
            else:
                origin = forker = self._forker()
                forker.fork(number, its)
        return Worker(number, origin, Channel(own))

    def _forker(self) -> Forker:
        """The process that forks, started where none is there."""
        for gone in [origin for origin in self._origins if not origin.is_there()]:
            gone.close()
            self._origins.remove(gone)
        if not self._origins:
            self._origins.append(Forker(self._preload, self._memory_bytes))
        (found,) = self._origins
        assert isinstance(found, Forker)
        return found
