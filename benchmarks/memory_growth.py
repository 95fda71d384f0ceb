"""Memory of an engine over many batches: python benchmarks/memory_growth.py [--batches 10000] [--engine NAME]

Batches of one image of varying size go through a small network, some hundred of a size before the next size, as shards
of a bucket do. Prints the resident memory after a tenth, half and all of them: by the first tenth everything that an
engine keeps has been met at least once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from made_engines import ENGINES, EngineName, make_engine
from made_networks import SMALL, made_model, unit_recipes

from segscale.tasks.engines import Precision

SHARES = (0.1, 0.5, 1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--engine", choices=ENGINES, default="openvino")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--shapes", type=int, default=12, help="different sizes, from 64x64 to 192x192")
    parser.add_argument("--stay", type=int, default=50, help="batches of one size in a row")
    options = parser.parse_args(arguments)
    measure(options.engine, options.precision, options.batches, options.shapes, options.stay)


def measure(engine_name: EngineName, precision: Precision, n_batches: int, n_shapes: int, stay: int) -> None:
    """Print the memory on the way."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        made_model(SMALL).save(path)
        engine = make_engine(engine_name, path, level=SMALL.level, precision=precision, threads=0)
    shapes = made_sizes(n_shapes, engine.facts.stride)
    marks = {max(1, round(share * n_batches)): share for share in SHARES}
    recipes, process = unit_recipes(1), psutil.Process()
    print(f"{engine_name} {precision}, {n_batches} batches of {len(shapes)} sizes, load {os.getloadavg()[0]:.1f}")
    found, begin = [], time.perf_counter()
    for number in range(1, n_batches + 1):
        height, width = shapes[number // stay % len(shapes)]
        engine.probabilities(np.full((1, height, width, 3), number % 256, np.uint8), recipes)
        if number in marks:
            found.append(process.memory_info().rss)
            seconds = time.perf_counter() - begin
            print(f"after {marks[number]:4.0%} {found[-1] / 1e6:9.1f} MB {seconds:9.1f} s", flush=True)
    print(f"growth from the first to the last: {(found[-1] - found[0]) / 1e6:.1f} MB, {found[-1] / found[0] - 1:.1%}")


def made_sizes(count: int, stride: int) -> list[tuple[int, int]]:
    """Different heights and widths, multiples of the stride."""
    sides = range(64, 193, stride)
    every = [(height, width) for height in sides for width in sides]
    chosen = np.random.default_rng(0).permutation(len(every))[:count]
    return [every[place] for place in chosen]


if __name__ == "__main__":
    main()
