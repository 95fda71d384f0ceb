"""A whole job beside its bare engine: python benchmarks/whole_job.py [--short] [--images 2048] [--network norm]

`segscale ingest`, `segscale predict` and `segscale report` over drawn images, all different, with a made-up network;
and the bare engine, in one process with all threads, before and after the prediction. Printed are images/s in steady
state, from the commit with which every worker has done a shard until the last commit, as a share of the bare engine's;
what comes before and after; and what the other stages of an image cost when each is measured alone. What is in the page
cache stays there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine_process import EngineOrder, EngineProcess, rates_together
from job_stages import Stage, stages_of
from machine_roof import available_threads
from made_engines import ENGINES
from made_networks import NORMALIZED, PLAIN, SMALL, TINY, Network, made_model
from made_shapes import draw_set

from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import open_report
from segscale.tasks.engines import Precision
from segscale.tasks.engines.selection import EngineName, choose_engine

NETWORKS = {"plain": PLAIN, "norm": NORMALIZED, "small": SMALL}
STEADY_GOAL, START_GOAL = 0.9, 15.0
SUBMITTED = "shards to do"
"""What the command says right before it submits the first shard."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is run."""

    network: Network
    n_images: int
    shard_images: int
    workers: int
    engine: EngineName
    precision: Precision
    batch: int
    window_seconds: float
    """In which the bare engine is measured."""


@dataclass(frozen=True, slots=True)
class Course:
    """When a prediction did what, in seconds since the command was given."""

    first_submit: float
    commits: tuple[tuple[float, int], ...]
    """Each with its images, in the order of time."""
    end: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tiny network and few images: shows that it runs")
    parser.add_argument("--network", choices=NETWORKS, default="norm")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--shard-images", type=int, default=32)
    parser.add_argument("--workers", type=int, default=available_threads())
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args(arguments)
    choice = choose_engine(options.engine, options.precision)
    computing = {"engine": choice.engine, "precision": choice.precision}
    network = NETWORKS[options.network]
    job = Job(
        network, options.images, options.shard_images, options.workers, **computing, batch=options.batch,
        window_seconds=20.0,
    )  # fmt: skip
    if options.short:
        job = Job(TINY, 24, 4, 2, **computing, batch=2, window_seconds=0.5)
    with tempfile.TemporaryDirectory() as folder:
        measure(job, Path(folder))


def measure(job: Job, folder: Path) -> None:
    """Print the figures of a job."""
    threads = available_threads()
    print(
        f"load {os.getloadavg()[0]:.1f}; {job.n_images} images of {job.network.side}x{job.network.side}x3 in shards of "
        f"{job.shard_images}, {job.network.name}, {job.engine} {job.precision}, {job.workers} workers"
    )
    config = prepare(job, folder)
    ingest_seconds = run_command("ingest", config)
    order = EngineOrder(
        str(folder / "model.keras"), job.network.level, job.engine, job.precision, threads, job.batch, job.network.side
    )
    with EngineProcess(order) as process:
        process.wait_until_warm()
        bare = rates_together([process], job.window_seconds)
        course = follow_prediction(config)
        bare += rates_together([process], job.window_seconds)
    report_seconds = run_command("report", config)
    show(job, course, sum(bare) / len(bare), stages_of(ObjectStore(str(folder / "store"))), threads)
    (path,) = (folder / "reports").glob("*/*/run.json")
    tables = open_report(str(path.parent)).run()["stages"]["report"]["seconds"]
    print(
        f"\nsegscale ingest {ingest_seconds:.1f} s; segscale report {report_seconds:.1f} s, its tables {tables:.1f} s"
    )
    print(f"bare engine before and after: {bare[0]:.2f} and {bare[1]:.2f} images/s")
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def prepare(job: Job, folder: Path) -> Path:
    """Draw the images, save the network; returns the configuration."""
    draw_set(folder, job.n_images, job.network.side)
    made_model(job.network).save(folder / "model.keras")
    config = folder / "config.toml"
    config.write_text(
        '[dataset]\nname = "drawn"\nimages = "images/*.png"\nreferences = "masks/*.png"\nlabel_values = [0, 255]\n'
        f'[model]\npath = "model.keras"\nengine = "{job.engine}"\nprecision = "{job.precision}"\n'
        f"level = {job.network.level}\nbatch_size = {job.batch}\n"
        f'[store]\npath = "store"\nshard_images = {job.shard_images}\n[report]\npath = "reports"\n'
        f"[cluster]\nworkers = {job.workers}\n"
    )
    return config


