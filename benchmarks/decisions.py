"""The gate at a million images, from Parquet: python benchmarks/decisions.py [--images 1000000] [--strata 50]

Two reports with made-up counts, patients of several images at so many sites, are written to a temporary folder by one
process. Then `segscale gate` judges one against the other, as a process of its own: means and pooled scores, the whole
set and every site, clustered by patients. Seconds are of the whole command, memory is the most that it had at once. The
goals that are printed are for 1,000,000 images.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from made_report import write_made_report

from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report, encode_report_table, write_report
from segscale.tasks.metrics.settings import ScoreSettings

PATIENT_IMAGES = 4
SIDES = ("base", "new")
GATE = (
    "gate", *SIDES, "--margin", "dice=0.01", "--by", "site", "--cluster-by", "patient_id",
    "--aggregation", "pooled", "--aggregation", "per_sample", "--json",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--strata", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    given = sys.argv[1:] if arguments is None else arguments
    chosen = parser.parse_args(given)
    if chosen.write:
        write_both(chosen.write, chosen.images, chosen.strata)
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, *given, "--write", folder], check=True)
        seconds, gigabytes = zip(*(gate(Path(folder)) for _ in range(chosen.rounds)), strict=True)
    found = f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
    print(f"gate, {chosen.images} images, {chosen.strata} strata: {found}, goal 8; {max(gigabytes):.2f} GB, goal 1")


def gate(folder: Path) -> tuple[float, float]:
    """Seconds of the command, and the GB that it had at most."""
    start = time.perf_counter()
    with open(folder / "verdict.json", "w") as verdict:
        command = subprocess.Popen([Path(sys.executable).with_name("segscale"), *GATE], cwd=folder, stdout=verdict)
        _, status, used = os.wait4(command.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1, 4):
        raise RuntimeError("segscale gate judged nothing")
    return time.perf_counter() - start, used.ru_maxrss * 1024 / 1e9


def write_both(folder: Path, n_images: int, n_strata: int) -> None:
    """Two reports over the same references, of which the second finds some pixels more or fewer of each."""
    settings = ScoreSettings(bootstrap=0, batch_sizes=(1,))
    made = write_made_report(folder / "made", n_images, settings=settings, label_maps=True)
    rows = made.table("per_image")
    generator = np.random.default_rng(1)
    codes, _ = pd.factorize(rows["image_id"])
    patient = generator.integers(0, max(n_images // PATIENT_IMAGES, 1), n_images)
    rows["patient_id"] = pd.array(np.char.mod("p%d", patient)[codes], dtype="str")
    rows["site"] = pd.array(np.char.mod("s%03d", patient % n_strata)[codes], dtype="str")
    _write(folder, SIDES[0], rows, made)
    hits, missed = (rows[name].to_numpy(np.int64) for name in ("true_positive", "false_negative"))
    more, fewer = (generator.integers(0, 2, len(rows)) * np.minimum(of, n) for of, n in ((missed, 20), (hits, 10)))
    changed = {"true_positive": hits + more - fewer, "false_negative": missed - more + fewer}
    _write(folder, SIDES[1], rows.assign(**changed), made)


def _write(folder: Path, name: str, rows: pd.DataFrame, made: Report) -> None:
    run = {**made.run(), "run_id": name}
    del run["files"]
    contents = {"per_image.parquet": encode_report_table(rows.assign(run_id=name))}
    write_report(ObjectStore(str(folder / name)), contents, run)


if __name__ == "__main__":
    main()
