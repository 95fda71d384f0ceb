"""Several drivers on one store: whoever commits first wins, nobody notices, and every table is the same bytes.

Each driver has a Dask cluster of its own; they share the store, the reports and the Prefect server, and nothing else.
`stoppable.py` stops them, or their workers, at named places, and lets two of them arrive at the same commits.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import open_report

pytestmark = pytest.mark.nightly(part="drivers")

STOPPABLE = Path(__file__).with_name("stoppable.py")
WAIT_SECONDS = 240
STAGES = ("score",)
# Workers that were silent for as long are taken for dead (Dask: for ten heartbeats of half a second at least).
TTL_SECONDS = 5


@dataclass(frozen=True)
class Driver:
    """A driver under way, and where its stops are seen."""

    process: subprocess.Popen[str]
    stops: Path

    def await_stop(self, number: int) -> int:
        """Wait until a place is reached and its victim stands still; returns the process id of the victim."""
        reached = self.stops / str(number)
        end = time.monotonic() + WAIT_SECONDS
        while not (reached.exists() and is_stopped(int(reached.read_text()))):
            assert time.monotonic() < end, f"place {number} was not reached within {WAIT_SECONDS} s"
            try:
                # Waits for the driver's end, which is not to come, for as long as the pause between two looks.
                self.process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"the driver ended before place {number}:\n{self.process.communicate()[1]}")
        return int(reached.read_text())

    def finish(self) -> tuple[int, str]:
        """The exit code, and what was said on stderr."""
        _, err = self.process.communicate(timeout=WAIT_SECONDS)
        return self.process.returncode, err


def is_stopped(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


@dataclass(frozen=True)
class Scene:
    """A store without anything in it, and drivers that may be stopped."""

    work: Path
    config: Path
    environment: dict[str, str]
    drivers: list[Driver]

    def start(self, *places: str, **more: str) -> Driver:
        stops = self.work / f"stops-{len(self.drivers)}"
        stops.mkdir()
        planted = {"STOPPABLE_FOLDER": str(stops), "STOPPABLE_PLACES": "\n".join(places), **more}
        process = subprocess.Popen(
            [sys.executable, "-P", str(STOPPABLE), "run", str(self.config), "--workers", "1"],
            env={**self.environment, **planted},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.drivers.append(Driver(process, stops))
        return self.drivers[-1]

    def end(self) -> None:
        """Nothing of the drivers outlives a test that failed."""
        for driver in self.drivers:
            if driver.process.poll() is None:
                family = psutil.Process(driver.process.pid).children(recursive=True)
                for process in (driver.process, *family):
                    process.kill()
                driver.process.communicate()

    def check(self, undisturbed: Path) -> dict[str, Any]:
        """Nothing is missing, nothing is left over, every table is that of the undisturbed run; returns run.json."""
        report = report_in(self.work)
        run = open_report(str(report)).run()
        assert open_report(str(report)).is_whole()
        assert report.name == undisturbed.name
        tables = {path.name: path.read_bytes() for path in report.glob("*.parquet")}
        assert tables.keys() == {path.name for path in undisturbed.glob("*.parquet")}
        assert [name for name, data in tables.items() if data != (undisturbed / name).read_bytes()] == []
        store, named = ObjectStore(str(self.work / "store")), set()
        for stage in (folder.name for folder in (self.work / "store" / "ledger").iterdir()):
            keys = Ledger(store).done(stage)
            assert stage in STAGES
            assert len(keys) == run["n_shards"]
            for entry in (Ledger(store).read(stage, key) for key in keys):
                for name, digest in entry.objects.items():
                    store.read_checked(f"{entry.path}/{name}", digest)
                    named.add(f"{entry.path}/{name}")
        stored = {path.relative_to(self.work / "store") for path in (self.work / "store" / "shards").rglob("*")}
        assert {path.as_posix() for path in stored if (self.work / "store" / path).is_file()} == named
        assert run["n_failed"] == 0
        return run


def report_in(work: Path) -> Path:
    (report,) = (work / "reports" / "phantom").iterdir()
    return report


def write_run(data: Path, work: Path) -> Path:
    config = work / "config.toml"
    config.write_text(
        f"""
        [dataset]
        name = "phantom"
        images = "{data}/images/*.png"
        references = "{data}/masks"
        label_values = [0, 255]
        [predictions]
        path = "{data}/predictions/*.png"
        [metrics]
        bootstrap = 200
        [store]
        path = "{work}/store"
        shard_images = 8
        [report]
        path = "{work}/reports"
        """
    )
    return config


@pytest.fixture(scope="module")
def undisturbed(segscale: Any, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that was alone."""
    work = tmp_path_factory.mktemp("alone")
    outcome = segscale("run", write_run(phantoms, work), "--workers", "1")
    assert outcome.code == 0, outcome.err
    return report_in(work)


