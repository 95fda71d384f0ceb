from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from segscale.tasks.batch_size import MAX_IMAGES, BatchSize, find_batch_size, peak_bytes
from segscale.tasks.engines import EngineFacts

PIXELS, RECIPE = np.zeros((1, 32, 64, 1), np.uint8), np.ones((1, 4), np.float32)


@dataclass
class TimedEngine:
    """An engine whose calls take as long, and whose process grows as large, as a table says."""

    seconds: dict[int, float]
    """Of a batch of so many images."""
    grown: dict[int, int] = field(default_factory=dict)
    compiling: float = 0.0
    largest: int = 0
    """Images that fit."""
    clock: float = 0.0
    size: int = 0
    seen: list[int] = field(default_factory=list)

    @property
    def facts(self) -> EngineFacts:
        return EngineFacts("timed", "cpu", "float32", "1", ("head",), 2, 1, 1, 32)

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        assert len(pixels) == len(recipe)
        assert pixels.shape[1:] == PIXELS.shape[1:]
        if self.largest and len(pixels) > self.largest:
            raise RuntimeError("out of memory")
        self.clock += self.seconds[len(pixels)] + self.compiling * (len(pixels) not in self.seen)
        self.size = max(self.size, self.grown.get(len(pixels), 0))
        self.seen.append(len(pixels))
        return np.zeros((1, *pixels.shape[:3], 1), np.float32)

    def find(self, memory_bytes: int = 10**12) -> BatchSize:
        return find_batch_size(
            self, PIXELS, RECIPE, memory_bytes=memory_bytes, now=lambda: self.clock, peak=lambda: self.size
        )


@pytest.mark.parametrize(
    ("engine", "n_images", "tried", "reason"),
    [
        pytest.param(TimedEngine({1: 1.0, 2: 2.0}), 1, 2, "not 5% faster", id="no gain: the smallest"),
        pytest.param(TimedEngine({1: 1.0, 2: 1.0, 4: 1.5, 8: 3.0}), 4, 8, "8 images are not", id="gain up to four"),
        pytest.param(TimedEngine(dict.fromkeys((1, 2, 4, 8, 16), 1.0)), MAX_IMAGES, 16, "no more", id="always a gain"),
        pytest.param(TimedEngine({1: 1.0, 2: 1.96}), 2, 2, "not 5% faster", id="a little faster is taken, not pursued"),
        pytest.param(TimedEngine({1: 1.0, 2: 1.0, 4: 1.0}, largest=2), 2, 2, "4 images failed", id="does not fit"),
        pytest.param(TimedEngine({1: 1.0, 2: 1.0}, compiling=10.0), 2, 2, "trying took", id="compiling takes long"),
    ],
)
def test_batch_size(engine: TimedEngine, n_images: int, tried: int, reason: str) -> None:
    found = engine.find()
    assert found.n_images == n_images
    assert max(engine.seen) == tried
    assert reason in found.reason


def test_compiling_is_not_part_of_the_rate() -> None:
    found = TimedEngine({1: 0.5, 2: 1.0}, compiling=3.0).find()
    assert [trial.images_per_second for trial in found.trials] == [2.0, 2.0]


def test_memory_is_the_limit() -> None:
    engine = TimedEngine(dict.fromkeys((1, 2, 4, 8, 16), 1.0), grown={1: 100, 2: 200, 4: 400})
    found = engine.find(memory_bytes=500)
    # Four images took 400 of the 500 bytes there are; eight would take 800 and are not tried.
    assert (found.n_images, max(engine.seen)) == (4, 4)
    assert [trial.peak_bytes for trial in found.trials] == [100, 200, 400]
    assert "8 images would take" in found.reason


def test_what_fails_with_one_image_is_raised() -> None:
    engine = TimedEngine({}, largest=0)
    with pytest.raises(KeyError):
        engine.find()


def test_peak_is_the_size_of_a_process_in_bytes() -> None:
    assert 0.9 * psutil.Process().memory_info().rss <= peak_bytes() <= psutil.virtual_memory().total
