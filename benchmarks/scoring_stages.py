"""Where the processor's seconds of a direct scoring go, stage by stage, beside what cannot be saved.

`benchmarks/scoring.py --only stages` draws the pairs. A first run, as `segscale evaluate` makes it, is measured from
within: the driver's own seconds by stage, and those of its workers together. What workers do for a pair is then done in
this process, shard by shard, each the fastest of some rounds: other work on the machine takes part in all of them.

The floor is what nobody saves who reads, hashes and decodes these files: a call of stat, imports of libraries, SHA-256
of OpenSSL and libdeflate, without a filter undone or a pixel counted, and evenly over all processors. What the compiled
loops add, which undo filters and count, is shown beside it.
"""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
from made_pairs import FOREGROUND, Pairs
from numpy.typing import NDArray

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
from segscale.tasks.metrics.pair_kernel import count_stored_pair
from segscale.tasks.readers.png_rows import unfilter
from segscale.tasks.readers.png_structure import parse_png
from segscale.tasks.score import score_shard
from segscale.tasks.score_image import ReadImage, read_image, score_image
from segscale.tasks.score_plan import plan_scores
from segscale.tasks.scoring import ImageFiles, ScoreJob

SHARDS = 8
"""So many are done in this process."""
OWN, OF_OTHERS = "segscale.flows.evaluate", "numpy, pandas, pyarrow.parquet"


def show_stages(pairs: Pairs, folder: Path, rounds: int) -> None:
    """Print both tables."""
    config = parse_config(
        {
            "dataset": {"name": pairs.folder.name, "references": str(pairs.references)},
            "predictions": {"path": str(pairs.predictions)},
            "store": {"path": "store"},
            "report": {"path": "reports"},
        },
        base=folder,
        source="stages",
    )
    title = f"{pairs.folder.name}, {pairs.count} pairs, seconds of the processors"
    print(f"\n{title:<58}{'spent':>14}{'floor':>9}   the floor is")
    start = seconds_to_import(OF_OTHERS, rounds)
    show("driver: start", seconds_to_import(OWN, rounds), start, f"import {OF_OTHERS}")
    alone = show_run(config, pairs)
    print(f"\n{'a pair in a worker, microseconds of the processor':<58}{'spent':>14}{'floor':>9}   the floor is")
    floor, counting = show_worker(config, rounds)
    listed = fastest(lambda: stat_all(pairs), 3)
    share = pairs.count / 1e6 / (os.cpu_count() or 1)
    print(f"\nat least {start + listed + floor * share:.1f} s by the clock, nothing paired, counted, kept or reported")
    loops = (floor + counting) * share
    print(f"at least {start + listed + loops:.1f} s with filters undone and pixels counted by the loops there are")
    print(f"at least {start + alone + loops:.1f} s with what the driver does while no worker has work")


def show_run(config: EvaluationConfig, pairs: Pairs) -> float:
    """The first run over the pairs; returns the seconds by the clock of listing and report: no worker has work then."""
    with Run(config) as job:
        job.when_busy = partial(page.warm_up, pairs.count)
        with measured("driver: list and pair", lambda: stat_all(pairs), "a call of stat for each file"):
            listing = by_the_clock(job.listing)
        with measured("driver: look at some files"):
            job.look()
        with measured("driver: plan, hand out, take in, catalog"):
            stage = score_files(job)
        before = of_children()
        job.close_workers()
        show("workers, what they load included", of_children() - before)
        with measured("driver: report"):
            return listing + by_the_clock(lambda: write_tables(job, [stage]))


def by_the_clock(work: Callable[[], object]) -> float:
    """Seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def seconds_to_import(names: str, rounds: int) -> float:
    """Of the processor, in a process of its own."""
    program = f"import time, {names}; print(time.process_time())"
    command = [sys.executable, "-c", program]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(rounds))


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


def show_worker(config: EvaluationConfig, rounds: int) -> tuple[float, float]:
    """What a worker does for some shards; returns the floor of a pair, and what the compiled loops add to it."""
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

    streams = {key: [stream for _, one in read for stream in streams_of(one)] for key, read in held.items()}

    def inflate(job: ScoreJob) -> None:
        for compressed, scanlines, _ in streams[job.key]:
            imagecodecs.deflate_decode(compressed, out=scanlines.reshape(-1))

    kinds, no_regions = np.zeros(256, np.uint8), np.zeros((0, 2), np.uint8)
    kinds[FOREGROUND] = 1

    def loop(job: ScoreJob) -> None:
        # `inflate` has filled the scanlines; the files of a pair follow each other.
        files = iter(streams[job.key])
        for (_, scanlines, reference), (_, others, prediction) in zip(files, files, strict=True):
            unfilter(scanlines, 1, reference)
            unfilter(others, 1, prediction)
            count_stored_pair(reference.reshape(-1), prediction.reshape(-1), kinds, kinds, 2, no_regions)

    with tempfile.TemporaryDirectory() as folder:

        def do_all(job: ScoreJob) -> None:
            # Of another threshold it is other work, which is committed anew.
            counting = replace(scoring.counting, threshold=1 / (2 + next(numbers)))
            packed(Done(score_shard(ObjectStore(folder), job, replace(scoring, counting=counting))))

        reading, inflating, counting = microseconds(read_alone), microseconds(inflate), microseconds(loop)
        show("files read and hashed", microseconds(read), reading, "open, read, sha256")
        show("decoded and counted", microseconds(score), inflating, "libdeflate")
        show("of that the compiled loops", counting)
        show("a shard, its commit and the answer to the driver", microseconds(do_all), reading + inflating, "both")
    return reading + inflating, counting


def streams_of(image: ReadImage) -> Iterator[tuple[bytes, NDArray[np.uint8], NDArray[np.uint8]]]:
    """The compressed pixels of each file, and room for its scanlines (height, 1 + width) and pixels (height, width)."""
    for data in image.data.values():
        structure = parse_png(data, "")
        yield (
            b"".join(data[start:stop] for start, stop in structure.image_data),
            np.empty((structure.height, 1 + structure.width), np.uint8),
            np.empty((structure.height, structure.width), np.uint8),
        )
