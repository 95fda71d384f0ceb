"""The short form of the fault campaign, and that its checks can fail. All of it: `make campaign`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import invariants
from tests.faults.campaign import prepare
from tests.faults.invariants import Undisturbed
from tests.faults.rig import N_IMAGES, Armed, Rig, new_rig, write_config
from tests.faults.scene import Fault, Scene, perform
from tests.faults.table import faults

pytestmark = pytest.mark.slow
FAULTS = {fault.name: fault for fault in faults()}
SHORT = {
    "score: worker killed, mid-write": "a worker, and half an object",
    "score: driver killed, after-commit": "the driver, while workers commit",
    "report: driver killed, mid write of run.json": "the one write that makes a report",
    "score: worker killed, before a file is read": "a worker that reads and counts",
    "score: a known file is replaced while it is read": "a source file that becomes another",
    "score: EIO once, mid-write": "an error instead of a death",
    "two drivers, one killed at commit 6": "a driver beside another one",
    "Parquet part: bit flipped": "damage that must be named",
    "clock of the worker jumps by -24 h": "a clock",
    "score without a cluster: worker killed, mid-write": "a worker that its driver has started",
    "score without a cluster: forking process killed, after-commit": "all workers at once",
    "predict: driver killed, after-commit": "the driver, while a network predicts",
    "predict: worker killed, mid-write": "a worker that holds a network",
}
AS_ROOT = "disk full: while shards are scored"


@dataclass(frozen=True)
class Stage:
    """A rig, and the run on it that nothing happened to."""

    rig: Rig
    finished: Path
    undisturbed: Undisturbed

    def config(self, work: Path) -> Path:
        return write_config(work / "config.toml", self.rig.folder / "data", work, self.rig.address, engine=False)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with new_rig(tmp_path_factory.mktemp("faults")) as rig:
        yield Stage(rig, *prepare(rig, engine=False))


@pytest.fixture(scope="module")
def predicting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The same with a network that predicts."""
    with new_rig(tmp_path_factory.mktemp("faults-engine"), phantoms=True) as rig:
        yield Stage(rig, *prepare(rig, engine=True))


@pytest.mark.parametrize("name", SHORT)
def test_a_fault_costs_time_and_nothing_else(request: pytest.FixtureRequest, name: str) -> None:
    fault = FAULTS[name]
    on: Stage = request.getfixturevalue("predicting" if fault.engine else "stage")
    perform(fault, on.rig, on.finished, on.undisturbed)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted, which needs root")
def test_a_full_disk_costs_time_and_nothing_else(stage: Stage) -> None:
    perform(FAULTS[AS_ROOT], stage.rig, stage.finished, stage.undisturbed)


def test_the_table_is_long_enough() -> None:
    assert len(FAULTS) >= 60
    assert sum(fault.engine for fault in FAULTS.values()) >= 10
    assert all(fault.reason for fault in FAULTS.values())


@pytest.fixture
def copy(stage: Stage, tmp_path: Path) -> Path:
    """The undisturbed run in a folder of its own."""
    for name in ("store", "reports"):
        shutil.copytree(stage.finished / name, tmp_path / name)
    stage.config(tmp_path)
    return tmp_path


def test_a_missing_commit_is_noticed(copy: Path) -> None:
    invariants.check_ledger(copy / "config.toml")
    next((copy / "store" / "ledger" / "score").iterdir()).unlink()
    with pytest.raises(AssertionError, match="score: planned and not done"):
        invariants.check_ledger(copy / "config.toml")


def test_a_commit_that_nobody_planned_is_noticed(copy: Path) -> None:
    record = next((copy / "store" / "ledger" / "score").iterdir())
    shutil.copy(record, record.with_name(f"{'0' * 64}.json"))
    with pytest.raises(AssertionError, match="done and not planned"):
        invariants.check_ledger(copy / "config.toml")


def test_a_flipped_bit_is_noticed(copy: Path) -> None:
    target = next((copy / "store" / "shards" / "score").rglob("rows.parquet"))
    data = bytearray(target.read_bytes())
    data[9] ^= 1
    target.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged"):
        invariants.check_ledger(copy / "config.toml")


def test_another_table_is_noticed(stage: Stage, copy: Path) -> None:
    invariants.check_report(copy, stage.undisturbed)
    assert len(stage.undisturbed.tables) >= 6
    table = invariants.report_in(copy) / "gap.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(AssertionError, match=r"differ.*gap\.parquet"):
        invariants.check_report(copy, stage.undisturbed)


def test_what_nothing_names_is_noticed(copy: Path) -> None:
    assert list(invariants.unnamed(copy / "config.toml")) == []
    left = copy / "store" / "shards" / "score" / "ab" / ("ab" * 32) / ("0" * 16) / "rows.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1")
    (copy / "store" / "catalog" / f".made.parquet.{'0' * 32}.partial").write_bytes(b"")
    assert len(list(invariants.unnamed(copy / "config.toml"))) == 2


def test_a_fault_that_does_not_happen_is_noticed(stage: Stage) -> None:
    def play(scene: Scene) -> None:
        scene.run_with(Armed("before-write", "/no such object/", "kill:self"))

    with pytest.raises(AssertionError, match="armed 1 faults"):
        perform(Fault("nothing", "it never happens", play), stage.rig, stage.finished, stage.undisturbed)


def test_the_undisturbed_run_has_sound_and_failed_images(stage: Stage) -> None:
    ledger = stage.finished / "store" / "ledger"
    assert len(list((ledger / "score").iterdir())) >= N_IMAGES // 10
    assert len(stage.undisturbed.tables["failures.parquet"]) > 0
