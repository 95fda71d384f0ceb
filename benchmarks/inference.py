"""Inference beside others: python benchmarks/inference.py [--short] [--rounds 5] [--only SECTION ...]

Images/s of every engine and precision, and of others that compute the same network with the same weights: Keras'
`model.predict`, `tf.function`, PyTorch, ONNX Runtime. Others that are not installed are named as such; `make oracles`
makes an environment that has them all, .venv-oracles. Everybody has all the processors that this process may use, and
whoever computes in float32 must give the probabilities of `model.predict` to 1e-4 before being timed.

All contestants take turns, and with them the fastest matrix product of each precision, so that what else the machine
does meets all of them alike. Each has the batch at which it was fastest of those tried. Printed are the median, the
lowest and the highest of the rounds, how many times as fast as `model.predict` that is, what share of the arithmetic of
the matrix product in the same precision, and the largest difference of a probability; ratios are medians of ratios
round by round. Then follow two workers of one thread beside one process with all threads, of the fastest engine.

With --device gpu:0 the Keras engine alone is measured there, as benchmarks/inference_device.py says.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import inference_device
import keras
import numpy as np
import two_workers
from inference_peers import PREDICT, Candidate, Infer, Subject, as_onnx, peers
from layer_steps import flop_per_image
from machine_roof import PRECISIONS, SIDE, available_threads, measure_roof, show_product
from made_engines import ENGINES, make_engine, settle_threads
from made_networks import NORMALIZED, PLAIN, SMALL, TINY, Network, made_model, made_pixels, unit_recipes
from turns import Contestant, Rates, ratios, take_turns

from segscale.tasks.engines import Precision
from segscale.tasks.engines.openvino import OpenVinoEngine
from segscale.tasks.model_facts import AS_IT_IS
from segscale.tasks.onnx_networks.network import read_network

LARGEST_DIFFERENCE = 1e-4
NETWORKS = {"plain": PLAIN, "norm": NORMALIZED, "small": SMALL}
WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    networks: tuple[Network, ...]
    batches: tuple[int, ...]
    rounds: int
    seconds: float
    """Of a turn."""
    product_side: int
    window_seconds: float
    """Of two workers together; 0: they are left out."""


SHORT = Effort((TINY,), (1, 2), 1, 0.02, 128, 0.3)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tiny network and 1 round: shows that it runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a turn")
    parser.add_argument("--only", nargs="+", choices=[*NETWORKS, WORKERS], default=[*NETWORKS, WORKERS])
    parser.add_argument("--device", default="", help="a device of Keras' backend, to measure its engine there alone")
    options = parser.parse_args(arguments)
    if options.device:
        inference_device.measure_device(options.device, TINY if options.short else NORMALIZED, short=options.short)
        return
    networks = tuple(network for name, network in NETWORKS.items() if name in options.only)
    window = 10.0 if WORKERS in options.only else 0.0
    full = Effort(networks, (1, 4), options.rounds, options.seconds, SIDE, window)
    with tempfile.TemporaryDirectory() as folder:
        measure(SHORT if options.short else full, Path(folder))


def measure(effort: Effort, folder: Path) -> None:
    """Print all figures."""
    # Every size of batch is traced once: that is meant, and no reason to warn.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    threads = available_threads()
    settle_threads(threads)
    print(f"load {os.getloadavg()[0]:.1f}, {threads} threads, medians of {effort.rounds} rounds\n")
    roof = measure_roof(threads, side=effort.product_side, rounds=effort.rounds)
    for network in effort.networks:
        model = made_model(network)
        model.save(folder / f"{network.filters[0]}-{network.normalization}.keras")
        pixels = made_pixels(max(effort.batches), network.side)
        measure_network(Subject(network, model, pixels, threads), effort, roof, folder)
        keras.utils.clear_session()
    if effort.window_seconds:
        network = TINY if effort.networks == (TINY,) else NORMALIZED
        two_workers.measure(network, seconds=effort.window_seconds, rounds=min(3, effort.rounds))
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def measure_network(subject: Subject, effort: Effort, roof: dict[str, Contestant], folder: Path) -> None:
    """The table of one network, and the goals."""
    flop = float(flop_per_image(subject.model, subject.network.side))
    side = subject.network.side
    print(f"\n{subject.network.name}: {side}x{side}x3, {flop / 1e9:.1f} GFLOP an image")
    reference = subject.model.predict(subject.images[:2], verbose=0)
    contestants: list[Contestant] = []
    differences: dict[str, float] = {}
    for candidate in [*peers(subject), *ours(subject, folder)]:
        title = f"{candidate.name}, {candidate.precision}"
        try:
            infer = candidate.build()
        except (ImportError, ValueError) as error:
            absent = "not installed" if isinstance(error, ImportError) else f"not here: {error}"
            contestants.append(Contestant(title, candidate.precision, flop, None, absent))
            continue
        differences[title] = difference(title, candidate.precision, infer(2), reference)
        contestants.append(Contestant(title, candidate.precision, flop, infer))
    rates = take_turns([*contestants, *roof.values()], effort.batches, rounds=effort.rounds, seconds=effort.seconds)
    show(rates[: len(contestants)], rates[len(contestants) :], differences)


def ours(subject: Subject, folder: Path) -> Iterator[Candidate]:
    """Our engines, from stored pixels."""
    network = subject.network
    path = folder / f"{network.filters[0]}-{network.normalization}.keras"
    for name in ENGINES:
        for precision in PRECISIONS:

            def build(name=name, precision=precision) -> Infer:
                engine = make_engine(name, path, level=network.level, precision=precision, threads=subject.threads)
                recipes = unit_recipes(len(subject.pixels))
                return lambda n: engine.probabilities(subject.pixels[:n], recipes[:n])[0]

            yield Candidate(f"segscale {name}", precision, build)
    for precision in PRECISIONS:
        yield Candidate("segscale openvino, of ONNX", precision, partial(of_onnx, subject, folder, precision))


def of_onnx(subject: Subject, folder: Path, precision: Precision) -> Infer:
    """The same network as PyTorch writes it; ImportError where that is not installed."""
    path = folder / "network.onnx"
    path.write_bytes(as_onnx(subject))
    graph = read_network(path, AS_IT_IS).graph("all", False)
    engine = OpenVinoEngine(graph, precision=precision, threads=subject.threads)
    recipes = unit_recipes(len(subject.pixels))
    return lambda n: engine.probabilities(subject.pixels[:n], recipes[:n])[0]


def difference(title: str, precision: str, found: np.ndarray, reference: np.ndarray) -> float:
    """The largest of a probability; where the network is another one, nobody needs its speed."""
    largest = float(np.abs(found - reference).max())
    if precision == "float32" and not largest <= LARGEST_DIFFERENCE:
        raise AssertionError(f"{title} gives other probabilities than {PREDICT}, by {largest:.2g}")
    return largest


def show(rates: Sequence[Rates], products: Sequence[Rates], differences: dict[str, float]) -> None:
    """One line per contestant, then how far the goals are met."""
    print(f"{'':<40}images/s   lowest  highest  batch  times predict  of roof  differs by")
    predict = rates[0]
    roof = {product.contestant.precision: product for product in products}
    for rate in rates:
        one = rate.contestant
        if not rate.per_second:
            print(f"{one.name:<40}{one.absent}")
            continue
        figures = f"{rate.median:9.2f}{min(rate.per_second):9.2f}{max(rate.per_second):9.2f}{rate.batch:7d}"
        times, share = statistics.median(ratios(rate, predict)), share_of(rate, roof[one.precision])
        print(f"{one.name:<39}{figures}{times:14.2f}x{share:9.1%}{differences[one.name]:12.1e}")
    for product in products:
        show_product(product)
    present = [rate for rate in rates if rate.per_second]
    best = max((rate for rate in present if rate.contestant.name.startswith("segscale")), key=lambda rate: rate.median)
    print(f"fastest of ours: {best.contestant.name}")
    print(f"  times {PREDICT}: {statistics.median(ratios(best, predict)):.2f} (goal 5.5)")
    torch = [rate for rate in present if rate.contestant.name.startswith("PyTorch")]
    if torch:
        rival = max(torch, key=lambda rate: rate.median)
        print(f"  times {rival.contestant.name}: {statistics.median(ratios(best, rival)):.2f} (goal 2)")
    own = best.contestant.precision
    print(f"  of the {own} product: {share_of(best, roof[own]):.1%} (goal 85 % of bfloat16)")


def share_of(rate: Rates, product: Rates) -> float:
    """Arithmetic of a network, as a share of that of a matrix product; the median over the rounds."""
    pairs = zip(rate.flop_per_second, product.flop_per_second, strict=True)
    return statistics.median(a / b for a, b in pairs)


if __name__ == "__main__":
    main()
