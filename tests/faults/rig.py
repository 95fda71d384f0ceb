"""The rig of the campaign: a Dask cluster and drivers as processes, with failpoints planted in all of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from distributed import Client
from PIL import Image

from segscale.tasks.phantom import write_phantoms
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PLANTED = Path(__file__).with_name("planted")
N_IMAGES, N_PHANTOMS, SHARD_IMAGES = 100, 24, 8
WAIT_SECONDS = 240


@dataclass(frozen=True)
class Armed:
    """A fault that waits at a failpoint."""

    moment: str
    """before-, mid- or after-, and what is done there: write or commit; before-read of a source file."""
    pattern: str
    """Regular expression, found in the URL of the object."""
    action: str
    """kill, stop (``:self``, ``:driver``, ``:nanny``, ``:scheduler``), ``raise:ENOSPC``, ``clock:3600``,
    ``append``: the file that is about to be read becomes another."""
    role: str = "worker"
    """Of the process that comes by."""
    nth: int = 1
    """The first time at which it happens, counted over all processes."""
    times: int = 1


@dataclass
class Rig:
    """Everything that faults are done to."""

    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    """More environment for the cluster and the drivers."""

    def __post_init__(self) -> None:
        self.faults = self.folder / "faults"
        self.faults.mkdir(parents=True, exist_ok=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._zygote: subprocess.Popen[str] | None = None
        self._number = 0
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            "PYTHONPATH": os.pathsep.join([str(PLANTED), str(ROOT)]),
            "SEGSCALE_FAULTS": str(self.faults),
            "SEGSCALE_CACHE": str(self.folder / "cache"),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "OPENBLAS_NUM_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
            **self.options,
        }

    def _spawn(self, name: str, *arguments: str) -> None:
        folder = self.folder / "cluster" / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log").open("ab") as log:
            command = [str(Path(sys.executable).with_name("dask")), *arguments]
            self._processes[name] = subprocess.Popen(
                command, env=self.environment(), cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )

    def ready(self) -> None:
        """Whatever of the cluster is gone is started again; returns when a scheduler and two workers are there."""
        if self._ended("scheduler"):
            self.stop_cluster()
            self._spawn("scheduler", "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        for name in ("worker-0", "worker-1"):
            if self._ended(name):
                self._spawn(
                    name, "worker", self.address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1",
                    "--local-directory", str(self.folder / "cluster" / name), "--memory-limit", "4GB",
                )  # fmt: skip
        with Client(self.address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)

    def _ended(self, name: str) -> bool:
        return name not in self._processes or self._processes[name].poll() is not None

    def scheduler_pid(self) -> int:
        return self._processes["scheduler"].pid

    def workers(self) -> list[psutil.Process]:
        """The processes that compute: the children of the nannies."""
        nannies = [self._processes[name] for name in ("worker-0", "worker-1") if not self._ended(name)]
        children = [child for nanny in nannies for child in psutil.Process(nanny.pid).children()]
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def stop_cluster(self) -> None:
        for process in self._processes.values():
            _kill_tree(process)
        self._processes.clear()

    def stop(self) -> None:
        self.stop_cluster()
        if self._zygote is not None:
            _kill_tree(self._zygote)

    def arm(self, *faults: Armed) -> None:
        """Replace what is armed; nothing, without arguments."""
        for file in self.faults.iterdir():
            file.unlink()
        pids = {"scheduler": self._processes["scheduler"].pid} if "scheduler" in self._processes else {}
        text = json.dumps([{**vars(fault), "pids": pids} for fault in faults])
        unfinished = self.faults / "armed.partial"
        unfinished.write_text(text)
        unfinished.replace(self.faults / "armed.json")

    def fired(self) -> list[str]:
        """The faults that happened."""
        return sorted(path.name for path in self.faults.glob("fired-*"))

    def _ask(self, request: dict[str, Any]) -> Any:
        if self._zygote is None:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.driver"], env=self.environment(), cwd=ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            self._answer()
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(request) + "\n")
        self._zygote.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._zygote is not None
        assert self._zygote.stdout is not None
        return json.loads(self._zygote.stdout.readline())

    def start(self, *arguments: str) -> Driver:
        """A driver with the command line's arguments."""
        self._number += 1
        out, err = (self.folder / "drivers" / f"{self._number}.{name}" for name in ("out", "err"))
        out.parent.mkdir(exist_ok=True)
        return Driver(self, self._ask({"start": list(arguments), "out": str(out), "err": str(err)}), out, err)


