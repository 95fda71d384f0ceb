"""Two workers beside one process: python benchmarks/two_workers.py [--short] [--engine NAME] [--precision NAME]

Two processes with one thread each, at work over the same window, against one process with two threads, in turns. They
wait for their window without computing. Printed are the rates and, round by round, the sum of the two over the one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from engine_process import EngineOrder, EngineProcess, rates_together
from made_engines import ENGINES, EngineName
from made_networks import NORMALIZED, SMALL, TINY, Network, made_model

from segscale.tasks.engines import Precision
from segscale.tasks.engines.selection import choose_engine

NETWORKS = {"norm": NORMALIZED, "small": SMALL}
WORKERS = 2


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tiny network and 1 round: shows that it runs")
    parser.add_argument("--network", choices=NETWORKS, default="norm")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window")
    options = parser.parse_args(arguments)
    network, rounds, seconds = NETWORKS[options.network], options.rounds, options.seconds
    if options.short:
        network, rounds, seconds = TINY, 1, 0.3
    print(f"load {os.getloadavg()[0]:.1f}")
    measure(
        network, engine=options.engine, precision=options.precision, batch=options.batch, seconds=seconds, rounds=rounds
    )
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def measure(
    network: Network,
    *,
    engine: EngineName | str = "auto",
    precision: Precision | str = "auto",
    batch: int = 4,
    seconds: float,
    rounds: int,
) -> None:
    """Print the rates of two workers and of one process."""
    choice = choose_engine(engine, precision)
    print(f"\n{WORKERS} workers of 1 thread, {network.name}, {choice.engine} {choice.precision}, batches of {batch}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "model.keras"
        made_model(network).save(path)

        def start(threads: int) -> EngineProcess:
            order = EngineOrder(str(path), network.level, choice.engine, choice.precision, threads, batch, network.side)
            process = stack.enter_context(EngineProcess(order))
            # One after the other: the first converts the graph that all of them use.
            process.wait_until_warm()
            return process

        alone, workers = start(WORKERS), [start(1) for _ in range(WORKERS)]
        singles, sums = [], []
        for _ in range(rounds):
            singles += rates_together([alone], seconds)
            sums.append(sum(rates_together(workers, seconds)))
    show(singles, sums)


def show(singles: Sequence[float], sums: Sequence[float]) -> None:
    print(f"{'':<40}median   lowest  highest   ({len(sums)} rounds)")
    lines = {
        f"1 process of {WORKERS} threads, images/s": singles,
        f"{WORKERS} processes of 1 thread, images/s": sums,
        "ratio (goal: 0.95)": [both / one for both, one in zip(sums, singles, strict=True)],
    }
    for name, values in lines.items():
        print(f"{name:<37}{statistics.median(values):9.3f}{min(values):9.3f}{max(values):9.3f}")


if __name__ == "__main__":
    main()
