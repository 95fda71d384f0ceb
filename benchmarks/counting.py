"""Counting overlap, beside others: python benchmarks/counting.py [--short] [--repeats 7]

Mpixel/s on the same arrays in one run: our kernel counts every threshold k/256, the soft sums and the counts from
probabilities; the others count one threshold from masks that were made for them beforehand. Others that are not
installed are named as such; `make oracles` makes an environment that has them all, .venv-oracles.

All contestants take turns, so that what else the machine does meets all of them alike, and each counts about as many
images as it can in two seconds (at least one call). Printed are the median, the lowest and the highest of the repeats,
how many times faster our kernel is (uint8 and float32, two threads), and what share of the memory bandwidth, measured
in the same run, the bytes that our kernel reads are.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from machine_memory import read_bandwidth
from made_images import Arrays, Pixels, Setting, made_images

from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap

THREADS = 2
OURS = (f"segscale uint8, {THREADS} threads", f"segscale float32, {THREADS} threads")
"""What all others are set beside."""
CHUNK_PIXELS = 1 << 22
"""Pixels of one call of those who count many images at once."""

Count = Callable[[slice], object]


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who counts."""

    name: str
    count: Count | None
    """Counts a slice of the images; None: not installed."""
    images_per_call: int = 1
    threads: int = 1
    bytes_per_pixel: int = 0
    """Bytes that our kernel reads; 0 of others."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a contestant reached."""

    contestant: Contestant
    n_images: int
    """Images of each repeat."""
    megapixels_per_second: tuple[float, ...]
    """One per repeat."""

    @property
    def median(self) -> float:
        return statistics.median(self.megapixels_per_second)


FULL = (
    Setting("64 images of 512x512", 64, 64, (512, 512)),
    Setting("100,000 images of 64x64", 100_000, 8192, (64, 64)),
    Setting("1 volume of 192x512x512", 1, 1, (192, 512, 512)),
)
SHORT = (
    Setting("4 images of 512x512", 4, 4, (512, 512)),
    Setting("256 images of 64x64", 256, 256, (64, 64)),
    Setting("1 volume of 4x512x512", 1, 1, (4, 512, 512)),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small sets and 2 repeats: shows that it runs")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    repeats, seconds = (2, 0.05) if options.short else (options.repeats, 2.0)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, medians of {repeats}")
    for setting in SHORT if options.short else FULL:
        arrays = made_images(setting)
        bandwidth = read_bandwidth(1 << 24 if options.short else 1 << 28, repeats, THREADS)
        print(f"\n{setting.name}; {THREADS} threads read {bandwidth / 1e9:.1f} GB/s")
        with ThreadPoolExecutor(THREADS) as pool:
            show(measure(contestants(arrays, pool), setting, repeats, seconds, pool), bandwidth)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def show(rates: Sequence[Rate], bandwidth: float) -> None:
    """One line per contestant."""
    print(f"{'':<40}Mpixel/s   lowest  highest   images  uint8 is  float32 is  of memory")
    ours = [next(rate.median for rate in rates if rate.contestant.name == name) for name in OURS]
    for rate in rates:
        one = rate.contestant
        if one.count is None:
            print(f"{one.name:<40}not installed")
            continue
        spread = f"{min(rate.megapixels_per_second):9.0f}{max(rate.megapixels_per_second):9.0f}"
        times = f"{ours[0] / rate.median:9.1f}x{ours[1] / rate.median:11.1f}x"
        share = f"{rate.median * 1e6 * one.bytes_per_pixel / bandwidth:11.0%}" if one.bytes_per_pixel else ""
        print(f"{one.name:<39}{rate.median:9.0f}{spread}{rate.n_images:9d}{times}{share}")


