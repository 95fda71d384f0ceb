"""How many images one batch takes: found by trying, on the machine and the engine that will do the work."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.engines import Engine

MAX_IMAGES = 16
"""Larger batches gain nothing on any device tried, and what fills up a short one is computed for nothing."""
GAIN = 1.05
"""A batch of twice the images must be so much faster per image, or the smaller one stays."""
SECONDS = 20.0
"""No larger batch is tried after so long; compiling is part of it."""


@dataclass(frozen=True, slots=True)
class BatchTrial:
    """One batch, as tried."""

    n_images: int
    images_per_second: float
    """Of the faster of two calls, after one that compiled."""
    peak_bytes: int
    """By how much the process had grown at its largest since before the first trial."""


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What was found."""

    n_images: int
    """Images of one batch, in the size they were tried in."""
    reason: str
    """Why it is not larger."""
    trials: tuple[BatchTrial, ...]


def find_batch_size(
    engine: Engine,
    pixels: NDArray[np.generic],
    recipe: NDArray[np.float32],
    *,
    memory_bytes: int,
    now: Callable[[], float] = time.perf_counter,
    peak: Callable[[], int] | None = None,
) -> BatchSize:
    """Double the batch from one image on for as long as that pays and fits.

    `pixels` (1, H, W, C) and `recipe` (1, 4) are an image as `Engine.probabilities` takes it; it stands for all of a
    batch. `memory_bytes` is what the process may grow by; a doubling that would need more, judged by the one before,
    is not tried. `now` tells seconds and `peak` the largest size of the process so far, bytes. What goes wrong with one
    image is raised; with more it means that they do not fit.
    """
    peak = peak or peak_bytes
    started, before = now(), peak()
    trials: list[BatchTrial] = []
    reason, n_images = "no more are tried", 1
    while n_images <= MAX_IMAGES:
        try:
            rate = _rate(engine, np.repeat(pixels, n_images, axis=0), np.repeat(recipe, n_images, axis=0), now)
        except Exception as error:
            # Each runtime has an error of its own for what does not fit into its device.
            if n_images == 1:
                raise
            reason = f"{n_images} images failed: {type(error).__name__}"
            break
        trials.append(BatchTrial(n_images, rate, peak() - before))
        if len(trials) > 1 and rate < GAIN * trials[-2].images_per_second:
            reason = f"{n_images} images are not {GAIN - 1:.0%} faster"
            break
        if 2 * trials[-1].peak_bytes > memory_bytes:
            reason = f"{2 * n_images} images would take about {2 * trials[-1].peak_bytes / 1e9:.1f} GB"
            break
        if now() - started > SECONDS:
            reason = f"trying took {now() - started:.0f} s"
            break
        n_images *= 2
    best = max(trials, key=lambda trial: trial.images_per_second)
    return BatchSize(best.n_images, reason, tuple(trials))


def peak_bytes() -> int:
    """The largest size that this process had in memory so far."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def _rate(engine: Engine, pixels: NDArray[np.generic], recipe: NDArray[np.float32], now: Callable[[], float]) -> float:
    seconds = []
    for _ in range(3):
        started = now()
        engine.probabilities(pixels, recipe)
        seconds.append(now() - started)
    return len(pixels) / min(seconds[1:])
