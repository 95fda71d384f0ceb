"""Whether the cluster of a configuration can be had, before anything starts."""

from __future__ import annotations

import os

from segscale.errors import ConfigError
from segscale.flows.cluster.address import check_address
from segscale.flows.cluster.kubernetes import check_kubernetes
from segscale.flows.cluster.slurm import check_slurm
from segscale.flows.config.cluster import Cluster
from segscale.tasks.engines.hardware import visible_gpus


def check_cluster(config: Cluster) -> None:
    """Raise ConfigError for a cluster that cannot be had. Imports nothing of Dask but for a TLS connection."""
    if check := _CHECKS.get(config.kind):
        check(config)


def find_cluster(config: Cluster) -> None:
    """The same, and ask for workers that somebody else has started, before anybody waits for files to be looked at.

    Raises ClusterLostError where they do not come within `cluster.wait_seconds`. Workers that a run starts itself, as
    processes, jobs or pods, come with its first shard.
    """
    check_cluster(config)
    if config.kind == "address":
        # Of Dask nothing is loaded for the other kinds.
        from segscale.flows.cluster.address import open_client
        from segscale.flows.cluster.preflight import check_present

        with open_client(config) as client:
            check_present(client, config)


def check_gpus(config: Cluster) -> None:
    """Raise ConfigError for fewer visible GPUs than workers are asked for."""
    found = len(visible_gpus())
    if found < max(1, config.workers):
        raise ConfigError(
            f"cluster.kind: expected {config.workers or 'one or more'} visible GPUs for a worker each, found "
            f"{found} (CUDA_VISIBLE_DEVICES is {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}); use "
            '"local" for workers on the CPU'
        )


_CHECKS = {"gpus": check_gpus, "address": check_address, "slurm": check_slurm, "kubernetes": check_kubernetes}
