"""The driver is killed with SIGKILL while it works, and started again: time is lost, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from segscale.tasks.phantom import write_phantoms

pytestmark = pytest.mark.slow

N_IMAGES = 96


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "data"
    write_phantoms(folder, N_IMAGES, seed=5)
    return folder


def write_run(data: Path, work: Path) -> Path:
    config = work / "config.toml"
    config.write_text(
        f"""
        [dataset]
        name = "phantom"
        manifest = "{data}/manifest.csv"
        label_values = [0, 255]
        [model]
        path = "phantom"
        [metrics]
        group_by = ["site"]
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
def undisturbed(segscale: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that nothing happened to."""
    work = tmp_path_factory.mktemp("undisturbed")
    outcome = segscale("run", write_run(data, work))
    assert outcome.code == 0, outcome.err
    return report_in(work)


def report_in(work: Path) -> Path:
    (report,) = (work / "reports" / "phantom").iterdir()
    return report


def commits(work: Path, stage: str) -> set[str]:
    return {path.stem for path in (work / "store" / "ledger" / stage).glob("*.json")}


def kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """SIGKILL to the driver as soon as `ready`; returns when its workers are gone as well."""
    while not ready():
        assert process.poll() is None, f"the run ended before it could be killed:\n{process.communicate()[1]}"
        os.sched_yield()
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive, f"workers outlived their driver: {alive}"


STAGES = {
    "while shards are ingested": ("ingest", 1),
    "while the first shards are predicted": ("predict", 1),
    "while the last shards are predicted": ("predict", 8),
}


@pytest.mark.parametrize("moment", STAGES)
def test_killed_driver_resumes_with_what_is_missing(
    segscale: Any, data: Path, undisturbed: Path, tmp_path: Path, moment: str
) -> None:
    stage, wanted = STAGES[moment]
    config = write_run(data, tmp_path)
    process = segscale.start("run", config)
    kill_when(process, lambda: len(commits(tmp_path, stage)) >= wanted)
    before = {name: commits(tmp_path, name) for name in ("ingest", "predict")}
    assert not list(tmp_path.glob("reports/phantom/*"))

    outcome = segscale("run", config)
    assert outcome.code == 0, outcome.err
    report = report_in(tmp_path)
    run = json.loads((report / "run.json").read_text())
    plan = run["stages"][stage]["shards"]
    assert plan >= 8
    assert 0 < len(before[stage]) < plan
    for name, known in before.items():
        done = run["stages"][name]
        assert done["reused"] == len(known)
        assert done["attempts"] == done["shards"] - len(known)
        assert known <= commits(tmp_path, name)
        assert len(commits(tmp_path, name)) == done["shards"]
    assert_equal_reports(report, undisturbed)


def test_killed_while_the_report_is_made(segscale: Any, data: Path, undisturbed: Path, tmp_path: Path) -> None:
    plan = json.loads((undisturbed / "run.json").read_text())["stages"]["predict"]["shards"]
    config = write_run(data, tmp_path)
    kill_when(segscale.start("run", config), lambda: len(commits(tmp_path, "predict")) == plan)
    assert not list(tmp_path.glob("reports/phantom/*/run.json"))
    outcome = segscale("run", config)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("nothing to do") == 2
    assert_equal_reports(report_in(tmp_path), undisturbed)


def test_a_report_torn_by_a_kill_is_made_again(segscale: Any, data: Path, undisturbed: Path, tmp_path: Path) -> None:
    config = write_run(data, tmp_path)
    assert segscale("run", config).code == 0
    report = report_in(tmp_path)
    (report / "run.json").unlink()
    (report / "per_image.parquet").write_bytes((report / "per_image.parquet").read_bytes()[:1000])
    (report / "gap.parquet").unlink()
    assert segscale("run", config).code == 0
    assert_equal_reports(report, undisturbed)


def test_a_killed_worker_costs_its_shard_an_attempt_only(
    segscale: Any, data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    process = segscale.start("run", write_run(data, tmp_path))
    while len(commits(tmp_path, "predict")) < 2:
        assert process.poll() is None, process.communicate()[1]
        os.sched_yield()
    workers = [
        child for child in psutil.Process(process.pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline()) and child.memory_info().rss > 200e6
    ]  # fmt: skip
    assert workers, "no worker process to kill"
    workers[0].kill()
    _, err = process.communicate(timeout=840)
    assert process.returncode == 0, err
    assert_equal_reports(report_in(tmp_path), undisturbed)


def assert_equal_reports(report: Path, undisturbed: Path) -> None:
    names = {path.name for path in undisturbed.glob("*.parquet")}
    assert {path.name for path in report.glob("*.parquet")} == names
    assert len(names) == 7
    assert report.name == undisturbed.name
    for name in sorted(names):
        assert (report / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_equal_reports_can_differ(undisturbed: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(undisturbed, tmp_path / undisturbed.name)
    assert_equal_reports(copy, undisturbed)
    data = (copy / "gap.parquet").read_bytes()
    (copy / "gap.parquet").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(AssertionError, match=r"gap\.parquet"):
        assert_equal_reports(copy, undisturbed)
