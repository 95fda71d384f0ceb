"""The workers of a run: a Dask cluster that is started, or found, when the first job needs it."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import dask
from distributed import Client, SpecCluster

from segscale.flows.cluster.address import check_address, open_client
from segscale.flows.cluster.kubernetes import check_kubernetes, kubernetes_cluster
from segscale.flows.cluster.local import check_gpus, gpu_cluster, local_cluster, start_missing
from segscale.flows.cluster.preflight import Needs, check_workers
from segscale.flows.cluster.scheduler import answered, workers_of
from segscale.flows.cluster.slurm import check_slurm, describe_jobs, slurm_cluster
from segscale.flows.config.cluster_keys import OWN_MACHINE
from segscale.flows.config.sections import Cluster
from segscale.flows.errors import ClusterLostError as ClusterLostError

_CHECKS = {"gpus": check_gpus, "address": check_address, "slurm": check_slurm, "kubernetes": check_kubernetes}
_STARTS = {"local": local_cluster, "gpus": gpu_cluster, "slurm": slurm_cluster, "kubernetes": kubernetes_cluster}


def check_cluster(config: Cluster) -> None:
    """Refuse a cluster that cannot be had, before anything starts: ConfigError."""
    if check := _CHECKS.get(config.kind):
        check(config)


class _CountedClient(Client):  # type: ignore[misc]  # distributed ships no types
    """A client that knows how many workers its cluster is going to have."""

    expected_workers = 0
    patience_seconds = 0.0
    """How long it may be without any."""
    own_cluster: SpecCluster | None = None
    """Whose workers are processes of this machine, which nobody but the driver starts anew."""


class Connection:
    """A client of the cluster, made at first use, closed with the block it is used in.

    Workers that are no processes of this machine are checked against `needs` before the client is handed out.
    """

    def __init__(self, config: Cluster, needs: Needs | None = None) -> None:
        check_cluster(config)
        self.config = config
        self.needs = needs or Needs()
        self._client: Client | None = None
        self._open = ExitStack()

    @property
    def client(self) -> Client:
        """The client; the first call starts or finds the cluster.

        Raises ClusterLostError where the cluster or its workers are not there within `cluster.wait_seconds`,
        ConfigError where workers cannot do this run.
        """
        if self._client is None:
            try:
                self._client = self._connect()
            except BaseException:
                self._open.close()
                raise
        return self._client

    def _connect(self) -> Client:
        config = self.config
        patience = max(300, config.wait_seconds)
        # A worker that asks for what no worker has would wait for ever.
        dask.config.set(
            {
                "distributed.scheduler.no-workers-timeout": f"{patience}s",
                # How often a shard may end its worker is for the stream to say, which tries it alone.
                "distributed.scheduler.allowed-failures": 0,
                "distributed.comm.timeouts.connect": "30s",
                # After this what started a worker that is gone is given up. On a busy machine a nanny needs longer to
                # start another process; a job or pod that ended is replaced after that time, and not before.
                "distributed.deploy.lost-worker-timeout": "120s" if config.kind in OWN_MACHINE else "15s",
            }
        )
        # Every connection of every worker is news to distributed; what fails comes back with the future.
        logging.getLogger("distributed").setLevel(logging.ERROR)
        if config.kind == "address":
            client = self._open.enter_context(open_client(config))
            check_workers(client, config, self.needs)
            return client
        cluster = self._open.enter_context(_STARTS[config.kind](config))
        client = self._open.enter_context(_CountedClient(cluster))
        if config.kind in OWN_MACHINE:
            client.own_cluster = cluster
        else:
            client.expected_workers = config.workers
            client.patience_seconds = config.wait_seconds
            check_workers(client, config, self.needs, lambda: describe_jobs(cluster) if config.kind == "slurm" else "")
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def worker_count(client: Client) -> int:
    """How many workers the cluster has now."""
    return len(answered(client, client.nthreads))


def bring_back(client: Client) -> None:
    """Start workers anew that are gone for good, where they are processes of this machine."""
    cluster = getattr(client, "own_cluster", None)
    if cluster is not None:
        start_missing(cluster)


def expected_workers(client: Client) -> int:
    """How many workers the cluster is going to have, where more come than are there; 0 where that is not known."""
    return int(getattr(client, "expected_workers", 0))


def patience_seconds(client: Client) -> float:
    """How long a cluster whose workers come and go may be without any; 0 where that is not known."""
    return float(getattr(client, "patience_seconds", 0.0))


def neighbours(client: Client) -> int:
    """Workers that share a machine, where they are most."""
    hosts = Counter(worker["host"] for worker in workers_of(client).values())
    return max(hosts.values(), default=1)
