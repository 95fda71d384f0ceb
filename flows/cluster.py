"""The workers of a run: a Dask cluster that is started when the first job needs it."""

from __future__ import annotations

import logging
import os
from collections import Counter
from types import TracebackType
from typing import Any, Self

import dask
import psutil
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Nanny, Scheduler, SpecCluster

from flows.config import ConfigError
from flows.sections import Cluster
from tasks.engines.hardware import visible_gpus

# A worker that holds a compiled network, its activations and a shard.
WORKER_BYTES = 3 * 1000**3
CONNECT_SECONDS = 30
BUILT_KINDS = ("local", "address", "gpus")


class ClusterLostError(RuntimeError):
    """The cluster went away while work was under way; what was committed stays."""


def check_cluster(config: Cluster) -> None:
    """Refuse a cluster that cannot be had, before anything starts."""
    if config.kind not in BUILT_KINDS:
        raise ConfigError(f"cluster.kind: {config.kind!r} is not built yet; use one of {list(BUILT_KINDS)}")
    if config.kind == "gpus":
        found = len(visible_gpus())
        if found < max(1, config.workers):
            raise ConfigError(
                f"cluster.kind: expected {config.workers or 'one or more'} visible GPUs for a worker each, found "
                f"{found} (CUDA_VISIBLE_DEVICES is {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}); use "
                '"local" for workers on the CPU'
            )


def local_workers(config: Cluster) -> int:
    """How many worker processes this machine gets: as configured, or one per core as far as the memory goes."""
    return config.workers or max(1, min(int(CPU_COUNT), psutil.virtual_memory().total // WORKER_BYTES))


def _local_cluster(config: Cluster) -> LocalCluster:
    n_workers = local_workers(config)
    return LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        # A network takes all of a GPU: several processes on one would fail each other. `gpus` gives each its own.
        env={"CUDA_VISIBLE_DEVICES": ""} if n_workers > 1 else {},
        processes=True,
        # Any free port: 8787 may be another run's.
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        silence_logs=logging.CRITICAL,
    )


def _gpu_cluster(config: Cluster) -> SpecCluster:
    """One process with one thread for each GPU, which sees no other."""
    gpus = visible_gpus()[: config.workers or None]
    options = {
        "nthreads": 1,
        "host": "127.0.0.1",
        # Dask's own share of the memory goes by threads, and these workers have one each whatever their number.
        "memory_limit": psutil.virtual_memory().total // len(gpus),
        "resources": {"GPU": 1},
        "silence_logs": logging.CRITICAL,
    }
    workers = {
        f"gpu-{gpu}": {"cls": Nanny, "options": {**options, "env": {"CUDA_VISIBLE_DEVICES": gpu}}} for gpu in gpus
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)


class Connection:
    """A client of the cluster, made at first use, closed with the block it is used in."""

    def __init__(self, config: Cluster) -> None:
        check_cluster(config)
        self.config = config
        self._client: Client | None = None
        self._cluster: LocalCluster | SpecCluster | None = None

    @property
    def client(self) -> Client:
        """The client; the first call starts or finds the cluster."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> Client:
        # A worker that asks for what no worker has would wait for ever.
        dask.config.set({"distributed.scheduler.no-workers-timeout": "60s", "distributed.comm.timeouts.connect": "30s"})
        # How often a shard may end its worker is for the stream to say, which tries it alone.
        dask.config.set({"distributed.scheduler.allowed-failures": 0})
        if self.config.kind == "address":
            return _connect_to(self.config.address)
        # Every connection of every worker is news to distributed; what fails comes back with the future.
        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._cluster = _gpu_cluster(self.config) if self.config.kind == "gpus" else _local_cluster(self.config)
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
    """How many workers the cluster has now."""
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return len(workers)


def neighbours(client: Client) -> int:
    """Workers that share a machine, where they are most."""
    hosts = Counter(worker["host"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    return max(hosts.values(), default=1)
