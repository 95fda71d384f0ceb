"""A scene: one store, on which a fault is played, which is then run to its end and held against the invariants."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.faults import invariants
from tests.faults.invariants import Undisturbed
from tests.faults.rig import Armed, Driver, Rig, remove, write_config

HAS_STORE_COMMANDS = find_spec("segscale.flows.maintenance.clean") is not None
"""`segscale verify`, `repair` and `clean` are there; until then this module does by hand what they do."""
RUNS = 3


@dataclass
class Scene:
    """A store, the rig that works on it, and what was seen."""

    rig: Rig
    work: Path
    config: Path
    finished: Path
    """The working folder of the undisturbed run."""
    codes: list[int] = field(default_factory=list)
    """Exit codes of the drivers, in the order in which they ended."""
    said: list[str] = field(default_factory=list)
    """The last line that each of them said."""

    def start(self) -> Driver:
        return self.rig.start("run", str(self.config), "--quiet")

    def wait(self, driver: Driver) -> int:
        code = driver.wait()
        self.codes.append(code)
        self.said.append(["", *driver.err.read_text().strip().splitlines()][-1])
        return code

    def run(self) -> int:
        return self.wait(self.start())

    def run_with(self, *faults: Armed) -> int:
        """A run with faults armed, each of which must have happened."""
        self.rig.arm(*faults)
        code = self.run()
        fired = self.rig.fired()
        assert len(fired) == len(faults), (
            f"armed {len(faults)} faults, {fired} happened; codes {self.codes} {self.said}"
        )
        return code

    def command(self, *arguments: str) -> str:
        driver = self.rig.start(*arguments)
        code = driver.wait()
        assert code == 0, f"{arguments}: exit {code}: {driver.err.read_text()[-2000:]}"
        return driver.out.read_text()

    def copy_finished(self, *, without: tuple[str, ...] = ()) -> None:
        """The store and the report of the undisturbed run, less some folders of them."""
        shutil.copytree(self.finished / "store", self.work / "store", dirs_exist_ok=True)
        shutil.copytree(self.finished / "reports", self.work / "reports", dirs_exist_ok=True)
        for name in without:
            remove(self.work / name)

    def keep(self, folder: str) -> None:
        """Put a copy of a folder in the place of the disk that is mounted there."""
        copy = self.work / f"{folder}-kept"
        shutil.copytree(self.work / folder, copy)
        subprocess.run(["umount", "--lazy", str(self.work / folder)], check=True)
        (self.work / folder).rmdir()
        copy.rename(self.work / folder)


@dataclass(frozen=True)
class Fault:
    """A fault of the campaign."""

    name: str
    reason: str
    """Why it could hurt."""
    play: Callable[[Scene], None]
    group: str = "kill"
    engine: bool = False
    """Whether a network predicts, instead of label maps being scored."""
    alone: bool = False
    """Whether the workers are processes that the driver starts, without a cluster."""


def perform(fault: Fault, rig: Rig, finished: Path, undisturbed: Undisturbed) -> str:
    """Play a fault, run to the end, check everything; returns what was seen, raises AssertionError."""
    name = "".join(letter if letter.isalnum() else "-" for letter in fault.name)
    work = rig.folder / "work" / name
    remove(work)
    work.mkdir(parents=True)
    address = "" if fault.alone else rig.address
    config = write_config(work / "config.toml", rig.folder / "data", work, address, engine=fault.engine)
    rig.ready()
    scene = Scene(rig, work, config, finished)
    try:
        fault.play(scene)
        rig.arm()
        rig.ready()
        n_before = len(scene.codes)
        while scene.run() != 0:
            assert len(scene.codes) - n_before < RUNS, f"no run ends well: {scene.codes} {scene.said}"
        invariants.check_ledger(config)
        invariants.check_report(work, undisturbed)
        litter = clean(scene)
        return f"exit {', '.join(map(str, scene.codes))}" + (f"; {litter} files left for clean" if litter else "")
    finally:
        rig.arm()
        remove(work)


def clean(scene: Scene) -> int:
    """Remove what nothing names, as `segscale clean --older-than 0` does; returns how many files that were."""
    before, torn = list(invariants.unnamed(scene.config)), list(unfinished_reports(scene.work))
    strange = [name for name in before if not invariants.KNOWN_LITTER.fullmatch(name) and "set-aside" not in name]
    assert not strange, f"files that no clean can know: {strange}"
    if HAS_STORE_COMMANDS:
        scene.command("clean", str(scene.config), "--older-than", "0")
        left = [*invariants.unnamed(scene.config), *unfinished_reports(scene.work)]
        assert not left, f"left over after clean: {left}"
    return len(before) + len(torn)


def unfinished_reports(work: Path) -> Iterator[str]:
    """All that lies beside the files of reports."""
    for path in sorted((work / "reports").rglob("*")):
        if path.is_file() and not re.fullmatch(r"\w+\.parquet|run\.json|report\.html", path.name):
            yield path.relative_to(work).as_posix()


def forget(scene: Scene, damaged: Path) -> None:
    """Repair what is damaged: the command, or the same by hand: the record goes, and with it the attempt."""
    if HAS_STORE_COMMANDS:
        scene.command("repair", str(scene.config), "--scheduler", scene.rig.address)
        return
    store = scene.work / "store"
    parts = damaged.relative_to(store).parts
    if parts[0] == "shards":
        stage, key = parts[1], parts[3]
        (store / "ledger" / stage / f"{key}.json").unlink()
        remove(store / "shards" / stage / key[:2] / key)
    else:
        damaged.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size: str = "16m") -> Iterator[Path]:
    """A disk of its own in a folder; needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        if folder.is_mount():
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, spare_bytes: int) -> Path:
    """Take a disk's room with one file, but for so many bytes."""
    ballast = folder / ".ballast"
    free = shutil.disk_usage(folder).free
    with ballast.open("wb") as file:
        file.write(bytes(max(0, free - spare_bytes)))
    return ballast


def await_true(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for: {what}"
        time.sleep(0.05)
