"""The driver's memory while it streams, against the number of images: python benchmarks/driver_memory.py FOLDER

FOLDER holds images/*.png and masks/*.png (such as the nuclei set). Every image is copied as often as asked, each copy
with distinct bytes, and scored (the masks serve as predictions) by `segscale run` in a process of its own, whose
resident memory is sampled from outside. Prints a line per set: its images, the memory when the first shard of each
stage was committed, and the peak between then and the last commit.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import psutil

STAGES = ("score",)
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Resident memory of the driver in one stage, bytes."""

    first_commit: int
    peak: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run took."""

    images: int
    shards: int
    stages: dict[str, StageMemory]


def copy_distinct(png: bytes, number: int) -> bytes:
    """The same image in other bytes: a text chunk with a number before the end chunk."""
    body = b"tEXt" + b"copy\x00" + str(number).encode()
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:-12] + chunk + png[-12:]


def make_set(source: Path, target: Path, copies: int) -> int:
    """Write `copies` distinct copies of every image, and of its mask twice; returns how many images there are."""
    images = sorted((source / "images").glob("*.png"))
    for folder, of in (("images", "images"), ("masks", "masks"), ("predictions", "masks")):
        (target / folder).mkdir(parents=True)
        for image in images:
            data = (source / of / image.name).read_bytes()
            for number in range(copies):
                (target / folder / f"{image.stem}_{number:03d}.png").write_bytes(copy_distinct(data, number))
    return len(images) * copies


def measure(source: Path, copies: int, shard_images: int) -> Measurement:
    """Run the scoring of a set of copies and sample the driver's memory."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        images = make_set(source, work, copies)
        config = work / "config.toml"
        config.write_text(
            '[dataset]\nname = "copies"\nimages = "images/*.png"\nreferences = "masks/*.png"\n'
            '[predictions]\npath = "predictions/*.png"\n[metrics]\nbootstrap = 0\n'
            f'[store]\npath = "store"\nshard_images = {shard_images}\n[cluster]\nworkers = 2\n'
        )
        command = shutil.which("segscale", path=str(Path(sys.executable).parent)) or "segscale"
        with (work / "log").open("w") as log:
            process = subprocess.Popen([command, "run", str(config)], stdout=log, stderr=subprocess.STDOUT)
            samples = _sample(process, work / "store" / "ledger")
            if process.wait() != 0:
                raise RuntimeError((work / "log").read_text()[-3000:])
        shards = sum(1 for _ in (work / "store" / "ledger" / "score").iterdir())
        return Measurement(images, shards, samples)


def _sample(process: subprocess.Popen[bytes], ledger: Path) -> dict[str, StageMemory]:
    driver, ended = psutil.Process(process.pid), threading.Event()

    def await_end() -> None:
        process.wait()
        ended.set()

    threading.Thread(target=await_end, daemon=True).start()
    seen: dict[str, StageMemory] = {}
    known = dict.fromkeys(STAGES, 0)
    while not ended.wait(SAMPLE_SECONDS):
        try:
            memory = driver.memory_info().rss
        except psutil.NoSuchProcess:
            break
        for stage in STAGES:
            commits = sum(1 for _ in (ledger / stage).iterdir()) if (ledger / stage).is_dir() else 0
            # The memory of a stage is looked at from its first commit until its last.
            if commits > known[stage]:
                before = seen.get(stage, StageMemory(memory, memory))
                seen[stage] = StageMemory(before.first_commit, max(before.peak, memory))
                known[stage] = commits
    return seen


def main() -> None:
    """Measure the sets asked for and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--shard-images", type=int, default=32)
    options = parser.parse_args()
    for copies in options.copies:
        found = measure(options.folder, copies, options.shard_images)
        stages = "; ".join(
            f"{name}: {memory.first_commit / 1e6:.0f} MB at the first commit, peak {memory.peak / 1e6:.0f} MB"
            for name, memory in found.stages.items()
        )
        print(f"{found.images} images, {found.shards} shards; {stages}", flush=True)


if __name__ == "__main__":
    main()
