"""A stream of shards over the workers: a bounded window, small records back, nothing kept."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from distributed import Client, Future, as_completed
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from flows.cluster import ClusterLostError, worker_count

logger = logging.getLogger("segscale")
# Two for each worker: one at work, one that is there when it ends.
SHARDS_PER_WORKER = 2
ATTEMPTS = 3


class PermanentError(RuntimeError):
    """What no further attempt can change."""


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


@dataclass(frozen=True, slots=True)
class _Attempt:
    job: Job
    number: int


def stream_shards(
    client: Client, work: Callable[..., Any], jobs: Iterable[Job], *arguments: Any
) -> Iterator[Finished | Lost]:
    """Run ``work(job, *arguments)`` for each job on the workers and yield an outcome for each, as it finishes.

    `jobs` is drawn from only as fast as shards finish, so neither the jobs nor the results of a large run are ever in
    memory together. A shard whose work raises is tried again, on whichever worker is free, three times in all; one
    that still fails, or that keeps killing its workers, comes back as `Lost`, and the others go on. Raises
    ClusterLostError where the scheduler is gone.
    """
    source = iter(jobs)
    # Dask knows work by its name, and other drivers may be at the same shards for other stores.
    stream = uuid.uuid4().hex[:12]
    under_way: dict[str, _Attempt] = {}

    def submit(attempt: _Attempt) -> Future:
        name = f"{getattr(work, '__name__', 'work')}-{stream}-{attempt.job.key}-{attempt.number}"
        under_way[name] = attempt
        return client.submit(work, attempt.job, *arguments, key=name, pure=False)

    try:
        window = islice(source, SHARDS_PER_WORKER * worker_count(client))
        finished = as_completed([submit(_Attempt(job, 1)) for job in window])
        for future in finished:
            attempt = under_way.pop(future.key)
            outcome = _outcome(future, attempt)
            future.release()
            if isinstance(outcome, _Attempt):
                finished.add(submit(outcome))
                continue
            yield outcome
            for job in islice(source, 1):
                finished.add(submit(_Attempt(job, 1)))
    except (CommClosedError, OSError) as error:
        raise ClusterLostError(f"the scheduler is gone ({error}); what was committed stays, run again") from error


def _outcome(future: Future, attempt: _Attempt) -> Finished | Lost | _Attempt:
    """What became of a shard: finished, lost, or to be tried again."""
    key = attempt.job.key
    if future.status == "finished":
        return Finished(key, future.result(), attempt.number)
    if future.status != "error":
        raise ClusterLostError(f"shard {key[:12]} was {future.status}: the cluster was closed or lost its state")
    error = future.exception()
    if isinstance(error, KilledWorker):
        # Dask has moved it from worker to worker already.
        return Lost(key, f"WorkerDied: {error.allowed_failures + 1} workers died at it", attempt.number)
    text = f"{type(error).__name__}: {error}"
    if attempt.number == ATTEMPTS or isinstance(error, PermanentError):
        return Lost(key, text, attempt.number)
    logger.warning("shard %s: attempt %d failed, trying again: %s", key[:12], attempt.number, text)
    return _Attempt(attempt.job, attempt.number + 1)