def measure(
    contestants: Sequence[Contestant], setting: Setting, repeats: int, seconds: float, pool: ThreadPoolExecutor
) -> list[Rate]:
    """The rates of all, taking turns; each counts as many images as take it about so many seconds."""
    present = [one for one in contestants if one.count is not None]
    n_images = {one.name: images_within(one, setting, seconds, pool) for one in present}
    rates: dict[str, list[float]] = {one.name: [] for one in contestants}
    for _ in range(repeats):
        for one in present:
            taken = run(one, n_images[one.name], setting.n_distinct, pool)
            rates[one.name].append(n_images[one.name] * math.prod(setting.shape) / taken / 1e6)
    return [Rate(one, n_images.get(one.name, 0), tuple(rates[one.name])) for one in contestants]


def images_within(one: Contestant, setting: Setting, seconds: float, pool: ThreadPoolExecutor) -> int:
    smallest = min(one.images_per_call * one.threads, setting.n_images)
    # Once to compile and to warm up.
    run(one, smallest, setting.n_distinct, pool)
    calls = max(1, int(seconds / run(one, smallest, setting.n_distinct, pool)))
    return min(smallest * calls, setting.n_images)


def run(one: Contestant, n_images: int, n_distinct: int, pool: ThreadPoolExecutor) -> float:
    """Seconds for so many images, the distinct ones over and over."""
    starts = range(0, n_images, one.images_per_call)
    start = time.perf_counter()
    if one.threads == 1:
        count_all(one, starts, n_images, n_distinct)
    else:
        list(pool.map(lambda k: count_all(one, starts[k :: one.threads], n_images, n_distinct), range(one.threads)))
    return time.perf_counter() - start


def count_all(one: Contestant, starts: Sequence[int], n_images: int, n_distinct: int) -> None:
    assert one.count is not None
    for start in starts:
        first, size = start % n_distinct, min(one.images_per_call, n_images - start)
        assert first + size <= n_distinct
        one.count(slice(first, first + size))


def contestants(arrays: Arrays, pool: ThreadPoolExecutor) -> list[Contestant]:
    """Our kernel in all its forms, and the others."""
    return [*ours(arrays, pool), *formulas(arrays), *libraries(arrays)]


def ours(arrays: Arrays, pool: ThreadPoolExecutor) -> Iterator[Contestant]:
    reference = arrays.reference
    for name, probabilities in (("uint8", arrays.codes), ("float32", arrays.float32), ("float16", arrays.float16)):

        def count(images: slice, p: Pixels = probabilities) -> OverlapCounts:
            return count_overlap(reference[images.start], n_classes=2, probabilities=p[images.start])

        def count_slabs(_: slice, p: Pixels = probabilities) -> OverlapCounts:
            slabs = zip(np.array_split(reference[0], THREADS), np.array_split(p[0], THREADS), strict=True)
            parts = pool.map(lambda slab: count_overlap(slab[0], n_classes=2, probabilities=slab[1]), slabs)
            return sum(parts, start=OverlapCounts.zero(2, n_histograms=1))

        bytes_per_pixel = 1 + probabilities.itemsize
        yield Contestant(f"segscale {name}, 1 thread", count, 1, 1, bytes_per_pixel)
        if len(reference) == 1:
            # One volume: its parts are counted side by side and added.
            yield Contestant(f"segscale {name}, {THREADS} threads", count_slabs, 1, 1, bytes_per_pixel)
        else:
            yield Contestant(f"segscale {name}, {THREADS} threads", count, 1, THREADS, bytes_per_pixel)


