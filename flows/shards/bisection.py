"""A shard at which workers ended, by itself: what in it ends them is found by halving it, and quarantined."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segscale.flows.shards.retry import Finished, Lost


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