@pytest.fixture
def scene(segscale: Any, phantoms: Path, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, write_run(phantoms, tmp_path), segscale.environment, [])
    try:
        yield made
    finally:
        made.end()


def test_two_drivers_at_once_race_for_every_commit(scene: Scene, undisturbed: Path) -> None:
    meeting = scene.work / "meeting"
    meeting.mkdir()
    together = {
        "STOPPABLE_MEET": str(meeting),
        "STOPPABLE_MEET_AT": f"^ledger/({'|'.join(STAGES)})/",
        "STOPPABLE_MEET_COUNT": "2",
    }
    for driver in [scene.start(**together), scene.start(**together)]:
        code, err = driver.finish()
        assert code == 0, err
    run = scene.check(undisturbed)
    # Neither left a shard to the other, and no commit was tried twice by one of them.
    assert len(list(meeting.iterdir())) == len(STAGES) * run["n_shards"]
    assert {len(list(place.iterdir())) for place in meeting.iterdir()} == {2}
    for stage in STAGES:
        assert (run["stages"][stage]["reused"], run["stages"][stage]["attempts"]) == (0, run["n_shards"]), stage


@dataclass(frozen=True)
class Away:
    """Where a driver, or its worker, stands still while others go on."""

    place: str
    reason: str


# In this order: each gets as far as its place whatever the ones before have left undone.
AWAY = (
    Away("worker:before-commit:/ledger/score/:self", "its attempt lies there, and another will be recorded"),
    Away("worker:after-commit:/ledger/score/:driver", "its worker goes on, and it hears of nothing"),
    Away("driver:before-write:/catalog/sources-:self", "it has read every file, and nobody knows"),
    Away(r"driver:before-write:/catalog/phantom-.*\.parquet:self", "it has counted all, and nobody knows of what"),
    Away(
        r"driver:before-write:/reports/.*/run\.json:self", "it is about to make a report of tables that others rewrite"
    ),
)


def test_whoever_was_stopped_comes_back_when_another_has_finished(scene: Scene, undisturbed: Path) -> None:
    stopped: list[tuple[Driver, int]] = []
    for away in AWAY:
        takes_all_for_dead = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{TTL_SECONDS}s"}
        is_driver = away.place.startswith("driver") or away.place.endswith("driver")
        driver = scene.start(away.place, **(takes_all_for_dead if is_driver else {}))
        victim = driver.await_stop(0)
        assert (victim == driver.process.pid) == is_driver, away.reason
        stopped.append((driver, victim))
    since = time.monotonic()
    code, err = scene.start().finish()
    assert code == 0, err
    finished = report_in(scene.work)
    assert open_report(str(finished)).is_whole()
    assert all(is_stopped(victim) for _, victim in stopped)
    # A driver's limit for silent workers is over: all that it knew look dead to it when it goes on.
    time.sleep(max(0.0, TTL_SECONDS + 1 - (time.monotonic() - since)))
    for _, victim in stopped:
        os.kill(victim, signal.SIGCONT)
    for away, (driver, _) in zip(AWAY, stopped, strict=True):
        code, err = driver.finish()
        assert code == 0, f"{away.place} ({away.reason}): {err}"
    scene.check(undisturbed)


def test_a_report_is_read_back_while_another_driver_writes_it_again(scene: Scene, undisturbed: Path) -> None:
    # The later one has seen no report and writes one; the earlier one has finished its own and has not read it yet.
    later = scene.start(*["driver:before-any:/reports/phantom/:self"] * 2)
    victim = later.await_stop(0)
    earlier = scene.start(r"driver:after-write:/reports/.*/run\.json:self")
    earlier.await_stop(0)
    os.kill(victim, signal.SIGCONT)
    later.await_stop(1)
    os.kill(earlier.process.pid, signal.SIGCONT)
    code, err = earlier.finish()
    assert code == 0, err
    os.kill(victim, signal.SIGCONT)
    code, err = later.finish()
    assert code == 0, err
    scene.check(undisturbed)


def test_the_check_can_fail(scene: Scene, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, scene.work / "reports" / "phantom" / undisturbed.name)
    shutil.copytree(undisturbed.parents[2] / "store", scene.work / "store")
    scene.check(undisturbed)
    record = next((scene.work / "store" / "ledger" / "score").iterdir())
    record.rename(scene.work / "record.json")
    with pytest.raises(AssertionError):
        scene.check(undisturbed)
    (scene.work / "record.json").rename(record)
    stray = scene.work / "store" / json.loads(record.read_text())["path"]
    shutil.copytree(stray, stray.with_name("0123456789abcdef"))
    with pytest.raises(AssertionError):
        scene.check(undisturbed)