def run_command(name: str, config: Path) -> float:
    """Seconds of a command; raises RuntimeError with what it said where it failed."""
    begin = time.monotonic()
    answer = subprocess.run(command_of(name, config), env=environment(config), capture_output=True, text=True)
    if answer.returncode:
        raise RuntimeError(f"segscale {name}: {answer.stderr[-3000:]}")
    return time.monotonic() - begin


def command_of(name: str, config: Path) -> list[str]:
    executable = shutil.which("segscale", path=str(Path(sys.executable).parent)) or "segscale"
    return [executable, name, str(config)]


def environment(config: Path) -> dict[str, str]:
    """With a database of Prefect's own, which ingest makes: it is there when the prediction starts."""
    return {
        **os.environ,
        "PREFECT_HOME": str(config.parent / "prefect"),
        "SEGSCALE_CACHE": str(config.parent / "cache"),
    }


def follow_prediction(config: Path) -> Course:
    """Run `segscale predict`, and find in its words and in the ledger when what was done."""
    begin = time.time()
    said, first_submit = [], None
    # Lines of a pipe come when they are written: nothing is held back on their way.
    process = subprocess.Popen(
        command_of("predict", config), env=environment(config), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if SUBMITTED in line and first_submit is None:
            first_submit = time.time() - begin
    code = process.wait()
    end = time.time() - begin
    if code or first_submit is None:
        raise RuntimeError(f"segscale predict: {''.join(said)[-3000:]}")
    folder = config.parent / "store"
    ledger = Ledger(ObjectStore(str(folder)))
    records = (folder / "ledger" / "predict").glob("*.json")
    commits = sorted((path.stat().st_mtime - begin, ledger.read("predict", path.stem)) for path in records)
    return Course(first_submit, tuple((moment, entry.facts["n_images"]) for moment, entry in commits), end)


def show(job: Job, course: Course, bare: float, stages: Sequence[Stage], threads: int) -> None:
    """The share of the bare engine, where the time went, and what an image costs beside the engine."""
    moments = [moment for moment, _ in course.commits]
    warm = moments[job.workers - 1]
    first, later = course.commits[: job.workers], course.commits[job.workers :]
    n_steady = sum(count for _, count in later)
    steady = n_steady / (moments[-1] - warm)
    # The first shards take as long as the later ones, and beyond that they wait for the engine to be built.
    shard_seconds = sum(count for _, count in first) / steady
    compiling = max(0.0, warm - course.first_submit - shard_seconds)
    print(f"\nsteady state: {steady:.2f} images/s over {n_steady} images, bare engine {bare:.2f}")
    print(f"share of the bare engine: {steady / bare:.1%} (goal {STEADY_GOAL:.0%})")
    every = sum(count for _, count in course.commits) / (moments[-1] - course.first_submit)
    print(f"first submit to last commit, first shards included: {every:.2f} images/s, {every / bare:.1%}")
    start = course.first_submit + compiling
    print(f"start-up: {start:.1f} s (goal {START_GOAL:.0f} s)\n")
    lines = {
        "command to first submit (Prefect, Dask, plan)": course.first_submit,
        "first shards, beyond their share (compiling)": compiling,
        "shards": moments[-1] - course.first_submit - compiling,
        "last commit to end of command": course.end - moments[-1],
        "segscale predict": course.end,
    }
    print(f"{'':<48}seconds")
    for name, seconds in lines.items():
        print(f"{name:<46}{seconds:9.1f}")
    show_stages(1e3 / steady, 1e3 / bare, stages, threads)


def show_stages(steady_ms: float, bare_ms: float, stages: Sequence[Stage], threads: int) -> None:
    """Milliseconds of an image; what runs in one thread costs its share of the machine."""
    print(f"\n{'':<48}ms per image")
    print(f"{'steady state':<46}{steady_ms:9.2f}")
    print(f"{'  bare engine':<46}{bare_ms:9.2f}")
    rest = steady_ms - bare_ms
    for stage in stages:
        cost = stage.seconds_per_image * 1e3 / threads
        rest -= cost
        print(f"{f'  {stage.name}, alone, {1 / threads:.2g} of':<46}{cost:9.2f}")
    print(f"{'  everything else':<46}{rest:9.2f}")


if __name__ == "__main__":
    main()
