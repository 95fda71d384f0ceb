from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.engine_rates import ALTERNATIONS, SECONDS, EngineRates, measure_rates
from segscale.tasks.engines import EngineFacts, Precision

PIXELS, RECIPES = np.zeros((4, 8, 8, 1), np.uint8), np.zeros((4, 4), np.float32)


class Clock:
    """A clock that goes on when an engine predicts, and notes who did."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.turns: list[str] = []

    def __call__(self) -> float:
        return self.seconds


class TimedEngine:
    """Takes so many seconds for a batch, of each call those of its number, the last ones from then on."""

    def __init__(self, clock: Clock, precision: Precision, *seconds: float) -> None:
        self.clock, self.seconds, self.n_calls = clock, seconds, 0
        self.facts = EngineFacts("fake", "cpu", precision, "fake 1", ("mask",), 2, 1, 1, 1)

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ARG002  # as an engine takes it
        self.clock.seconds += self.seconds[min(self.n_calls, len(self.seconds) - 1)]
        self.clock.turns.append(self.facts.precision)
        self.n_calls += 1
        return np.zeros((1, *pixels.shape), np.float32)


def test_each_alternation_has_a_rate_of_both() -> None:
    clock = Clock()
    # Compiling is no part of a rate.
    rates = measure_rates(
        TimedEngine(clock, "bfloat16", 9.0, 1.0), TimedEngine(clock, "float32", 7.0, 2.0), PIXELS, RECIPES, clock
    )
    assert rates == EngineRates("bfloat16", (4.0,) * ALTERNATIONS, (2.0,) * ALTERNATIONS)
    assert rates.ratios == (2.0,) * ALTERNATIONS
    assert clock.turns == ["bfloat16", "float32"] * (1 + ALTERNATIONS)


def test_fast_engines_predict_until_the_time_is_over() -> None:
    clock = Clock()
    engine = TimedEngine(clock, "float32", 0.125)
    rates = measure_rates(TimedEngine(clock, "bfloat16", 0.125), engine, PIXELS, RECIPES, clock)
    assert engine.n_calls == 1 + ALTERNATIONS * math.ceil(SECONDS / 0.125)
    assert rates.full == (32.0,) * ALTERNATIONS


@pytest.mark.parametrize(
    ("reduced", "pays", "words"),
    [
        pytest.param((2.0, 1.9, 2.1), True, "bfloat16 was 2.00, 1.90, 2.10 times as fast as float32", id="faster"),
        pytest.param((1.3, 1.3, 1.3), True, "(1.3 to 1 images/s)", id="as fast as is asked for"),
        pytest.param((9.0, 1.29, 9.0), False, "less than 1.3 times throughout, so float32", id="once it was not"),
        pytest.param((0.6, 0.6, 0.6), False, "bfloat16 was 0.60, 0.60, 0.60 times as fast", id="slower"),
    ],
)
def test_faster_in_each_alternation_or_not_at_all(reduced: tuple[float, ...], pays: bool, words: str) -> None:
    rates = EngineRates("bfloat16", reduced, (1.0, 1.0, 1.0))
    assert rates.pays is pays
    assert words in rates.in_words()
