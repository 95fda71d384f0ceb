"""A stream of shards over the workers: a bounded window, small records back, nothing kept."""

from __future__ import annotations

import asyncio
import itertools
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from distributed import Client, Future
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from segscale.errors import ClusterLostError
from segscale.flows.cluster.scheduler import bring_back, expected_workers, patience_seconds, worker_count
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
from segscale.flows.shards.timeout import run_limited, seconds_taken

SHARDS_PER_WORKER = 2
"""One at work, one that is there when it ends."""
WORD_SECONDS = 0.05
"""So long it takes at most until a worker has another shard for one that ended: Dask sends words in batches. Of shards
that are shorter more are at hand; a worker that dies takes all that it has with it, which costs these little."""
LOOK_SECONDS = 5.0
"""So often the cluster is looked at while nothing comes back."""
NO_WORKERS_SECONDS = 300.0
"""So long a run waits for workers to come back before it ends."""
LIMITS_IN_ALL = 4.0
"""So many of its time limits an attempt may be under way, queue and moves included. Workers that come to the end of
their lives hand a shard on without a word, and each starts it, and its limit, from the beginning."""

FETCH_SECONDS = 0.05
"""Shards that end within so long share the requests for their results. A request for each would cost as much as all
else that Dask does for it, while others take their places at the workers."""

_ENDED = object()
"""Stands for the result of an attempt while that is still on a worker."""
_GIVEN_UP = object()
"""Stands for the result of an attempt that nobody waits for any more."""


def stream_shards(
    client: Client, work: Callable[..., Any], jobs: Iterable[Job], *arguments: Any, limits: Limits = UNLIMITED
) -> Iterator[Finished | Lost]:
    """Run ``work(job, *arguments)`` for each job on the workers and yield an outcome for each, as it finishes.

    The work returns a small record, never None. `jobs` is drawn from only as fast as shards finish, so neither the
    jobs nor the results of a large run are ever in memory together. A shard whose work raises is tried again after a
    pause, on whichever worker is free, three times in all, while the others go on. One at which workers died, or ended
    because it took too long, is tried once more; the second time it comes back as `Lost` with a word in `deadly`.
    Raises ClusterLostError where the scheduler is gone, or no worker comes back.
    """
    stream = _Stream(client, work, arguments, limits)
    try:
        yield from outcomes_of(stream, jobs)
    except (CommClosedError, ClosedClientError, OSError) as error:
        raise ClusterLostError(f"the scheduler is gone ({error}); what was committed stays, run again") from error
    finally:
        stream.drop()


