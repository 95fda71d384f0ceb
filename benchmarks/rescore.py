"""Scoring a large report anew: python benchmarks/rescore.py [--images 1000000] [--classes 2] [--repeats 7]

A report with made-up counts is written to a temporary folder by one process, and measured in another, so that the peak
memory is that of scoring. Each time includes opening the report and reading what is needed; the files are in the page
cache. The goals that are printed are for 1,000,000 rows of thresholds.parquet (1,000,000 images of two classes, or
200,000 of five).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from made_report import write_made_report

from segscale.flows.reports.rescore import describe, open_rescoring
from segscale.storage.reports import open_report
from segscale.tasks.metrics.bootstrap import Resampled, resample
from segscale.tasks.metrics.intervals import sums_of_metric
from segscale.tasks.metrics.kept_thresholds import counts_at, curve, pair_names, score_at
from segscale.tasks.metrics.metric_table import DICE
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.rescore import Changes, rescore

SETTINGS = ScoreSettings(batch_sizes=(2, 8, 32, 128, 1024), bootstrap=0)
INDEX, THRESHOLD_COUNT = 20, 64
REPLICATES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tables", action="store_true", help="also the command's headline and whole tables, once")
    parser.add_argument("--step", choices=["write", "measure"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step == "write":
        # No batch size that an order could change: the shuffles of the aggregate tables are not what is measured.
        settings = ScoreSettings(batch_sizes=(1,), bootstrap=0)
        write_made_report(options.folder, options.images, n_classes=options.classes, settings=settings)
    elif options.step == "measure":
        measure(options.folder, options.repeats, options.tables)
    else:
        with tempfile.TemporaryDirectory() as folder:
            for step in ("write", "measure"):
                command = [sys.executable, __file__, *sys.argv[1:], "--step", step, "--folder", folder]
                subprocess.run(command, check=True)


def measure(folder: Path, repeats: int, whole_tables: bool) -> None:
    """Print the figures of the report in a folder."""
    n_rows = len(open_report(str(folder)).table("thresholds", ["class_index"]))
    size = (folder / "thresholds.parquet").stat().st_size
    print(f"{n_rows} rows of thresholds.parquet, medians of {repeats}")
    show("open, one threshold, per-sample, pooled, 5 batch sizes", timed(at_one, folder, repeats), "s", "0.5")
    show("open, all thresholds, both aggregations", timed(along_all, folder, repeats), "s", "2")
    show("open, 1,000 bootstrap replicates, both aggregations", timed(bootstrap, folder, repeats), "s", "12")
    show("thresholds.parquet, per million rows", size / n_rows, "MB", "200")
    show("peak memory", peak_bytes() / 1e9, "GB", "2")
    if whole_tables:
        show("segscale rescore --threshold, headline", timed(headline, folder, 1), "s")
        show("its tables, without shuffled orders", timed(tables, folder, 1), "s")
        show("peak memory with both", peak_bytes() / 1e9, "GB")


def show(name: str, value: float, unit: str, goal: str = "") -> None:
    print(f"{name:<56}{value:9.3f} {unit:<3}{f'goal {goal} {unit}' if goal else ''}".rstrip())


def timed(work: Callable[[Path], object], folder: Path, repeats: int) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work(folder)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def at_one(folder: Path) -> list[pd.Series]:
    """Dice at one kept threshold, of each class."""
    columns = ["class_index", "reference_sum", *pair_names(INDEX)]
    return [score_at(rows, INDEX, "dice", SETTINGS) for rows in by_class(folder, columns)]


def along_all(folder: Path) -> list[pd.DataFrame]:
    """Dice along all kept thresholds, of each class."""
    pairs = [name for index in range(1, THRESHOLD_COUNT) for name in pair_names(index)]
    return [curve(rows, "dice", SETTINGS) for rows in by_class(folder, ["class_index", "reference_sum", *pairs])]


def bootstrap(folder: Path) -> list[list[Resampled]]:
    """Dice at one kept threshold in resamples of the images, of each class."""
    columns = ["class_index", "reference_sum", *pair_names(INDEX)]
    resampled = []
    for rows in by_class(folder, columns):
        counts = counts_at(rows[rows["reference_sum"].notna()], INDEX)
        sums = sums_of_metric(DICE, counts, np.arange(counts.size), SETTINGS)
        resampled.append(resample(list(sums), REPLICATES, [0]))
    return resampled


def by_class(folder: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    frame = open_report(str(folder)).table("thresholds", columns)
    indices = frame["class_index"].unique()
    for index in indices:
        yield frame if len(indices) == 1 else frame[frame["class_index"] == index]


def headline(folder: Path) -> str:
    return describe(open_rescoring(str(folder), Changes(threshold=INDEX / THRESHOLD_COUNT)))


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    rescoring = open_rescoring(str(folder), Changes(threshold=INDEX / THRESHOLD_COUNT))
    return rescore(rescoring.per_image, rescoring.plan.settings)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
