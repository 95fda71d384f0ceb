from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.engines import EngineFacts
from segscale.tasks.engines.flips import FlippedEngine

RECIPE = np.array([[-np.inf, np.inf, 0, 1]], np.float32)


@dataclass
class Weighted:
    """An engine of two heads: pixels times weights that depend on the place, and their negatives."""

    weights: NDArray[np.float32]
    seen: int = 0

    @property
    def facts(self) -> EngineFacts:
        return EngineFacts("fake", "cpu", "float32", "1", ("head_1", "head_2"), 2, 1, 1, 1)

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        assert pixels.flags.c_contiguous
        assert len(recipe) == len(pixels)
        self.seen += 1
        found = pixels.astype(np.float32) * self.weights[..., np.newaxis]
        return np.stack([found, -found])


def flipped(pixels: NDArray[Any], weights: Any) -> NDArray[np.float32]:
    return FlippedEngine(Weighted(np.array(weights, np.float32))).probabilities(pixels, RECIPE)


def test_the_mean_of_four_worked_by_hand() -> None:
    found = flipped(np.ones((1, 2, 2, 1), np.uint8), [[1, 2], [3, 10]])
    # Each corner meets each of the four weights once.
    assert found.shape == (2, 1, 2, 2, 1)
    assert found.dtype == np.float32
    assert (found[0] == 4).all()
    assert (found[1] == -4).all()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param([[1, 0]], [[4, 6]], id="left to right"),
        pytest.param([[1], [0]], [[4], [6]], id="top to bottom"),
        pytest.param([[1, 0], [0, 0]], [[1, 2], [3, 4]], id="both"),
    ],
)
def test_what_is_found_comes_back_to_its_place(weights: list[list[int]], expected: list[list[int]]) -> None:
    shape = np.shape(expected)
    pixels = np.array(expected, np.uint8).reshape(1, *shape, 1)
    found = flipped(pixels, weights)[0, 0, :, :, 0]
    # A weight of one at a single place reaches every pixel in one flip out of as many as there are places.
    np.testing.assert_array_equal(found, np.array(expected) / np.float32(pixels.size))


def test_a_network_that_ignores_places_is_unchanged() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    np.testing.assert_array_equal(flipped(pixels, np.ones((3, 4)))[0], pixels.astype(np.float32))


def test_facts_are_those_of_the_engine_inside() -> None:
    inner = Weighted(np.ones((1, 1), np.float32))
    engine = FlippedEngine(inner)
    engine.probabilities(np.ones((1, 1, 1, 1), np.uint8), RECIPE)
    assert engine.facts == inner.facts
    assert inner.seen == 4


def test_non_finite_results_are_passed_on() -> None:
    found = flipped(np.ones((1, 1, 2, 1), np.uint8), [[np.nan, 1]])
    assert np.isnan(found).all()
