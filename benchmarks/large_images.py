"""Large images in bounded memory: python benchmarks/large_images.py [--short] [--case 20000x20000:mean ...]

Each case is one made-up grey image with its reference, both written as PNG, then ingested and predicted in tiles, each
step by a process of its own. Printed are the seconds of a step, megapixels per second, and its peak memory above what
the process held when it began, its network built. The network is a bundled model, or `mean`, the mean of nine
neighbours: no network at all, so that what is measured is everything else.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
from PIL import Image

from segscale.storage import source_memory
from segscale.storage.objects import ObjectStore
from segscale.tasks import scan, shard_plan
from segscale.tasks.engines import Engine, EngineFacts, check_batch
from segscale.tasks.ingest import ingest_shard
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.predict import PredictJob, predict_key, predict_shard
from segscale.tasks.prediction import Prediction
from segscale.tasks.shard_plan import Preparation

STEPS = ("write", "ingest", "predict")
MEAN = "mean"
FULL = ("2848x4288:phantom", f"2848x4288:{MEAN}", f"20000x20000:{MEAN}")
SHORT = ("300x420:phantom", f"1300x420:{MEAN}")
TILE, SHORT_TILE = 1024, 128
PREPARATION = Preparation(2, (), -1, "unit", (0.0, 1.0))
BAND = 512


@dataclass(frozen=True, slots=True)
class Case:
    """One image and what predicts it."""

    height: int
    width: int
    network: str

    @classmethod
    def parse(cls, text: str) -> Case:
        """From HEIGHTxWIDTH:NETWORK."""
        size, _, network = text.partition(":")
        height, _, width = size.partition("x")
        return cls(int(height), int(width), network or MEAN)

    def __str__(self) -> str:
        return f"{self.height}x{self.width}:{self.network}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small images and tiles: shows that it runs")
    parser.add_argument("--case", nargs="+", metavar="HEIGHTxWIDTH:NETWORK", help=f"instead of {', '.join(FULL)}")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    cases = [Case.parse(text) for text in options.case or (SHORT if options.short else FULL)]
    if options.step:
        steps: dict[str, Callable[[Case, Path, int], None]] = dict(zip(STEPS, (write, ingest, predict), strict=True))
        steps[options.step](cases[0], options.folder, SHORT_TILE if options.short else TILE)
        return
    print(f"{'':<36}seconds   megapixels/s   peak memory above the start, MB", flush=True)
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            for step in STEPS:
                command = [sys.executable, __file__, "--case", str(case), "--step", step, "--folder", folder]
                subprocess.run([*command, *(["--short"] if options.short else [])], check=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} processors")


def write(case: Case, folder: Path, _: int) -> None:
    """Make the two files: bright discs of many sizes in noise, band by band."""
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 12, (BAND, case.width)).astype(np.float32)
    image, reference = (np.empty((case.height, case.width), np.uint8) for _ in range(2))
    columns = np.arange(case.width) % 300 - 150.0
    for top in range(0, case.height, BAND):
        rows = np.arange(top, min(top + BAND, case.height))
        disc = np.hypot(rows[:, None] % 300 - 150.0, columns) < 30 + rows[:, None] % 900 / 10
        reference[rows] = disc
        image[rows] = (80 + 100 * disc + np.roll(noise, top, axis=1)[: len(rows)]).clip(0, 255)
    for name, pixels in (("image", image), ("reference", reference)):
        (folder / name).mkdir()
        Image.fromarray(pixels).save(folder / name / "large.png", compress_level=1)


def ingest(case: Case, folder: Path, _: int) -> None:
    """Ingest the image; all that is known of its files is found out first."""
    listing = pd.DataFrame({"image_id": ["large"]})
    facts = []
    for role in ("image", "reference"):
        url = str(folder / role / "large.png")
        listing[role], listing[f"{role}_version"] = url, "1"
        facts += [fact._asdict() for fact in scan.inspect_files(role, [(url, "1")])]
    files = pd.DataFrame(facts, columns=list(source_memory.MEMORY_COLUMNS))
    job = shard_plan.plan_job(shard_plan.plan_shards(listing, files, PREPARATION, 128))
    done = measure(case, "ingest", lambda: ingest_shard(ObjectStore(str(folder / "store")), job, PREPARATION))
    assert done.n_failed == 0
    (folder / "key").write_text(done.key)


def predict(case: Case, folder: Path, tile: int) -> None:
    """Predict the ingested image in tiles, and keep its labels."""
    engine = build_engine(case.network, tile)
    prediction = Prediction(
        weights_sha256="", engine=engine.facts.name, precision="float32", versions={}, heads=engine.facts.heads,
        level=4, ensemble=False, flips=False, n_classes=2, batch_size=1, batch_pixels=0, tile=tile, overlap=0.25,
        threshold=0.5, keep="labels",
    )  # fmt: skip
    ingested = (folder / "key").read_text()
    job = PredictJob(predict_key(ingested, prediction), ingested)
    store = ObjectStore(str(folder / "store"))
    done = measure(case, f"predict, {case.network}", lambda: predict_shard(store, job, prediction, engine))
    assert done.n_failed == 0


def measure(case: Case, name: str, work: Callable[[], Any]) -> Any:
    """Do it once and print a line."""
    before, started = psutil.Process().memory_info().rss, time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    # In kilobytes on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    label = f"{case.height}x{case.width}, {name}"
    print(f"{label:<36}{seconds:7.2f}{case.height * case.width / 1e6 / seconds:15.1f}{peak / 1e6:15.0f}", flush=True)
    return result


class MeanEngine:
    """The mean brightness of a pixel and its eight neighbours is its probability."""

    facts = EngineFacts("mean", "cpu:0", "float32", "1", ("mean",), 2, 1, 1, 16)

    def probabilities(self, pixels: npt.NDArray[Any], recipe: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(1, B, H, W, 1); zeros lie beyond the sides."""
        check_batch(pixels, recipe, self.facts)
        padded = np.pad(pixels[..., 0].astype(np.float32), ((0, 0), (1, 1), (1, 1)))
        rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
        total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
        mean: npt.NDArray[np.float32] = total / (9 * recipe[:, 3, None, None])
        return mean[None, ..., None]


def build_engine(network: str, tile: int) -> Engine:
    """The engine, after its first batch, and the counting after its first image: what is measured compiles nothing."""
    for width in (8, 5):
        reference, probabilities = np.zeros((4, 8), np.uint8), np.zeros((4, 8, 1), np.float32)
        count_overlap(reference[:, :width], n_classes=2, probabilities=probabilities[:, :width], ignore_index=255)
    if network == MEAN:
        return MeanEngine()
    # TensorFlow takes seconds and memory, and the other steps do without it.
    from segscale.tasks.engines.keras import KerasEngine
    from segscale.tasks.models.bundled import bundled_path
    from segscale.tasks.models.model_file import load_model

    engine = KerasEngine(load_model(Path(bundled_path(network))))
    engine.probabilities(np.zeros((1, tile, tile, 1), np.uint8), np.ones((1, 4), np.float32))
    return engine


if __name__ == "__main__":
    main()
