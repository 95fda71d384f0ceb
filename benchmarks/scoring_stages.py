"""Where the processor's seconds of a direct scoring go, stage by stage, beside what cannot be saved.

`benchmarks/scoring.py --only stages` draws the pairs. A first run, as `segscale evaluate` makes it, is measured from
within: the driver's own seconds by stage, and those of its workers together. What workers do for a pair is then done in
this process, shard by shard, each the fastest of some rounds: other work on the machine takes part in all of them.
"""

from __future__ import annotations

import hashlib
import os
import resource
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pandas as pd
from made_pairs import Pairs

from segscale.flows import page
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.dataset import volumes
from segscale.flows.processes.messages import Done, packed
from segscale.flows.report import write_tables
from segscale.flows.run import Run
from segscale.flows.score import score_files, scoring_of
from segscale.flows.worker import warm
from segscale.storage.objects import ObjectStore
from segscale.storage.source_memory import MEMORY_COLUMNS
from segscale.tasks.score import score_shard
from segscale.tasks.score_image import ReadImage, read_image, score_image
from segscale.tasks.score_plan import plan_scores
from segscale.tasks.scoring import ImageFiles, ScoreJob

SHARDS = 8
"""So many are done in this process."""
HEAD, TAIL = 41, 16
"""Bytes of a drawn PNG before its compressed pixels, and behind them."""


def show_stages(pairs: Pairs, folder: Path, rounds: int) -> None:
    """Print both tables."""
    config = parse_config(
        {
            "dataset": {"name": "small", "references": str(pairs.references)},
            "predictions": {"path": str(pairs.predictions)},
            "store": {"path": "store"},
            "report": {"path": "reports"},
        },
        base=folder,
        source="stages",
    )
    print(f"\nstages of {pairs.count} pairs, seconds of the processors{'spent':>20}{'floor':>9}   the floor is")
    show_run(config, pairs)
    print(f"\na pair in a worker, microseconds of the processor{'spent':>23}{'floor':>9}   the floor is")
    show_worker(config, rounds)


def show_run(config: EvaluationConfig, pairs: Pairs) -> None:
    """The first run over the pairs."""
    with Run(config) as job:
        job.when_busy = partial(page.load, pairs.count)
        with measured("driver: list and pair", lambda: stat_all(pairs), "a call of stat for each file"):
            job.listing()
        with measured("driver: look at some files"):
            job.look()
        with measured("driver: plan, hand out, take in, catalog"):
            stage = score_files(job)
        before = of_children()
        job.close_workers()
        show("workers, what they load included", of_children() - before)
        with measured("driver: report"):
            write_tables(job, [stage])


def stat_all(pairs: Pairs) -> None:
    for folder in (pairs.references, pairs.predictions):
        for name in os.listdir(folder):  # noqa: PTH208  # a Path for each would be no floor
            os.stat(f"{folder}/{name}")  # noqa: PTH116


@contextmanager
def measured(name: str, floor: Callable[[], None] | None = None, said: str = "") -> Iterator[None]:
    """Print what the driver spends in the block, and what a floor for it takes."""
    begin = time.process_time()
    yield
    spent = time.process_time() - begin
    show(name, spent, fastest(floor, 3) if floor else None, said)


def show(name: str, spent: float, floor: float | None = None, said: str = "") -> None:
    shown = "" if floor is None else f"{floor:9.2f}   {said}"
    print(f"{name:<58}{spent:14.2f}{shown}", flush=True)


def of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fastest(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the processor."""
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def show_worker(config: EvaluationConfig, rounds: int) -> None:
    """What a worker does for some shards."""
    warm.warm_up()
    run = Run(config)
    scoring, choice = scoring_of(run, run.listing()), volumes(config).choice
    unread = pd.DataFrame(columns=list(MEMORY_COLUMNS))
    plan = plan_scores(run.listing(), unread, scoring, config.store.shard_images, {})
    jobs = [plan.job(key) for key in list(plan.shards)[:SHARDS]]
    n_pairs = sum(len(job.images) for job in jobs)
    numbers = count()

    def microseconds(work: Callable[[ScoreJob], object]) -> float:
        return sum(fastest(partial(work, job), rounds) for job in jobs) / n_pairs * 1e6

    def read(job: ScoreJob) -> list[tuple[ImageFiles, ReadImage]]:
        return [(files, read_image(files, job, choice)) for files in job.images]

    held = {job.key: read(job) for job in jobs}

    def score(job: ScoreJob) -> None:
        for files, one in held[job.key]:
            score_image(files, one, scoring)

    def read_alone(job: ScoreJob) -> None:
        for files in job.images:
            for url, _ in (files.reference, files.prediction):
                with open(url.removeprefix("file://"), "rb") as file:
                    hashlib.sha256(file.read()).hexdigest()

    def inflate(job: ScoreJob) -> None:
        for _, one in held[job.key]:
            for data in one.data.values():
                zlib.decompress(data[HEAD:-TAIL])

    with tempfile.TemporaryDirectory() as folder:

        def do_all(job: ScoreJob) -> None:
            # Of another threshold it is other work, which is committed anew.
            counting = replace(scoring.counting, threshold=1 / (2 + next(numbers)))
            packed(Done(score_shard(ObjectStore(folder), job, replace(scoring, counting=counting))))

        reading, inflating = microseconds(read_alone), microseconds(inflate)
        show("files read and hashed", microseconds(read), reading, "open, read, sha256")
        show("decoded and counted", microseconds(score), inflating, "zlib.decompress")
        show("a shard, its commit and the answer to the driver", microseconds(do_all), reading + inflating, "both")
