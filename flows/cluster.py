"""The workers of a run: a Dask cluster that is started when the first job needs it."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import Any, Self

import dask
import psutil
from distributed import Client, LocalCluster

from flows.config import ConfigError
from flows.sections import Cluster

# A worker that holds a compiled network, its activations and a shard.
WORKER_BYTES = 3 * 1000**3
CONNECT_SECONDS = 60
BUILT_KINDS = ("local", "address")


class ClusterLostError(RuntimeError):
    """The cluster went away while work was under way; what was committed stays."""


def check_cluster(config: Cluster) -> None:
    """Refuse a kind of cluster that is not built, before anything starts."""
    if config.kind not in BUILT_KINDS:
        raise ConfigError(f"cluster.kind: {config.kind!r} is not built yet; use one of {list(BUILT_KINDS)}")


def local_workers(config: Cluster) -> int:
    """How many worker processes this machine gets: as configured, or one per core as far as the memory goes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return config.workers or max(1, min(cores, psutil.virtual_memory().total // WORKER_BYTES))


def threads_per_worker(config: Cluster) -> int:
    """Threads that the network of one local worker may use, so that the workers do not fight for the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // local_workers(config)) if config.kind == "local" else 0


class Connection:
    """A client of the cluster, made at first use, closed with the block it is used in."""

    def __init__(self, config: Cluster) -> None:
        check_cluster(config)
        self.config = config
        self._client: Client | None = None
        self._cluster: LocalCluster | None = None

    @property
    def client(self) -> Client:
        """The client; the first call starts or finds the cluster."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> Client:
        # A worker that asks for what no worker has would wait for ever.
        dask.config.set({"distributed.scheduler.no-workers-timeout": "60s", "distributed.comm.timeouts.connect": "30s"})
        if self.config.kind == "address":
            return _connect_to(self.config.address)
        # Every connection of every worker is news to distributed; what fails comes back with the future.
        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._cluster = LocalCluster(
            n_workers=local_workers(self.config),
            threads_per_worker=1,
            processes=True,
            # Any free port: 8787 may be another run's.
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            silence_logs=logging.CRITICAL,
        )
        return Client(self._cluster)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _connect_to(address: str) -> Client:
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError) as error:
        raise ClusterLostError(
            f"cluster.address: expected a scheduler with workers at {address}, got {type(error).__name__}: {error}"
        ) from error
    return client


def worker_count(client: Client) -> int:
    """How many workers the cluster has now; at least 1, for a cluster may be growing."""
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return max(1, len(workers))
