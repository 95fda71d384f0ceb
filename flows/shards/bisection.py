"""A shard at which workers ended, by itself: what in it ends them is found by halving it, and quarantined."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client

from segscale.flows.shards.retry import Finished, Job, Limits, Lost
from segscale.flows.shards.stream import stream_shards

logger = logging.getLogger("segscale")


def try_alone(
    client: Client, work: Callable[..., Any], job: Job, *arguments: Any, seconds: Callable[[str], float]
) -> Finished | Lost:
    """One attempt with nothing else under way, so that nothing else is to blame where a worker ends."""
    limits = Limits(seconds, deaths=1, window=1)
    (outcome,) = stream_shards(client, work, [job], *arguments, limits=limits)
    return outcome


def find_poison(names: Sequence[str], trial: Callable[[Sequence[str]], str]) -> dict[str, str]:
    """The names at which workers end, each alone and twice, with the word for it: WorkerDied or TimeLimit.

    `trial` tries some of them, commits nothing, and says what ended the worker, or "". Halves that end no worker are
    done with; of one poison among n names about 2 log2(n) trials are made. Where only many together end a worker (as
    what fills the memory by and by) nothing is found.
    """
    found: dict[str, str] = {}
    pending = [list(names)]
    while pending:
        group = pending.pop()
        if len(group) > 1:
            half = len(group) // 2
            pending += [part for part in (group[half:], group[:half]) if trial(part)]
        elif group and (ending := trial(group)):
            found[group[0]] = ending
    return found


def ending_of(outcome: Finished | Lost) -> str:
    """What `find_poison` asks of a trial."""
    return outcome.deadly if isinstance(outcome, Lost) else ""
