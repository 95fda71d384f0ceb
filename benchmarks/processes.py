"""Workers without a cluster beside Dask's: python benchmarks/processes.py [--repeats N] [--shards N ...]

Of each way, as medians: seconds from a driver's first call until the first shard has come back, its process new and
numba's cache warm; and shards that do nothing, in milliseconds each, so many of them one after the other. The ways are
the processes that are forked, the same as an interpreter each (`Alone`, where nothing can be forked), and a Dask
cluster of this machine. `early` is forked as well, and started before the driver loads what a run needs, as
`segscale run` does it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

WAYS = ("forked", "early", "interpreters", "dask")
CODE = """
import json, sys, time
from unittest import mock
way, counts = sys.argv[1], json.loads(sys.argv[2])
begin = time.perf_counter()
from segscale.flows import workers as module
from segscale.flows.config.cluster import Cluster
early = None
if way == "early":
    module._early.append(module._new_pool(Cluster()))
from segscale.flows import evaluate
from segscale.flows.worker import work
from segscale.flows.worker.work import ScanJob
loaded = time.perf_counter()
with mock.patch("segscale.flows.processes.pool.FORKS", way != "interpreters"):
    with module.Workers(Cluster(workers=2 if way == "dask" else 0), alone=True) as workers:
        def shards(count):
            start = time.perf_counter()
            jobs = (ScanJob(str(number), "image", ()) for number in range(count))
            assert sum(1 for _ in workers.stream(work.scan_files, jobs)) == count
            return time.perf_counter() - start
        first = shards(1)
        each = {count: 1000 * shards(count) / count for count in counts}
        start = time.perf_counter()
    ended = time.perf_counter() - start
print(json.dumps({"loaded": loaded - begin, "first": first, "each": each, "ended": ended}))
"""


def measure(way: str, counts: list[int]) -> dict[str, float]:
    """One process, which runs one way."""
    before = cpu_seconds()
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", CODE, way, json.dumps(counts)],
        env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    return {
        **{name: found[name] for name in ("loaded", "first", "ended")},
        "cpu": cpu_seconds() - before,
        **found["each"],
    }


def cpu_seconds() -> float:
    """Of all processes that have ended, on all cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 3000])
    options = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(options.repeats):
        # Turn by turn: what else the machine does falls on all of them.
        for way in WAYS:
            measured[way].append(measure(way, options.shards))
    header = (
        "way",
        "driver loads s",
        "first shard s",
        "end s",
        "CPU s in all",
        *(f"{count} shards ms each" for count in options.shards),
    )
    print(" | ".join(header))
    for way, found in measured.items():
        medians = [statistics.median(one[name] for one in found) for name in found[0]]
        least = [min(one[name] for one in found) for name in found[0]]
        print(
            " | ".join([way, *(f"{median:.2f} (least {low:.2f})" for median, low in zip(medians, least, strict=True))])
        )


if __name__ == "__main__":
    main()
