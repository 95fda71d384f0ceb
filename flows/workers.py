"""The workers of a run, started or found when the first shard needs one: processes of this machine, or Dask's."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segscale.flows.cluster.needs import Needs, is_local
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.shards.retry import UNLIMITED, Finished, Job, Limits, Lost

if TYPE_CHECKING:
    from distributed import Client

    from segscale.flows.processes.pool import Pool

PRELOAD = "segscale.flows.worker.warm"
LARGE_IMAGES = 1_000_000
"""A set of so many images is worked on for minutes at least, of which the start of a cluster is no part that counts."""


def is_small(n_images: int, *, predicts: bool) -> bool:
    """Whether a set is for processes of this machine alone, where the configuration says nothing of workers.

    A network is for a cluster: its workers hold what they have compiled, and tell how they computed.
    """
    return not predicts and n_images < LARGE_IMAGES


_early: list[Pool] = []
"""Processes that were started before a run asked for them."""


def start_early(config: EvaluationConfig) -> None:
    """Start the processes of a run that is about to begin, so that they load beside what starts it.

    Only where there is work for sure: existing predictions are scored, and the store is a folder that is not there yet.
    """
    scores = config.predictions.path or (config.dataset.manifest and not config.model.path)
    store = config.store.path
    if _asks_for_none(config.cluster) and scores and is_local(store) and not Path(store, "ledger").exists():
        _early.append(_new_pool(config.cluster))
        atexit.register(end_early)


def end_early() -> None:
    """End the processes that were started early and that no run has taken."""
    while _early:
        _early.pop().close()


def _asks_for_none(config: Cluster) -> bool:
    """Whether the configuration says nothing of workers."""
    return config.kind == "local" and not config.workers


def _new_pool(config: Cluster) -> Pool:
    from segscale.flows.cluster.machine import local_workers
    from segscale.flows.processes.pool import Pool

    pool = Pool(local_workers(config), PRELOAD)
    pool.start()
    return pool


class Workers:
    """Nothing is imported, started or asked before the first shard; `close` ends what was started.

    With `alone` and no word of the configuration about workers they are processes of this machine without a cluster;
    else Dask's, of which those that are no processes of this machine are checked against `needs` before they get any
    work. What comes of the work is the same.
    """

    def __init__(self, config: Cluster, needs: Needs | None = None, alone: bool = False) -> None:
        self._config, self._needs = config, needs or Needs()
        self._alone = alone and _asks_for_none(config)
        self._client: Client | None = None
        self._pool: Pool | None = None
        self._open = ExitStack()

    @property
    def client(self) -> Client:
        """Dask's client; the first call starts or finds the cluster, which does all work from then on.

        Raises ClusterLostError where the cluster or its workers are not there within `cluster.wait_seconds`,
        ConfigError where workers cannot do this run.
        """
        if self._client is None:
            # Whoever has no shard to do starts without Dask.
            from segscale.flows.cluster.client import open_cluster

            self._alone = False
            # What was started early would stay beside the workers of Dask.
            end_early()
            try:
                self._client = open_cluster(self._config, self._needs, self._open)
            except BaseException:
                self._open.close()
                raise
        return self._client

    def start(self) -> None:
        """Start the processes, where they are to do the work, and wait for nothing: they load beside the driver."""
        if self._alone and self._pool is None:
            from segscale.tasks.compiled import say_whether_kept

            self._pool = _early.pop() if _early else _new_pool(self._config)
            say_whether_kept()
            self._open.callback(self._pool.close)

    def stream(
        self, work: Callable[..., Any], jobs: Iterable[Job], *arguments: Any, limits: Limits = UNLIMITED
    ) -> Iterator[Finished | Lost]:
        """`segscale.flows.shards.stream.stream_shards` over these workers, or the same over processes."""
        self.start()
        if self._alone and self._pool is not None:
            from segscale.flows.processes import stream as processes

            return processes.stream_shards(self._pool, work, jobs, *arguments, limits=limits)
        client = self.client
        from segscale.flows.shards.stream import stream_shards

        return stream_shards(client, work, jobs, *arguments, limits=limits)

    def try_alone(
        self, work: Callable[..., Any], job: Job, *arguments: Any, seconds: Callable[[str], float]
    ) -> Finished | Lost:
        """One attempt with nothing else under way, so that nothing else is to blame where a worker ends."""
        (outcome,) = self.stream(work, [job], *arguments, limits=Limits(seconds, deaths=1, window=1))
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(at_once=kind is not None and not issubclass(kind, Exception))

    def close(self, at_once: bool = False) -> None:
        """End the workers that were started, and let go of those that were found.

        `at_once` kills what is a process of this machine, instead of waiting for what it is at.
        """
        cluster = getattr(self._client, "own_cluster", None)
        if at_once and cluster is not None:
            from segscale.flows.cluster.local import end_at_once

            end_at_once(cluster)
        self._open.close()
        self._client = self._pool = None