def formulas(arrays: Arrays) -> Iterator[Contestant]:
    """What others compute, in our words."""
    masks = arrays.reference.astype(bool)

    def from_probabilities(images: slice) -> object:
        reference, prediction = masks[images.start], arrays.float32[images.start] >= np.float32(0.5)
        overlap = np.count_nonzero(reference & prediction)
        return overlap, np.count_nonzero(reference), np.count_nonzero(prediction)

    def from_masks(images: slice) -> object:
        reference, prediction = masks[images.start], arrays.prediction[images.start]
        overlap = np.count_nonzero(reference & prediction)
        return 2 * overlap / (np.count_nonzero(reference) + np.count_nonzero(prediction) or 1)

    def four_sums(images: slice) -> object:
        reference, prediction = masks[images.start], arrays.prediction[images.start]
        counted = np.ones(reference.shape, bool)
        pairs = ((reference, prediction), (~reference, prediction), (reference, ~prediction), (~reference, ~prediction))
        return [np.sum((a & b) & counted) for a, b in pairs]

    yield Contestant("numpy, threshold and count", from_probabilities)
    yield Contestant("MedPy's formula, from masks", from_masks)
    yield Contestant("nnU-Net's formula, from masks", four_sums)


def libraries(arrays: Arrays) -> Iterator[Contestant]:
    many = max(1, CHUNK_PIXELS // arrays.reference[0].size)
    yield _library("SimpleITK LabelOverlapMeasures", partial(simpleitk, arrays), 1)
    for threads in (1, THREADS):
        named = f"{threads} thread{'s' if threads > 1 else ''}"
        yield _library(f"MONAI DiceMetric, {named}", partial(monai, arrays, threads), many)
        yield _library(f"TorchMetrics Dice, indices, {named}", partial(torchmetrics_of_indices, arrays, threads), many)
        yield _library(f"TorchMetrics Dice, one-hot, {named}", partial(torchmetrics_of_one_hot, arrays, threads), many)


def _library(name: str, prepare: Callable[[], Count], images_per_call: int) -> Contestant:
    try:
        return Contestant(name, prepare(), images_per_call)
    except ImportError:
        return Contestant(name, None)


def simpleitk(arrays: Arrays) -> Count:
    library: Any = importlib.import_module("SimpleITK")
    pairs = zip(arrays.reference, arrays.prediction.view(np.uint8), strict=True)
    images = [tuple(map(library.GetImageFromArray, pair)) for pair in pairs]

    def count(chosen: slice) -> object:
        measures = library.LabelOverlapMeasuresImageFilter()
        measures.Execute(*images[chosen.start])
        return measures.GetDiceCoefficient()

    return count


def monai(arrays: Arrays, threads: int) -> Count:
    metric = importlib.import_module("monai.metrics").DiceMetric(include_background=True, reduction="mean_batch")

    def dice(prediction: Any, reference: Any) -> object:
        metric.reset()
        metric(prediction, reference)
        return metric.aggregate()

    return _with_torch(arrays, threads, dice)


def torchmetrics_of_indices(arrays: Arrays, threads: int) -> Count:
    return _torchmetrics(arrays, threads, num_classes=2, include_background=False, input_format="index")


def torchmetrics_of_one_hot(arrays: Arrays, threads: int) -> Count:
    """Of the foreground's channel alone: the least that it can be given."""
    return _torchmetrics(arrays, threads, num_classes=1, input_format="one-hot")


def _torchmetrics(arrays: Arrays, threads: int, **settings: Any) -> Count:
    library: Any = importlib.import_module("torchmetrics.segmentation")
    metric = library.DiceScore(average="none", **settings)
    of_indices = settings["input_format"] == "index"

    def dice(prediction: Any, reference: Any) -> object:
        metric.reset()
        metric.update(*((one[:, 0].long() if of_indices else one) for one in (prediction, reference)))
        return metric.compute()

    return _with_torch(arrays, threads, dice)


def _with_torch(arrays: Arrays, threads: int, dice: Callable[[Any, Any], object]) -> Count:
    torch: Any = importlib.import_module("torch")
    reference = torch.from_numpy(arrays.reference)[:, None]
    prediction = torch.from_numpy(arrays.prediction.view(np.uint8))[:, None]

    def count(images: slice) -> object:
        torch.set_num_threads(threads)
        return dice(prediction[images], reference[images])

    return count


if __name__ == "__main__":
    main()
