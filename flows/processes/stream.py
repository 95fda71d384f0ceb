"""A stream of shards over processes of this machine, with the limits and the outcomes of one over Dask."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from segscale.errors import ClusterLostError
from segscale.flows.processes.messages import Done, Raised, Ready, packed
from segscale.flows.processes.pool import Pool, Worker
from segscale.flows.shards.retry import (
    UNLIMITED,
    Attempt,
    Finished,
    Job,
    Limits,
    Lost,
    Pauses,
    after_death,
    after_error,
    outcomes_of,
)

SHARDS_PER_WORKER = 3
"""One at work, one that is there when it ends, and one for whoever is the next to have none."""
LOOK_SECONDS = 5.0
"""So long nothing need happen."""
START_SECONDS = 600.0
"""So long a worker may take until it is there: where nothing is compiled yet it begins with that."""
STARTS = 3
"""So often in a row each worker may end before it was there, or with the process that forks it."""


def stream_shards(
    pool: Pool, work: Callable[..., Any], jobs: Iterable[Job], *arguments: Any, limits: Limits = UNLIMITED
) -> Iterator[Finished | Lost]:
    """Run ``work(job, *arguments)`` for each job on the processes of a pool and yield an outcome for each.

    As `segscale.flows.shards.stream.stream_shards`, with two differences: a worker that ends costs an attempt of the
    shard that it was at and of no other, and the driver keeps the time limits and ends the worker. Raises
    ClusterLostError where no process can be started.
    """
    stream = _Stream(pool, work, arguments, limits)
    try:
        yield from outcomes_of(stream, jobs)
    finally:
        stream.drop()


class _Stream:
    """What is under way on which worker, what is ready for the next, and what waits for another attempt."""

    def __init__(self, pool: Pool, work: Callable[..., Any], arguments: tuple[Any, ...], limits: Limits) -> None:
        self._pool, self._work, self._arguments, self._limits = pool, work, arguments, limits
        self._window = limits.window or SHARDS_PER_WORKER * pool.count
        self._workers: list[Worker] = []
        self._ready: deque[Attempt] = deque()
        self._pauses = Pauses()
        self._outcomes: deque[Finished | Lost] = deque()
        self._failed_starts = 0
        self._selector = selectors.DefaultSelector()

    def room(self) -> int:
        """How many more shards may be under way now; as many may have ended whose outcomes nobody has taken yet."""
        at_work = sum(len(worker.in_hand) for worker in self._workers) + max(0, len(self._outcomes) - self._window)
        return max(0, self._window - at_work - len(self._ready) - len(self._pauses))

    def is_busy(self) -> bool:
        return bool(self._outcomes or self._ready or self._pauses or any(worker.in_hand for worker in self._workers))

    def submit(self, attempt: Attempt) -> None:
        self._ready.append(attempt)

    def next_outcome(self) -> Finished | Lost | None:
        """Wait for news; None where they are no outcome, or where none came for a while."""
        self._ready.extend(self._pauses.due())
        self._hand_out()
        for selected, _ in self._selector.select(self._seconds_to_wait()):
            self._hear(selected.data)
        self._end_late()
        return self._outcomes.popleft() if self._outcomes else None

    def drop(self) -> None:
        """Let go of the workers; nobody waits for what they are at."""
        self._selector.close()
        for worker in self._workers:
            self._pool.give(worker)

    def _hand_out(self) -> None:
        """Give what is ready to workers that have nothing; a second shard each, while there is enough for all."""
        while self._ready and len(self._workers) < self._pool.count:
            self._add(self._pool.take())
        for worker in self._workers:
            if self._ready and not worker.in_hand:
                self._give(worker, self._ready.popleft())
        for worker in self._workers:
            if len(self._ready) >= self._pool.count and len(worker.in_hand) == 1:
                self._give(worker, self._ready.popleft())

    def _add(self, worker: Worker) -> None:
        self._workers.append(worker)
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def _give(self, worker: Worker, attempt: Attempt) -> None:
        if worker.is_ready and not worker.in_hand:
            worker.since = time.monotonic()
        worker.in_hand.append(attempt)
        worker.channel.send(packed((self._work, attempt.job, *self._arguments)))
        self._listen(worker)

    def _listen(self, worker: Worker) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.channel.is_behind else 0)
        self._selector.modify(worker.channel, events, worker)

    def _hear(self, worker: Worker) -> None:
        """Take what a worker says, and send what there is room for."""
        worker.channel.flush()
        for message in worker.channel.receive():
            worker.since = time.monotonic()
            if isinstance(message, Ready):
                worker.is_ready = True
                continue
            self._failed_starts = 0
            attempt = worker.in_hand.popleft()
            if isinstance(message, Done):
                self._outcomes.append(Finished(attempt.job.key, message.result, attempt.number))
            else:
                assert isinstance(message, Raised)
                self._settle(after_error(attempt, message.as_error()))
        if worker.channel.has_ended:
            self._bury(worker, "WorkerDied: a worker died at it")
        else:
            self._listen(worker)

    def _end_late(self) -> None:
        """End the workers that take longer than their shard may."""
        now = time.monotonic()
        for worker in [worker for worker in self._workers if self._deadline(worker) <= now]:
            limit = self._limits.seconds(worker.in_hand[0].job.key)
            self._bury(worker, f"TimeLimit: it took more than {limit:.0f} s")

    def _deadline(self, worker: Worker) -> float:
        """When a worker is ended, by the monotonic clock."""
        if not worker.is_ready:
            return worker.since + START_SECONDS
        if not worker.in_hand:
            return float("inf")
        return worker.since + self._limits.seconds(worker.in_hand[0].job.key)

    def _bury(self, worker: Worker, reason: str) -> None:
        """A worker is gone, or ended here: the shard that it was at is to blame, unless it was at none."""
        self._selector.unregister(worker.channel)
        self._workers.remove(worker)
        was_there = worker.is_ready and worker.origin.is_there()
        self._pool.end(worker)
        if worker.in_hand and was_there:
            self._settle(after_death(worker.in_hand.popleft(), reason, self._limits.deaths))
        elif not was_there:
            self._failed_starts += 1
            if self._failed_starts >= STARTS * self._pool.count:
                raise ClusterLostError(
                    "no process of workers stays on this machine; what was committed stays: see what ends them "
                    "(memory, limits of processes), and run again"
                )
        self._ready.extendleft(reversed(worker.in_hand))
        worker.in_hand.clear()

    def _settle(self, outcome: Finished | Lost | Attempt) -> None:
        if isinstance(outcome, Attempt):
            self._pauses.add(outcome)
        else:
            self._outcomes.append(outcome)

    def _seconds_to_wait(self) -> float:
        if self._outcomes:
            return 0.0
        ends = [self._deadline(worker) - time.monotonic() for worker in self._workers]
        return max(0.0, min([LOOK_SECONDS, self._pauses.seconds(), *ends]))
