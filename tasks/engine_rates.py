"""Engine rates: whether a reduced precision is worth its price, by the clock, on the machine that will do the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.engines import Engine

GAIN = 1.3
"""So many times as fast a reduced precision must be in each alternation: less is what a neighbour's work takes."""
ALTERNATIONS = 3
SECONDS = 0.7
"""So long each of the two computes in each alternation, and one batch at least."""


@dataclass(frozen=True, slots=True)
class EngineRates:
    """Two precisions of an engine on the same images, in turns."""

    precision: str
    """The reduced one."""
    reduced: tuple[float, ...]
    """Images per second of each turn."""
    full: tuple[float, ...]
    """Likewise, in float32."""

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times as fast the reduced precision was, of each alternation."""
        return tuple(reduced / full for reduced, full in zip(self.reduced, self.full, strict=True))

    @property
    def ratio(self) -> float:
        """How many times as fast it was, the median of the alternations."""
        return _median(self.ratios)

    @property
    def pays(self) -> bool:
        """Whether it was at least `GAIN` times as fast in each of them."""
        return min(self.ratios) >= GAIN

    def in_words(self) -> str:
        """What was found, for a log and a report."""
        times = ", ".join(f"{ratio:.2f}" for ratio in self.ratios)
        rates = f"{_median(self.reduced):.3g} to {_median(self.full):.3g} images/s"
        found = f"{self.precision} was {times} times as fast as float32 ({rates})"
        return found if self.pays else f"{found}, less than {GAIN:g} times throughout, so float32"


def measure_rates(
    reduced: Engine,
    full: Engine,
    pixels: NDArray[np.generic],
    recipe: NDArray[np.float32],
    now: Callable[[], float] = time.perf_counter,
) -> EngineRates:
    """Have two engines predict the same batch in turns.

    `pixels` (N, H, W, C) and `recipe` (N, 4) are as `Engine.probabilities` takes them; `now` tells seconds. Each
    predicts the batch once before anything is measured, for what is compiled then.
    """
    return EngineRates(reduced.facts.precision, *rates_in_turns((reduced, full), pixels, recipe, now))


def rates_in_turns(
    engines: Sequence[Engine],
    pixels: NDArray[np.generic],
    recipe: NDArray[np.float32],
    now: Callable[[], float] = time.perf_counter,
) -> list[tuple[float, ...]]:
    """Images per second of each engine in each alternation; arguments as of `measure_rates`."""
    for engine in engines:
        engine.probabilities(pixels, recipe)
    turns = [[_rate(engine, pixels, recipe, now) for engine in engines] for _ in range(ALTERNATIONS)]
    return list(zip(*turns, strict=True))


def _rate(engine: Engine, pixels: NDArray[np.generic], recipe: NDArray[np.float32], now: Callable[[], float]) -> float:
    started, n_images = now(), 0
    while True:
        engine.probabilities(pixels, recipe)
        n_images += len(pixels)
        seconds = now() - started
        if seconds >= SECONDS:
            return n_images / seconds


def _median(rates: Sequence[float]) -> float:
    return float(np.median(rates))
