"""Questions to a scheduler that may be there and not answer: stopped, or behind a network that swallows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distributed import Client

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