@dataclass
class Driver:
    """A driver that runs, or has ended."""

    rig: Rig
    pid: int
    out: Path
    err: Path

    def wait(self, seconds: float = WAIT_SECONDS) -> int:
        """The exit code; negative for a signal."""
        end = time.monotonic() + seconds
        while (code := self.rig._ask({"poll": self.pid})) is None:
            if time.monotonic() > end:
                os.kill(self.pid, 9)
                self.rig._ask({"wait": self.pid})
                raise AssertionError(f"the driver did not end within {seconds:.0f} s:\n{self.err.read_text()[-3000:]}")
            time.sleep(0.05)
        return int(code)


def write_data(folder: Path) -> None:
    """Small images with references and predictions of two sizes, some of them without a prediction or unreadable."""
    generator = np.random.default_rng(11)
    for name in ("images", "masks", "predictions"):
        (folder / name).mkdir(parents=True)
    for number in range(N_IMAGES):
        height, width = (40, 48) if number % 3 else (64, 64)
        image = generator.integers(0, 256, (height, width), dtype=np.uint8)
        top, left, size = generator.integers(0, 20, 3)
        reference = np.zeros((height, width), np.uint8)
        reference[top : top + size, left : left + size] = 1
        prediction = np.roll(reference, 2, axis=0)
        for name, pixels in (("images", image), ("masks", reference), ("predictions", prediction)):
            Image.fromarray(pixels).save(folder / name / f"image_{number:03d}.png")
    (folder / "predictions" / "image_005.png").unlink()
    (folder / "images" / "image_007.png").write_bytes(b"no picture")


def write_config(path: Path, data: Path, work: Path, address: str, *, engine: bool, measured: bool = False) -> Path:
    """The configuration of a run that scores label maps, or that predicts phantoms with the bundled model; where it is
    measured, with surfaces and lesions.

    Without an address of a scheduler the workers are processes that the driver starts, each of which has 15 s a shard.
    """
    cluster = f'kind = "address"\naddress = "{address}"\n' if address else "shard_seconds = 15\n"
    sources = (
        f'manifest = "{data}/phantoms/manifest.csv"\nlabel_values = [0, 255]\n'
        '[model]\npath = "phantom"\nprecision = "float32"\n'
        if engine
        else f'images = "{data}/images/*.png"\nreferences = "{data}/masks/*.png"\n'
        f'[predictions]\npath = "{data}/predictions/*.png"\n'
    )
    path.write_text(
        f'[dataset]\nname = "{"phantom" if engine else "made"}"\n{sources}'
        f"[metrics]\nbootstrap = 100\nsurface = {str(measured).lower()}\nlesions = {str(measured).lower()}\n"
        f'[store]\npath = "{work}/store"\nshard_images = {SHARD_IMAGES}\n'
        f"[cluster]\n{cluster}"
        f'[report]\npath = "{work}/reports"\nmax_failure_rate = 0.5\n'
    )
    return path


@contextmanager
def new_rig(folder: Path, options: Mapping[str, str] | None = None, *, phantoms: bool = False) -> Iterator[Rig]:
    """A rig with its data under `folder`/data."""
    rig = Rig(folder, options or {})
    if not (folder / "data").exists():
        write_data(folder / "data")
    if phantoms and not (folder / "data" / "phantoms").exists():
        write_phantoms(folder / "data" / "phantoms", N_PHANTOMS, seed=5)
    try:
        yield rig
    finally:
        rig.stop()


def _kill_tree(process: subprocess.Popen[Any]) -> None:
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.kill()
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(children, timeout=20)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
