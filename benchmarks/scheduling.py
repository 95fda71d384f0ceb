"""What a run costs beside its images: python benchmarks/scheduling.py [--images N ...] [--workers N] [--short]

No image and no network: a data set is made up, and a stand-in on two real workers draws the counts of a shard and
commits a real part with a real record. For each number of images:

- the stage: shards per second through workers and ledger, and the driver's memory at a tenth and at the end of it;
- the resume of the finished run, step by step as `segscale run` takes them, but for the listing of files that are not
  there: what is known of files, the catalog that was planned from the same, ledger, the plan of the stage, and the name
  of the run; and beside that what planning takes where anything changed.

Then a scheduler with `--workers` workers in one process that compute nothing and commit a record without a part: shards
per second through the stream of a driver and the ledger. Disk and machine count, so plain probes stand
beside: objects per second written the same way (a file, its sync, its name, the sync of its folder) by two processes,
shards through two workers that do nothing, and before each stage its work done by two processes that nobody schedules.
On two cores a shard costs at least what it costs in both of the latter.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import psutil
from distributed import Client
from made_set import made_files, made_listing
from made_work import StandIn, nothing, record, stand_in

from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import parse_config
from segscale.flows.predict import plan_predict
from segscale.flows.run import Run
from segscale.flows.scan import _scan_jobs
from segscale.flows.shards.stream import stream_shards
from segscale.flows.stage import ShardPlan, run_stage
from segscale.flows.workers import Workers
from segscale.storage.catalog import catalog_sha256, read_catalog, read_planned, rows_by_shard, write_catalog
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.storage.source_memory import SourceMemory
from segscale.storage.tables import frame_sha256
from segscale.tasks import predict, scan, shard_plan
from segscale.tasks.predict import PredictJob
from segscale.tasks.prediction import Prediction
from segscale.tasks.readers import NO_CHOICE
from segscale.tasks.shard_plan import Preparation

SHARD_IMAGES = 170
"""A million images then lie in 8,192 shards: halved 13 times, the tree has 122 images in a leaf on average."""
PREPARATION = Preparation(2, (), -1, "unit", (0.0, 1.0))
PREDICTION = Prediction(
    weights_sha256="0" * 64, engine="stand-in", precision="float32", versions={}, heads=("last",), level=4,
    ensemble=False, flips=False, n_classes=2, batch_size=16, batch_pixels=0, tile=1024, overlap=0.25, threshold=0.5,
    keep="none",
)  # fmt: skip
NAME = "made"


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What a stage took."""

    n_shards: int
    seconds: float
    shards_per_second: tuple[float, ...]
    """Of each tenth of the shards."""
    driver_bytes: tuple[int, int]
    """Resident memory of the driver when a tenth of the shards was done, and the peak after that."""


