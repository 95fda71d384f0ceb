"""The Keras engine on one device of its backend: python benchmarks/inference.py --device gpu:0 [--short]

Works under TensorFlow and, with KERAS_BACKEND=jax, under JAX. Images/s in each precision, at the fastest of several
batches; the share that is of the arithmetic of a large matrix product in the same precision, on the same device and
taking turns with it; and the share of time spent waiting for input: batches are decoded from a Zarr shard, one ahead of
the engine, as in a run, and waiting is what the engine's thread does while the next one is not there yet.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from layer_steps import flop_per_image
from machine_roof import PRECISIONS, SIDE, available_threads, by_keras
from made_engines import make_engine, settle_threads
from made_networks import Network, made_model, made_pixels, unit_recipes
from turns import Contestant, Rates, take_turns

from segscale.storage import shards
from segscale.storage.objects import ObjectStore
from segscale.tasks.engines import Engine


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    batches: tuple[int, ...]
    product_side: int
    rounds: int
    seconds: float
    """Of a turn."""
    n_fed: int
    """Batches that are fed from a shard."""


FULL = Effort((8, 32, 128), 2 * SIDE, 5, 3.0, 50)
SHORT = Effort((1, 2), 128, 1, 0.02, 4)


def measure_device(device: str, network: Network, *, short: bool) -> None:
    """Print the figures of both precisions."""
    effort = SHORT if short else FULL
    threads = available_threads() if device.startswith("cpu") else 0
    settle_threads(threads)
    print(f"load {os.getloadavg()[0]:.1f}, {device} of {keras.backend.backend()}, {network.name}\n")
    print(f"{'':<40}images/s   lowest  highest  batch  of product  TFLOP/s of product  waiting")
    model = made_model(network)
    flop = float(flop_per_image(model, network.side))
    pixels = made_pixels(max(effort.batches), network.side)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        for precision in PRECISIONS:
            engine = make_engine(
                "keras", path, level=network.level, precision=precision, threads=threads, device=device
            )
            images, product = measure_rates(engine, pixels, flop, effort)
            waiting = waiting_share(engine, pixels[: images.batch], effort.n_fed, Path(folder) / precision)
            show(images, product, waiting)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def measure_rates(engine: Engine, pixels: npt.NDArray[np.uint8], flop: float, effort: Effort) -> tuple[Rates, Rates]:
    """Images and matrix products per second, in turns."""
    precision, recipes = engine.facts.precision, unit_recipes(len(pixels))
    contestant = Contestant(
        f"segscale keras, {precision}", precision, flop, lambda n: engine.probabilities(pixels[:n], recipes[:n])
    )
    multiply = by_keras(effort.product_side, precision, engine.facts.device)
    several = Contestant("product", precision, 2.0 * effort.product_side**3, multiply)
    images, product = take_turns([contestant, several], effort.batches, rounds=effort.rounds, seconds=effort.seconds)
    return images, product


def waiting_share(engine: Engine, pixels: npt.NDArray[np.uint8], n_batches: int, folder: Path) -> float:
    """The share of time in which the engine had no batch to compute."""
    store = ObjectStore(str(folder))
    entry = shards.commit_shard(store, "ingest", "0" * 64, arrays={"images": pixels}, rows=b"", facts={})
    recipes = unit_recipes(len(pixels))
    waiting = 0.0
    begin = time.perf_counter()
    for batch, seconds in batches_ahead(lambda: decoded(store, entry), n_batches):
        waiting += seconds
        engine.probabilities(batch, recipes)
    return waiting / (time.perf_counter() - begin)


def decoded(store: ObjectStore, entry: Any) -> npt.NDArray[np.uint8]:
    """All images of the shard, from its file, one after the other as a run does."""
    (images,) = shards.open_arrays(store, entry, "images")
    return np.concatenate([shards.as_numpy(images, place, place + 1) for place in range(images.shape[0])])


def batches_ahead(
    load: Callable[[], npt.NDArray[np.uint8]], count: int
) -> Iterator[tuple[npt.NDArray[np.uint8], float]]:
    """Batches, each with the seconds that it was waited for; the next one is loaded meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(load)
        for number in range(count):
            begin = time.perf_counter()
            batch = following.result()
            seconds = time.perf_counter() - begin
            if number + 1 < count:
                following = pool.submit(load)
            yield batch, seconds


def show(images: Rates, product: Rates, waiting: float) -> None:
    pairs = zip(images.flop_per_second, product.flop_per_second, strict=True)
    share = statistics.median(a / b for a, b in pairs)
    figures = f"{images.median:9.2f}{min(images.per_second):9.2f}{max(images.per_second):9.2f}{images.batch:7d}"
    speed = statistics.median(product.flop_per_second) / 1e12
    print(f"{images.contestant.name:<39}{figures}{share:12.1%}{speed:20.2f}{waiting:9.1%}")
