"""Attempts at a shard: what becomes of one that failed, when there is another, and what comes of the last."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from segscale.errors import ContradictionError, PermanentError

logger = logging.getLogger("segscale")
ATTEMPTS = 3
DEATHS = 2
"""So often workers may die at a shard that had others beside it; then it is tried alone, with nothing else to blame."""
LEAST_SECONDS = 600.0
"""The time limit of a shard of work before what is in it is added, where none is configured."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before another attempt: the first, doubled each time, half of it left to chance."""


class Job(Protocol):
    """A piece of work that knows its key."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard that was finished."""

    key: str
    result: Any
    """What the work returned: a small record."""
    attempts: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A shard that no attempt finished; the next run tries it again."""

    key: str
    error: str
    attempts: int
    deadly: str = ""
    """WorkerDied or TimeLimit where workers ended at it: something in it may end them. Empty for what was raised."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a stream is."""

    seconds: Callable[[str], float]
    """For the shard of a key."""
    deaths: int = DEATHS
    window: int = 0
    """Shards under way at a time; 0: as many as keep the workers there are at work."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One of the attempts at a shard."""

    job: Job
    number: int
    deaths: int = 0
    given_up: float = math.inf
    """When nobody waits for it any more, by the monotonic clock."""


UNLIMITED = Limits(lambda _: 3600.0)
"""For what has no images: an hour, since nothing waits for ever."""


def after_error(attempt: Attempt, error: BaseException | None) -> Lost | Attempt:
    """The next attempt at a shard whose work raised, or Lost after `ATTEMPTS`, or at once for a PermanentError.

    A ContradictionError is raised: it is about the set, and no other shard can mend it.
    """
    if isinstance(error, ContradictionError):
        raise error
    key, reason = attempt.job.key, f"{type(error).__name__}: {error}"
    if attempt.number >= ATTEMPTS or isinstance(error, PermanentError):
        return Lost(key, reason, attempt.number)
    logger.warning("shard %s: attempt %d failed, trying again: %s", key[:12], attempt.number, reason)
    return replace(attempt, number=attempt.number + 1)


def after_death(attempt: Attempt, reason: str, most: int) -> Lost | Attempt:
    """The next attempt at a shard at which a worker ended, or Lost where that happened `most` times.

    `reason` begins with the word that the loss is known by: WorkerDied or TimeLimit.
    """
    key, deaths = attempt.job.key, attempt.deaths + 1
    if deaths >= most:
        return Lost(key, reason, attempt.number, deadly=reason.partition(":")[0])
    logger.warning("shard %s: attempt %d, trying again: %s", key[:12], attempt.number, reason)
    return replace(attempt, number=attempt.number + 1, deaths=deaths)


def pause_seconds(attempt: Attempt) -> float:
    """How long another attempt waits."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt.number - 2)) * random.uniform(0.5, 1.0)


class Pauses:
    """What waits for another attempt."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Attempt]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, attempt: Attempt) -> None:
        heapq.heappush(self._waiting, (time.monotonic() + pause_seconds(attempt), next(self._numbers), attempt))

    def due(self) -> Iterator[Attempt]:
        """Those whose time has come; they wait no more."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            yield heapq.heappop(self._waiting)[2]

    def seconds(self) -> float:
        """Until the next is due; without end (inf) where none waits."""
        return self._waiting[0][0] - time.monotonic() if self._waiting else math.inf


class Stream(Protocol):
    """Shards under way, on whatever workers."""

    def room(self) -> int:
        """How many more may be under way now."""
        ...

    def is_busy(self) -> bool:
        """Whether an outcome is to come."""
        ...

    def submit(self, attempt: Attempt) -> None: ...

    def next_outcome(self) -> Finished | Lost | None:
        """Wait for news; None where they are no outcome, or where none came for a while."""
        ...


def outcomes_of(stream: Stream, jobs: Iterable[Job]) -> Iterator[Finished | Lost]:
    """What becomes of each job, drawn only as fast as there is room for more."""
    source = iter(jobs)
    while True:
        for job in itertools.islice(source, stream.room()):
            stream.submit(Attempt(job, 1))
        if not stream.is_busy():
            return
        outcome = stream.next_outcome()
        if outcome is not None:
            yield outcome
