"""Contestants that take turns, so that what else a machine does meets all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who does pieces of work, such as images, a batch of them at a time."""

    name: str
    precision: str
    """Of its products: float32 or bfloat16."""
    flop: float
    """Of one piece."""
    work: Callable[[int], object] | None
    """Does so many pieces; None: `absent` says why it cannot."""
    absent: str = ""
    batches: tuple[int, ...] = ()
    """Sizes to try; empty: those that all try."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a contestant reached."""

    contestant: Contestant
    batch: int
    """The size at which it was fastest, of those tried."""
    per_second: tuple[float, ...]
    """Pieces per second, one value per round; none of who was absent."""

    @property
    def median(self) -> float:
        return statistics.median(self.per_second)

    @property
    def flop_per_second(self) -> tuple[float, ...]:
        return tuple(rate * self.contestant.flop for rate in self.per_second)


@dataclass(frozen=True, slots=True)
class _Turn:
    batch: int
    calls: int


def take_turns(
    contestants: Sequence[Contestant], batches: Sequence[int], *, rounds: int, seconds: float
) -> list[Rates]:
    """The rates of all, round by round, each at its own best batch and for about so many seconds a turn."""
    turns = {one.name: _turn(one, one.batches or batches, seconds) for one in contestants if one.work is not None}
    rates: dict[str, list[float]] = {one.name: [] for one in contestants}
    gc.collect()
    for _ in range(rounds):
        for one in contestants:
            if one.name in turns:
                turn = turns[one.name]
                rates[one.name].append(turn.batch * turn.calls / _seconds_of(one, turn))
    return [
        Rates(one, turns[one.name].batch if one.name in turns else 0, tuple(rates[one.name])) for one in contestants
    ]


def ratios(first: Rates, second: Rates) -> tuple[float, ...]:
    """How many times faster the first is, round by round."""
    return tuple(a / b for a, b in zip(first.per_second, second.per_second, strict=True))


def _turn(one: Contestant, batches: Sequence[int], seconds: float) -> _Turn:
    """The fastest batch, and how many of them fill a turn; compiles and warms up on the way."""
    piece_seconds = {}
    for batch in batches:
        _seconds_of(one, _Turn(batch, 1))
        piece_seconds[batch] = _seconds_of(one, _Turn(batch, 1)) / batch
    best = min(piece_seconds, key=piece_seconds.__getitem__)
    return _Turn(best, max(1, round(seconds / (best * piece_seconds[best]))))


def _seconds_of(one: Contestant, turn: _Turn) -> float:
    assert one.work is not None
    start = time.perf_counter()
    for _ in range(turn.calls):
        one.work(turn.batch)
    return time.perf_counter() - start
