"""A stream of shards over the workers: a bounded window, small records back, nothing kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from distributed import Client, Future, as_completed
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from flows.cluster import ClusterLostError, worker_count

# Two for each worker: one at work, one that is there when it ends.
SHARDS_PER_WORKER = 2
RETRIES = 2


class Job(Protocol):
    """A piece of work that knows its key."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Lost:
    """A shard that no attempt finished; the next run tries it again."""

    key: str
    error: str


def stream_shards(
    client: Client,
    work: Callable[..., Any],
    jobs: Iterable[Job],
    *arguments: Any,
    resources: dict[str, float] | None = None,
) -> Iterator[Any]:
    """Run ``work(job, *arguments)`` for each job on the workers and yield what it returns, as it finishes.

    `jobs` is drawn from only as fast as shards finish, so neither the jobs nor the results of a large run are ever in
    memory together. A shard whose work raises is tried again twice, on whichever worker is free; one that still fails,
    or that keeps killing its workers, comes back as `Lost`, and the others go on. Raises ClusterLostError where the
    scheduler is gone.
    """
    source = iter(jobs)

    def submit(job: Job) -> Future:
        name = f"{getattr(work, '__name__', 'work')}-{job.key}"
        return client.submit(work, job, *arguments, key=name, retries=RETRIES, pure=False, resources=resources)

    try:
        window = islice(source, SHARDS_PER_WORKER * worker_count(client))
        finished = as_completed([submit(job) for job in window])
        for future in finished:
            yield _outcome(future)
            future.release()
            following = next(source, None)
            if following is not None:
                finished.add(submit(following))
    except (CommClosedError, OSError) as error:
        raise ClusterLostError(
            f"the scheduler at {client.scheduler and client.scheduler.address} is gone: {error}"
        ) from error


def _outcome(future: Future) -> Any:
    key = future.key.split("-", 1)[1]
    if future.status == "finished":
        return future.result()
    if future.status == "error":
        error = future.exception()
        if isinstance(error, KilledWorker):
            return Lost(key, f"WorkerDied: {error.allowed_failures + 1} workers died at it")
        return Lost(key, f"{type(error).__name__}: {error}")
    raise ClusterLostError(f"shard {key[:12]} was {future.status}: the cluster was closed or lost its state")
