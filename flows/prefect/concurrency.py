"""A concurrency limit over all deployments: at most so many runs over one data set as the Prefect server allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency

from segscale.flows.prefect.artifacts import artifact_key

WAIT_SECONDS = 24 * 3600.0
LEASE_SECONDS = 300.0


@contextmanager
def turn(dataset: str) -> Iterator[None]:
    """A slot of the global concurrency limit `segscale-DATASET`, held for the block.

    Prefect counts the runs of one deployment; this counts those of all deployments over one data set. Where the server
    has no such limit nothing is waited for: two runs over one store are safe, and do the same work twice. The slot of a
    run that was killed comes free by itself after `LEASE_SECONDS`. Raises TimeoutError after `WAIT_SECONDS`.
    """
    with concurrency(limit_name(dataset), timeout_seconds=WAIT_SECONDS, lease_duration=LEASE_SECONDS):
        yield


def limit_name(dataset: str) -> str:
    """The name of a data set's limit, for ``prefect gcl create NAME --limit 1``."""
    return artifact_key(dataset)