class _Stream:
    """What is under way, what waits for another attempt, and how the cluster looks."""

    def __init__(self, client: Client, work: Callable[..., Any], arguments: tuple[Any, ...], limits: Limits) -> None:
        self._client, self._work, self._arguments, self._limits = client, work, arguments, limits
        # Dask knows work by its name, and other drivers may be at the same shards for other stores.
        self._name = f"{getattr(work, '__name__', 'work')}-{uuid.uuid4().hex[:12]}"
        self._under_way: dict[str, tuple[Attempt, Future]] = {}
        self._pauses = Pauses()
        self._numbers = itertools.count()
        self._news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._ended: set[str] = set()
        self._to_fetch: dict[str, Future] = {}
        self._window = limits.window
        self._longest = 0.0
        self._n_ended = 0
        self._looked = self._workers_seen = time.monotonic()
        self._look()

    def room(self) -> int:
        """How many more shards may be under way now; those whose results are on their way are at work no more."""
        at_work = len(self._under_way) - min(len(self._ended), self._window)
        return max(0, self._window - at_work - len(self._pauses))

    def is_busy(self) -> bool:
        return bool(self._under_way or self._pauses)

    def submit(self, attempt: Attempt) -> None:
        name = f"{self._name}-{attempt.job.key}-{next(self._numbers)}"
        seconds = self._limits.seconds(attempt.job.key)
        future = self._client.submit(
            run_limited, name, seconds, self._work, attempt.job, *self._arguments, key=name, pure=False
        )
        # What is before it in the queue may take its limit too, and workers may be a while in coming.
        self._longest = max(self._longest, seconds)
        given_up = time.monotonic() + LIMITS_IN_ALL * self._longest + self._patience()
        self._under_way[name] = replace(attempt, given_up=given_up), future
        self._client.loop.add_callback(self._follow, name, future)

    async def _follow(self, name: str, future: Future) -> None:
        """Say that an attempt has ended, and fetch its result with those that end soon after it.

        On the thread of the client, whatever the reader of the stream is at.
        """
        await future.exception(asynchronous=True)
        if future.status in ("error", "cancelled"):
            self._news.put((name, None))
            return
        self._news.put((name, _ENDED))
        self._to_fetch[name] = future
        if len(self._to_fetch) > 1:
            return
        await asyncio.sleep(FETCH_SECONDS)
        futures, self._to_fetch = self._to_fetch, {}
        # Of what is asked for in one turn of its loop Dask makes one request; each answer comes when it is there.
        await asyncio.gather(*(self._fetch(name, future) for name, future in futures.items()))

    async def _fetch(self, name: str, future: Future) -> None:
        """Fetch a result; one that was lost with its worker is computed again, and what was committed found then."""
        try:
            results = await self._client.gather({name: future}, errors="skip", asynchronous=True)
            self._news.put((name, results[name]))
        except Exception as error:  # noqa: BLE001  # raised where the stream is read
            self._news.put((name, error))

    def next_outcome(self) -> Finished | Lost | None:
        """Wait for news; None where they are no outcome, or where none came for a while."""
        for attempt in self._pauses.due():
            self.submit(attempt)
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
        try:
            name, result = self._news.get(timeout=min(max(self._pauses.seconds(), 0.01), LOOK_SECONDS))
        except queue.Empty:
            return None
        if name not in self._under_way:
            # It was given up: how it ended after all is nobody's concern.
            return None
        if isinstance(result, Exception):
            # A client that was closed meanwhile fails at anything.
            self._require_scheduler()
            raise result
        if result is _ENDED:
            self._ended.add(name)
            return None
        return self._take(name, result)

    def _take(self, name: str, result: Any) -> Finished | Lost | None:
        """What became of an attempt that is under way no more; None where the shard is to be tried again."""
        attempt, future = self._under_way.pop(name)
        self._ended.discard(name)
        self._n_ended += 1
        outcome = self._outcome(future, attempt, result)
        future.release()
        if isinstance(outcome, Attempt):
            self._pauses.add(outcome)
            return None
        return outcome

    def drop(self) -> None:
        """Let go of what is under way: nobody waits for it any more."""
        for _, future in self._under_way.values():
            future.release()

    def _look(self) -> None:
        """Take the size of the window from the workers there are; end where none has been there for too long."""
        seconds, self._looked = max(time.monotonic() - self._looked, 1e-3), time.monotonic()
        self._require_scheduler()
        count = worker_count(self._client)
        bring_back(self._client)
        if count:
            self._workers_seen = self._looked
        elif self._looked - self._workers_seen > self._patience():
            raise ClusterLostError(
                f"the cluster has had no worker for {self._patience():.0f} s; what was committed stays: start "
                "workers and run again"
            )
        for name, (attempt, _) in self._under_way.items():
            if self._looked > attempt.given_up:
                self._news.put((name, _GIVEN_UP))
        self._window = self._limits.window or int(
            SHARDS_PER_WORKER * max(1, count, expected_workers(self._client)) + self._n_ended / seconds * WORD_SECONDS
        )
        self._n_ended = 0

    def _require_scheduler(self) -> None:
        if self._client.status not in ("running", "connecting"):
            raise ClusterLostError("the scheduler is gone; what was committed stays, run again")

    def _patience(self) -> float:
        return max(NO_WORKERS_SECONDS, patience_seconds(self._client))

    def _outcome(self, future: Future, attempt: Attempt, result: Any) -> Finished | Lost | Attempt:
        """What became of a shard: finished, lost, or to be tried again."""
        key = attempt.job.key
        if result is _GIVEN_UP:
            late = f"TimeLimit: it was not done in {LIMITS_IN_ALL:.0f} times its limit"
            return after_death(attempt, late, self._limits.deaths)
        if result is not None:
            # It is here, whether or not its worker has died with it since.
            return Finished(key, result, attempt.number)
        if future.status == "cancelled":
            raise ClusterLostError(f"shard {key[:12]} was cancelled: the cluster was closed or lost its state")
        error = future.exception()
        if isinstance(error, KilledWorker):
            taken = seconds_taken(self._client, future.key)
            late = f"TimeLimit: it took more than {taken:.0f} s" if taken is not None else ""
            return after_death(attempt, late or "WorkerDied: a worker died at it", self._limits.deaths)
        return after_error(attempt, error)
