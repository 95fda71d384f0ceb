"""Dask's client of the cluster that a run asks for."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import dask
from distributed import Client, SpecCluster

from segscale.flows.cluster.address import open_client
from segscale.flows.cluster.kubernetes import kubernetes_cluster
from segscale.flows.cluster.local import gpu_cluster, local_cluster
from segscale.flows.cluster.needs import Needs
from segscale.flows.cluster.preflight import check_workers
from segscale.flows.cluster.slurm import describe_jobs, slurm_cluster
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.cluster_keys import OWN_MACHINE

_STARTS = {"local": local_cluster, "gpus": gpu_cluster, "slurm": slurm_cluster, "kubernetes": kubernetes_cluster}


class CountedClient(Client):  # type: ignore[misc]  # distributed ships no types
    """A client that knows how many workers its cluster is going to have."""

    expected_workers = 0
    patience_seconds = 0.0
    """How long it may be without any."""
    own_cluster: SpecCluster | None = None
    """Whose workers are processes of this machine, which nobody but the driver starts anew."""


def open_cluster(config: Cluster, needs: Needs, opened: ExitStack) -> Client:
    """Start or find the cluster; what `opened` holds afterwards ends it.

    Raises ClusterLostError where the cluster or its workers are not there within `cluster.wait_seconds`, ConfigError
    where workers that are no processes of this machine cannot do the run.
    """
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
        client = opened.enter_context(open_client(config))
        check_workers(client, config, needs)
        return client
    cluster = opened.enter_context(_STARTS[config.kind](config))
    client = opened.enter_context(CountedClient(cluster))
    if config.kind in OWN_MACHINE:
        client.own_cluster = cluster
    else:
        client.expected_workers = config.workers
        client.patience_seconds = config.wait_seconds
        check_workers(client, config, needs, lambda: describe_jobs(cluster) if config.kind == "slurm" else "")
    return client
