"""Workers as pods, through the Dask operator of a Kubernetes cluster."""

from __future__ import annotations

import copy
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.cluster_keys import THREADS


def check_kubernetes(config: Cluster) -> None:
    """Raise ConfigError where the extra is missing, or the file holds no DaskCluster."""
    if find_spec("dask_kubernetes") is None:
        raise ConfigError(
            'cluster.kind: "kubernetes" needs dask-kubernetes; install the extra kubernetes (docs/clusters.md)'
        )
    if config.spec:
        read_spec(config.spec)


def read_spec(path: str) -> dict[str, Any]:
    """The DaskCluster resource in a YAML file. Raises ConfigError for anything else."""
    import yaml

    try:
        # Read as a stream: of a text, an error would quote the line, and that may be a pod's password.
        with Path(path).open(encoding="utf-8") as file:
            document = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cluster.spec: expected a YAML file at {path}: {' '.join(str(error).split())}") from None
    kind = document.get("kind") if isinstance(document, dict) else type(document).__name__
    if kind != "DaskCluster" or not document.get("metadata", {}).get("name"):
        raise ConfigError(f"cluster.spec: expected a DaskCluster with metadata.name in {path}, got {kind}")
    return dict(document)


def of_one_run(cluster: dict[str, Any]) -> dict[str, Any]:
    """A DaskCluster under a name of its own: under one name two runs would share a cluster, and the first end it."""
    own = copy.deepcopy(cluster)
    name = own["metadata"]["name"] = f"{cluster['metadata']['name']}-{uuid.uuid4().hex[:8]}"
    selector = own.get("spec", {}).get("scheduler", {}).get("service", {}).get("selector", {})
    if "dask.org/cluster-name" in selector:
        selector["dask.org/cluster-name"] = name
    return own


def pod_options(config: Cluster) -> dict[str, Any]:
    """The arguments of dask-kubernetes' KubeCluster."""
    from dask.utils import parse_bytes

    options: dict[str, Any] = {
        "namespace": config.namespace or None,
        "resource_timeout": int(config.wait_seconds),
        "quiet": True,
    }
    if config.spec:
        spec = of_one_run(read_spec(config.spec))
        return {
            **options,
            "namespace": config.namespace or spec["metadata"].get("namespace"),
            "custom_cluster_spec": spec,
        }
    share = {"cpu": str(config.cores), "memory": str(parse_bytes(config.memory))}
    return {
        **options,
        "name": f"segscale-{uuid.uuid4().hex[:8]}",
        "image": config.image,
        "n_workers": 1 if config.adaptive else config.workers,
        # A pod that asks for what it may use at most is the last to be evicted.
        "resources": {"requests": share, "limits": share},
        # One thread of Dask, which takes shards; the network uses the cores of the pod.
        "worker_command": ["dask", "worker", "--nthreads", "1", "--memory-limit", share["memory"]],
        "env": {THREADS: str(config.cores)},
    }


def kubernetes_cluster(config: Cluster) -> Any:
    """Create the resource and wait for its scheduler. Raises ClusterLostError where Kubernetes does not do it."""
    from dask_kubernetes.operator import KubeCluster

    try:
        cluster = KubeCluster(**pod_options(config))
        if config.adaptive:
            cluster.adapt(1, config.workers)
        elif config.spec and config.workers:
            cluster.scale(config.workers)
    except Exception as error:
        # The operator's client, HTTP and the operator itself have errors of their own for the same thing.
        reason = (" ".join(str(error).split()) or type(error).__name__)[:500]
        raise ClusterLostError(f"cluster.kind: Kubernetes started no Dask cluster: {reason}") from error
    return cluster