def run_shards(planned: dict[str, ShardPlan], store: ObjectStore, workers: Workers) -> StageFigures:
    """The stage as every stage is run, with the stand-in as its work."""
    process, tenth = psutil.Process(), max(1, len(planned) // 10)
    marks: list[float] = []
    memory: list[int] = []
    drawn = 0

    def make_job(key: str) -> StandIn:
        nonlocal drawn
        drawn += 1
        if drawn % tenth == 0:
            marks.append(time.perf_counter())
            memory.append(process.memory_info().rss)
        return StandIn(key, planned[key].n_images)

    made = {"dataset": {"name": NAME, "images": "none", "references": "none"}, "store": {"path": store.url}}
    run = Run(parse_config(made, base=Path("/"), source=NAME), workers=workers)
    start = time.perf_counter()
    summary = run_stage(predict.STAGE, planned, make_job, stand_in, run)
    seconds = time.perf_counter() - start
    assert summary.images == sum(shard.n_images for shard in planned.values())
    rates = [tenth / (after - before) for before, after in pairwise(marks)]
    return StageFigures(len(planned), seconds, tuple(rates), (memory[0], max(memory[1:], default=memory[0])))


@contextmanager
def step(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def resume(listing: pd.DataFrame, store: ObjectStore) -> dict[str, float]:
    """The seconds of each step of the resume of a finished run."""
    seconds: dict[str, float] = {}
    with step("recall what is known of files", seconds):
        known = SourceMemory(store, scan.CODE_VERSION).recall()
    with step("find new files", seconds):
        assert not list(_scan_jobs(listing, known, NO_CHOICE))
    with step("is anything else", seconds):
        planned_from = shard_plan.plan_sha256(frame_sha256(listing), known, PREPARATION, SHARD_IMAGES, {})
    with step("read the planned catalog", seconds):
        catalog = read_planned(store, NAME, planned_from)
    assert catalog is not None
    del known
    with step("rows by shard", seconds):
        rows_by_shard(catalog)
    with step("read the catalog for the next stage", seconds):
        kept = read_catalog(store, NAME)
    assert kept is not None
    with step("plan the stage", seconds):
        jobs = plan_predict(kept, PREDICTION)
    with step("hash the catalog", seconds):
        catalog_sha256(kept)
    with step("list the ledger", seconds):
        done = Ledger(store).done(predict.STAGE)
    assert done == jobs.keys()
    return seconds


def planned_of(jobs: dict[str, PredictJob], catalog: pd.DataFrame) -> dict[str, ShardPlan]:
    images = {key: len(rows) for key, rows in rows_by_shard(catalog).items()}
    return {key: ShardPlan(images[job.ingest_key], 600.0, dict) for key, job in jobs.items()}


def measure(n_images: int, folder: Path, rounds: int, n_workers: int) -> None:
    """Print the figures of a data set of so many images."""
    store = ObjectStore(str(folder))
    listing = made_listing(n_images)
    SourceMemory(store, scan.CODE_VERSION).remember(made_files(listing))
    known = SourceMemory(store, scan.CODE_VERSION).recall()
    planning: dict[str, float] = {}
    with step("plan the shards", planning):
        catalog = shard_plan.plan_shards(listing, known, PREPARATION, SHARD_IMAGES)
    with step("write the catalog", planning):
        write_catalog(
            store, NAME, catalog, shard_plan.plan_sha256(frame_sha256(listing), known, PREPARATION, SHARD_IMAGES, {})
        )
    del known
    planned = planned_of(plan_predict(catalog, PREDICTION), catalog)
    del catalog
    with Workers(Cluster(kind="local", workers=n_workers)) as workers:
        # Connect, import and warm up outside of what is measured.
        list(
            stream_shards(
                workers.client,
                stand_in,
                [StandIn("f" * 64, 2), StandIn("e" * 64, 2)],
                ObjectStore(str(folder / "warm")),
            )
        )
        figures = run_shards(planned, store, workers)
    print(f"\n{n_images} images in {figures.n_shards} shards")
    first, peak = figures.driver_bytes
    print(line("shards/s, all", [figures.n_shards / figures.seconds]))
    if figures.shards_per_second:
        print(line("shards/s, tenth by tenth", figures.shards_per_second))
    print(f"{'driver, MB at a tenth; peak after':40}{first / 1e6:8.0f} {peak / 1e6:8.0f}")
    for name, seconds in planning.items():
        print(line(f"changed set: {name}, s", [seconds], digits=3))
    runs = [resume(listing, store) for _ in range(rounds)]
    for name in runs[0]:
        print(line(f"resume: {name}, s", [run[name] for run in runs], digits=3))
    print(line("resume: all steps, s", [sum(run.values()) for run in runs], digits=2), flush=True)


def line(name: str, values: Sequence[float], digits: int = 1) -> str:
    """A name, then median, lowest and highest."""
    return f"{name:40}" + " ".join(
        f"{value:8.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )


def simulate(n_workers: int, n_shards: int, store: ObjectStore) -> None:
    """Print how fast a driver streams over simulated workers, and its memory."""
    command = [sys.executable, str(Path(__file__).with_name("made_cluster.py")), str(n_workers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout is not None
        assert cluster.stdin is not None
        start = time.perf_counter()
        address = cluster.stdout.readline().strip()
        print(f"\n{n_workers} simulated workers, there after {time.perf_counter() - start:.0f} s", flush=True)
        try:
            with Client(address, timeout=60) as client:
                print_stream(client, n_shards, store)
        finally:
            cluster.stdin.close()
            cluster.kill()


def print_stream(client: Client, n_shards: int, store: ObjectStore) -> None:
    process, memory, marks = psutil.Process(), [], [time.perf_counter()]
    tenth = max(1, n_shards // 10)
    for number, _ in enumerate(stream_shards(client, record, made_jobs(n_shards), store), 1):
        if number % tenth == 0:
            memory.append(process.memory_info().rss)
            marks.append(time.perf_counter())
    rates = [tenth / (after - before) for before, after in pairwise(marks)]
    assert len(Ledger(store).done(predict.STAGE)) == n_shards
    print(line(f"shards/s, {n_shards} of them, by tenths", rates))
    print(f"{'driver, MB at a tenth; peak after':40}{memory[0] / 1e6:8.0f} {max(memory) / 1e6:8.0f}", flush=True)


def print_idle(n_shards: int, store: ObjectStore) -> None:
    """Print how fast shards go through two workers that have nothing to do at them."""
    with Workers(Cluster(kind="local", workers=2)) as workers:
        list(stream_shards(workers.client, nothing, made_jobs(2), store))
        start = time.perf_counter()
        list(stream_shards(workers.client, nothing, made_jobs(n_shards), store))
        seconds = time.perf_counter() - start
    print(line("shards/s, no work by two workers", [n_shards / seconds]), flush=True)


def made_jobs(n_shards: int) -> Iterator[StandIn]:
    return (StandIn(hashlib.sha256(str(number).encode()).hexdigest(), 122) for number in range(n_shards))


def _write_objects(folder: str, number: int, seconds: float) -> float:
    store, end, count = ObjectStore(folder), time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        store.write(f"{number}/{count}", b"x" * 8000)
        count += 1
    return count / seconds


def _do_shards(folder: str, number: int, seconds: float) -> float:
    store, end, count = ObjectStore(folder), time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        stand_in(StandIn(hashlib.sha256(f"{number}/{count}".encode()).hexdigest(), 122), store)
        count += 1
    return count / seconds


def probe(do: Callable[[str, int, float], float], folder: Path, seconds: float) -> float:
    """How many per second two processes do that do nothing else: no scheduler can be faster."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(do, [str(folder)] * 2, [2, 3], [0.1] * 2))
        return sum(pool.map(do, [str(folder)] * 2, [0, 1], [seconds] * 2))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=1000, help="simulated ones; 0: none")
    parser.add_argument("--shards", type=int, default=8192, help="over the simulated workers")
    parser.add_argument("--rounds", type=int, default=3, help="of the resume")
    parser.add_argument("--store", type=Path, help="a folder on the disk that is meant; default: a temporary one")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    if options.short:
        options.images, options.workers, options.shards, options.rounds = [3000], 10, 100, 1
    print(f"{'':40}{'median':>8} {'lowest':>8} {'highest':>8}")
    with tempfile.TemporaryDirectory(dir=options.store) as folder:
        root = Path(folder)
        seconds = 0.5 if options.short else 3
        print(line("objects/s, disk, by two processes", [probe(_write_objects, root / "objects", seconds)]))
        print_idle(50 if options.short else 2000, ObjectStore(str(root / "idle")))
        for n_images in options.images:
            bare = probe(_do_shards, root / f"bare-{n_images}", seconds)
            print("\n" + line("shards/s, work alone by two processes", [bare]), flush=True)
            measure(n_images, root / str(n_images), options.rounds, 2)
        if options.workers:
            simulate(options.workers, options.shards, ObjectStore(str(root / "simulated")))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
