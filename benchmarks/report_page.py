"""The page of a large report: python benchmarks/report_page.py [--images 1000000] [--short]

A report with made-up counts is written to a temporary folder by one process, and its page made by another from the
Parquet files, so that the peak memory is that of the page. Then the pictures of a page are drawn from the files of a
scored set of large images. The goals that are printed are for 1,000,000 images.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from made_report import write_made_report
from PIL import Image

from segscale.flows.config.evaluation import parse_config
from segscale.flows.overlays import draw_overlays
from segscale.flows.run import Run
from segscale.flows.score import score_files
from segscale.flows.shards.retry import Finished
from segscale.storage.reports import open_report
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report_html.cases import RANKS, Case
from segscale.tasks.report_html.page import render_report

SIDE, N_DRAWN = 2048, 24
TABLES = ("per_image", "per_sample", "batch_summed", "intervals", "gap", "failures", "thresholds")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--short", action="store_true", help="2,000 images, and pictures of small ones")
    parser.add_argument("--step", choices=["write", "page", "overlays"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(given)
    n_images = 2000 if options.short else options.images
    if options.step == "write":
        write_large_report(options.folder / "report", n_images)
    elif options.step == "page":
        measure_page(options.folder / "report")
    elif options.step == "overlays":
        measure_overlays(options.folder, 256 if options.short else SIDE)
    else:
        with tempfile.TemporaryDirectory() as folder:
            for step in ("write", "page", "overlays"):
                command = [sys.executable, __file__, *given, "--step", step, "--folder", folder]
                print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def write_large_report(folder: Path, n_images: int) -> None:
    """With strata, failed images and missing predictions; without shuffled orders and resamples."""
    settings = ScoreSettings(batch_sizes=(1,), bootstrap=0, group_by=("site",))
    write_made_report(folder, n_images, settings=settings, failed_every=1000, missing_every=500)


def page_of(folder: Path) -> bytes:
    """The page of a made report, from its Parquet files alone."""
    report = open_report(str(folder))
    tables = {name: report.table(name) for name in TABLES}
    unsaid = {"catalog_sha256": "", "weights_sha256": None, "versions": {}, "plan": None}
    return render_report(tables, {**unsaid, **report.run()})


def measure_page(folder: Path) -> None:
    """Print the figures of the page of a report."""
    start = time.perf_counter()
    page = page_of(folder)
    show("page, read and made", time.perf_counter() - start, "s", "60")
    show("its size", len(page) / 1e6, "MB", "15")
    show("peak memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, "GB", "4")


class Here:
    """Workers that are this process."""

    def stream(self, work: Callable[..., Any], jobs: Iterable[Any], *given: Any, **_: Any) -> Iterator[Any]:
        return (Finished(job.key, work(job, *given), 1) for job in jobs)


def measure_overlays(folder: Path, side: int) -> None:
    """Print how long the pictures of a page take, of pictures of `side` x `side` pixels in PNG."""
    generator = np.random.default_rng(0)
    for name in ("references", "predictions"):
        (folder / name).mkdir()
        for number in range(N_DRAWN):
            labels = np.zeros((side, side), np.uint8)
            top, left = generator.integers(0, side // 2, 2)
            labels[top : top + side // 3, left : left + side // 3] = generator.random((side // 3,) * 2) < 0.9
            Image.fromarray(labels).save(folder / name / f"{number:02d}.png")
    document = {
        "dataset": {"name": "drawn", "references": "references/*.png"},
        "predictions": {"path": "predictions/*.png"},
        "store": {"path": "store"},
        "report": {"path": "reports"},
    }
    run = Run(parse_config(document, base=folder, source="made"), workers=Here())  # type: ignore[arg-type]
    score_files(run)
    name_of_class = run.config.dataset.classes[1]
    cases = [Case(f"{number:02d}", 1, name_of_class, RANKS[number % 3], 0.5, 1, 1) for number in range(N_DRAWN)]
    start = time.perf_counter()
    found = draw_overlays(run, cases)
    show(f"{len(found.drawn)} pictures of {side}x{side}", time.perf_counter() - start, "s", "10")


def show(name: str, value: float, unit: str, goal: str) -> None:
    print(f"{name:<32}{value:9.3f} {unit:<3}goal {goal} {unit}")


if __name__ == "__main__":
    main()
