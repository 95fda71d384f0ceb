"""Questions to a scheduler that may be there and not answer: stopped, or behind a network that swallows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from distributed import Client

from segscale.flows.cluster.local import start_missing
from segscale.flows.errors import ClusterLostError

ANSWER_SECONDS = 120.0
"""So long a scheduler may be busy with something else. A connection whose other end is stopped never breaks."""


def answered(client: Client, ask: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What ``ask(*arguments, **named)``, of a client or of its scheduler, comes back with.

    Raises ClusterLostError where nothing comes back within `ANSWER_SECONDS`.
    """
    try:
        return client.sync(ask, *arguments, callback_timeout=ANSWER_SECONDS, **named)
    except TimeoutError:
        raise ClusterLostError(
            f"the scheduler {client.scheduler.address} has not answered for {ANSWER_SECONDS:.0f} s; what was committed "
            "stays: see whether it is stopped or cut off, and run again"
        ) from None


def workers_of(client: Client) -> dict[str, dict[str, Any]]:
    """What the scheduler knows of its workers, by their addresses."""
    return dict(answered(client, client.scheduler.identity, n_workers=-1)["workers"])


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
