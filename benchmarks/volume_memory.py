"""Peak memory of a worker with one large volume, step by step: python benchmarks/volume_memory.py

Each step is done once in a process of its own: a volume of 512x512x1000 int16 and its reference are looked at as a
survey does it, ingested, predicted slice by slice by a tiny UNet++, and label maps of the same size are scored. Files
are made on the fly. A line says the seconds and the peak resident memory of the process, Python, TensorFlow and all;
more than 2 GB is an error. --turned stores the image in another order than its reference, --scaled with a slope, so
that its pixels are float32; --normalize takes another recipe than a window; --short makes small volumes, to show that
it runs.
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd

from segscale.storage import source_memory
from segscale.storage.objects import ObjectStore
from segscale.storage.sources import ROLES
from segscale.tasks import scan, shard_plan
from segscale.tasks.ingest import ingest_shard
from segscale.tasks.labels import LabelRule
from segscale.tasks.predict import PredictJob, predict_key, predict_shard
from segscale.tasks.prediction import Prediction
from segscale.tasks.prediction_file import Counting
from segscale.tasks.readers.buffers import let_go
from segscale.tasks.score import score_shard
from segscale.tasks.scoring import ImageFiles, ScoreJob, Scoring
from segscale.tasks.shard_plan import Preparation
from segscale.tasks.slice_counts import Slicing
from segscale.tasks.source_files import read_source
from segscale.tasks.survey import look_at_image, look_at_labels

LIMIT_GB = 2.0
SIZE, SHORT = (1000, 512, 512), (40, 64, 96)
RULE = LabelRule(2)
TURN = (2, 0, 1)
"""Axes of the reference in the order in which a turned image has them."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured."""

    folder: Path
    size: tuple[int, int, int]
    normalize: Any
    turned: bool
    scaled: bool

    @property
    def preparation(self) -> Preparation:
        return Preparation(2, (), None, self.normalize, (-1000.0, 400.0))

    def file(self, role: str) -> str:
        return f"file://{self.folder / role}.nii.gz"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small volumes: shows that it runs")
    parser.add_argument("--turned", action="store_true", help="the image is stored in another order")
    parser.add_argument("--scaled", action="store_true", help="the numbers of the image are scaled by its header")
    parser.add_argument("--normalize", default="window", choices=["window", "percentile", "zscore"])
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), help="these steps alone, and writing")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        size = SHORT if options.short else SIZE
        case = Case(options.folder, size, options.normalize, options.turned, options.scaled)
        measure(options.step, lambda: STEPS[options.step](case))
        return
    print(f"{'':<16}seconds   peak resident memory, GB", flush=True)
    passed = [
        "--normalize",
        options.normalize,
        *(f"--{name}" for name in ("short", "turned", "scaled") if getattr(options, name)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            if step in ("write", *options.only):
                subprocess.run([sys.executable, __file__, *passed, "--step", step, "--folder", folder], check=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} processors")


def write(case: Case) -> None:
    """An image of tissue with noise, a ball in each of some places, and label maps of the balls; plane by plane."""
    depth, height, width = case.size
    random = np.random.default_rng(0)
    noise = random.normal(0, 12, (height, width)).astype(np.int16)
    rows, columns = np.indices((height, width))

    def labels(plane: int, shift: int) -> Any:
        inside = ((rows + shift) % 100 - 50) ** 2 + (columns % 100 - 50) ** 2 + (plane % 100 - 50) ** 2 < 900
        return inside.astype(np.uint8)

    for role, dtype in (("image", np.int16), ("reference", np.uint8), ("prediction", np.uint8)):
        axes = TURN if case.turned and role == "image" else (0, 1, 2)
        whole = np.lib.format.open_memmap(case.folder / f"{role}.npy", mode="w+", dtype=dtype, shape=case.size)
        for plane in range(depth):
            drawn = labels(plane, 4 if role == "prediction" else 0)
            whole[plane] = drawn * 150 + np.roll(noise, 7 * plane, axis=1) - 100 if role == "image" else drawn
        slope = 0.5 if case.scaled and role == "image" else 1.0
        _store(whole.transpose(axes), axes, slope, case.file(role).removeprefix("file://"))
        (case.folder / f"{role}.npy").unlink()


def _store(volume: Any, axes: tuple[int, ...], slope: float, path: str) -> None:
    """As NIfTI, of 1 x 0.7 x 0.7 mm along the axes of the reference."""
    spacing = (1.0, 0.7, 0.7)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for place, axis in enumerate(axes):
        affine[2 - axis, 2 - place] = spacing[axis]
    header = nibabel.Nifti1Header()
    header.set_data_shape(volume.shape[::-1])
    header.set_data_dtype(volume.dtype)
    header.set_sform(affine, code=1)
    header.set_zooms([spacing[axis] for axis in reversed(axes)])
    header.set_xyzt_units("mm")
    header["vox_offset"] = 352
    header["scl_slope"] = slope
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.binaryblock + struct.pack("4x"))
        for plane in volume:
            file.write(np.ascontiguousarray(plane).tobytes())


def survey(case: Case) -> None:
    """Look for the brightest pixel of the image, and for the values of both label maps."""
    for role in ROLES[:3]:
        data = read_source(case.file(role))
        look_at_image(data, f"{role}.nii.gz") if role == "image" else look_at_labels(data, f"{role}.nii.gz")
        let_go()


def ingest(case: Case) -> None:
    """Look at both files and ingest them."""
    listing = pd.DataFrame({"image_id": ["large"]})
    facts = []
    for role in ("image", "reference"):
        listing[role], listing[f"{role}_version"] = case.file(role), "1"
        facts += [fact._asdict() for fact in scan.inspect_files(role, [(case.file(role), "1")])]
    files = pd.DataFrame(facts, columns=list(source_memory.MEMORY_COLUMNS))
    planned = shard_plan.plan_shards(listing, files, case.preparation, 128)
    done = ingest_shard(ObjectStore(str(case.folder / "store")), shard_plan.plan_job(planned), case.preparation)
    assert done.n_failed == 0
    (case.folder / "key").write_text(done.key)


def predict(case: Case) -> None:
    """Predict the ingested volume slice by slice, keep its labels, and count every slice."""
    from segscale.tasks.engines.keras import KerasEngine
    from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus

    engine = KerasEngine(build_unet_plus_plus(channels=1, outputs=1, filters=(2, 4, 8)), level=2)
    prediction = Prediction(
        weights_sha256="", engine=engine.facts.name, precision="float32", versions={}, heads=engine.facts.heads,
        level=2, ensemble=False, flips=False, n_classes=2, batch_size=2, batch_pixels=0, tile=1024, overlap=0.25,
        threshold=0.5, keep="labels",
    )  # fmt: skip
    ingested = (case.folder / "key").read_text()
    job = PredictJob(predict_key(ingested, prediction, slices=True), ingested, slices=True)
    done = predict_shard(ObjectStore(str(case.folder / "store")), job, prediction, engine)
    assert done.n_failed == 0


def score(case: Case) -> None:
    """Count a pair of label maps."""
    _score(case, None)


def score_slices(case: Case) -> None:
    """The same, and each slice by itself."""
    _score(case, Slicing("auto", None))


def _score(case: Case, slicing: Slicing | None) -> None:
    files = {role: (case.file(role), "1") if role in ("reference", "prediction") else ("", "") for role in ROLES}
    scoring = Scoring(RULE, Counting(0.5, RULE), has_images=False, slicing=slicing)
    job = ScoreJob("unread", (ImageFiles("large", **files),), is_content=False)
    assert score_shard(ObjectStore(str(case.folder / "store")), job, scoring).n_failed == 0


STEPS: dict[str, Callable[[Case], None]] = {
    "write": write, "survey": survey, "ingest": ingest, "predict": predict,
    "score": score, "score_slices": score_slices,
}  # fmt: skip


def measure(step: str, work: Callable[[], None]) -> None:
    """Do it once and print a line; an error where it took more memory than it may."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    # In kilobytes on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{step:<16}{seconds:7.1f}{peak:10.2f}", flush=True)
    if step != "write" and peak > LIMIT_GB:
        sys.exit(f"{step}: expected at most {LIMIT_GB} GB, took {peak:.2f}")


if __name__ == "__main__":
    main()
