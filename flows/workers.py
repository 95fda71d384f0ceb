"""The workers of a run: a Dask cluster that is started, or found, when the first shard needs a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segscale.flows.cluster.needs import Needs
from segscale.flows.config.sections import Cluster
from segscale.flows.shards.retry import UNLIMITED, Finished, Job, Limits, Lost

if TYPE_CHECKING:
    from distributed import Client


class Workers:
    """Nothing of Dask is imported, started or asked before the first shard; `close` ends what was started.

    Workers that are no processes of this machine are checked against `needs` before they get any work.
    """

    def __init__(self, config: Cluster, needs: Needs | None = None) -> None:
        self._config, self._needs = config, needs or Needs()
        self._client: Client | None = None
        self._open = ExitStack()

    @property
    def client(self) -> Client:
        """Dask's client; the first call starts or finds the cluster.

        Raises ClusterLostError where the cluster or its workers are not there within `cluster.wait_seconds`,
        ConfigError where workers cannot do this run.
        """
        if self._client is None:
            # Whoever has no shard to do starts without Dask.
            from segscale.flows.cluster.client import open_cluster

            try:
                self._client = open_cluster(self._config, self._needs, self._open)
            except BaseException:
                self._open.close()
                raise
        return self._client

    def stream(
        self, work: Callable[..., Any], jobs: Iterable[Job], *arguments: Any, limits: Limits = UNLIMITED
    ) -> Iterator[Finished | Lost]:
        """`segscale.flows.shards.stream.stream_shards` over these workers."""
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
        self._client = None
