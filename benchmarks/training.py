"""Training beside a plain Keras loop: python benchmarks/training.py [--short] [--epochs 7]

One process trains two equal networks (UNet++, four heads, the loss of the defaults), taking turns epoch by epoch, so
that what else the machine does meets both alike: ours, which draws, varies and normalises patches, measures every score
of the history and keeps the loss in its parts; and `model.fit` of Keras over patches that lie in memory, normalised,
with no metric. Printed are images per second of both (median, lowest, highest; the first epoch, which compiles, is left
out), their ratio epoch by epoch, and the share of our time that was spent waiting for input.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np

from segscale.tasks.normalize import Recipe
from segscale.tasks.training.checkpoint import Checkpoint
from segscale.tasks.training.feed import training_batches
from segscale.tasks.training.loop import Training, train_network
from segscale.tasks.training.network import build_network, head_loss
from segscale.tasks.training.patches import plan_patches
from segscale.tasks.training.sample import Sample
from segscale.tasks.training.settings import TrainSettings
from segscale.tasks.training.split import Split

FULL = TrainSettings(epochs=8, steps_per_epoch=8)
SHORT = TrainSettings(epochs=2, steps_per_epoch=2, filters=(2, 4, 8), patch=32, batch_size=2)
UNIT = Recipe(-np.inf, np.inf, 0.0, 255.0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a small network and 1 epoch: shows that it runs")
    parser.add_argument("--epochs", type=int, default=FULL.epochs - 1, help="epochs that count")
    options = parser.parse_args(arguments)
    settings = SHORT if options.short else replace(FULL, epochs=options.epochs + 1)
    samples = made_samples(32, settings.patch + settings.patch // 4)
    plain = PlainKeras(samples, settings)
    ours: list[tuple[float, float]] = []
    theirs: list[float] = []

    def take_turns(state: Checkpoint) -> None:
        row = state.rows[-1]
        ours.append((row["seconds"], row["waiting_seconds"]))
        theirs.append(plain.train_epoch())

    load = os.getloadavg()[0]
    train_network(Training("benchmark", Split(tuple(samples), ()), settings), take_turns)
    show(ours[1:], theirs[1:], settings.steps_per_epoch * settings.batch_size)
    print(f"load {load:.1f} at the beginning, {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} processors")


class PlainKeras:
    """`model.fit` over patches that were made beforehand."""

    def __init__(self, samples: Sequence[Sample], settings: TrainSettings) -> None:
        self._batch_size = settings.batch_size
        plan = plan_patches(samples, settings.patch, foreground_share=settings.foreground_share)
        batches = list(
            training_batches(
                plan,
                settings.augmentation,
                batch_size=settings.batch_size,
                channels=settings.channels,
                n_steps=settings.steps_per_epoch,
            )
        )
        self._images = np.concatenate([batch.images for batch in batches])
        self._references = np.concatenate([batch.references for batch in batches])
        self._model = build_network(settings, "float32")
        self._model.compile(
            keras.optimizers.Adam(settings.learning_rate),
            loss=[head_loss(settings) for _ in self._model.outputs],
            loss_weights=list(settings.weights_of_heads),
            jit_compile=keras.backend.backend() == "jax",
        )

    def train_epoch(self) -> float:
        """Seconds of one pass."""
        references = [self._references] * len(self._model.outputs)
        started = time.perf_counter()
        self._model.fit(self._images, references, batch_size=self._batch_size, verbose=0)
        return time.perf_counter() - started


def show(ours: Sequence[tuple[float, float]], theirs: Sequence[float], n_images: int) -> None:
    """The rates, their ratio, and the waiting."""
    pairs = list(zip(ours, theirs, strict=True))
    lines = {
        "segscale, images/s": [n_images / seconds for seconds, _ in ours],
        "plain Keras, images/s": [n_images / seconds for seconds in theirs],
        "ratio (goal: 0.9)": [other / seconds for (seconds, _), other in pairs],
        "share of our time waiting for input": [waiting / seconds for seconds, waiting in ours],
    }
    print(f"{'':<40}median   lowest  highest   ({len(pairs)} epochs of {n_images} patches)")
    for name, values in lines.items():
        print(f"{name:<37}{statistics.median(values):9.3f}{min(values):9.3f}{max(values):9.3f}")


def made_samples(count: int, side: int) -> list[Sample]:
    """Images with bright discs as their foreground."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    samples = []
    for number in range(count):
        centre, radius = generator.uniform(0, side, 2), generator.uniform(2, side / 6)
        disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
        pixels = generator.normal(90 + 80 * disc, 20).clip(0, 255).astype(np.uint8)
        samples.append(Sample(f"made-{number}", pixels[..., np.newaxis], UNIT, disc.astype(np.uint8)))
    return samples


if __name__ == "__main__":
    main()
