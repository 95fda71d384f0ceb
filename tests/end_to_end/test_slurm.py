"""A run on a real SLURM, started here: the driver as a job, two jobs of workers, one of which is cancelled half-way."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows.cluster.needs import Needs
from segscale.flows.config.cluster import Cluster
from segscale.flows.workers import Workers
from segscale.tasks.phantom import write_phantoms
from tests.end_to_end.clusters_page import commands_of
from tests.end_to_end.slurm import Slurm, await_true, missing_programs, started_slurm
from tests.ports import free_port

pytestmark = pytest.mark.nightly(part="slurm")

DEPLOY = Path(__file__).parents[2] / "deploy" / "slurm"


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    missing = missing_programs()
    if (missing or os.geteuid() != 0) and "CI" not in os.environ:
        pytest.skip(f"needs root and slurm-wlm with munge (missing: {', '.join(missing) or 'nothing'})")
    assert not missing, f"{missing} are missing; .ci/services installs them"
    with started_slurm() as running:
        yield running


@pytest.fixture
def on_slurm(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cluster]]:
    """The section [cluster] for this SLURM, whose commands this process finds."""
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, slurm.environment[name])

    def make(**keys: Any) -> Cluster:
        given = {"workers": 1, "memory": "1GB", "interface": "lo", "job_folder": str(tmp_path), "wait_seconds": 60.0}
        return Cluster(kind="slurm", **{**given, **keys})

    # A worker that went away has this long to come back before its job is given up.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "500ms"}):
        yield make


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slurm") / "data"
    write_phantoms(folder, 48, seed=5)
    return folder


def deployed(data: Path, work: Path) -> str:
    """deploy/slurm/slurm.toml with this machine's paths, sizes and network in the place of an example's."""
    text = (DEPLOY / "slurm.toml").read_text()
    for old, new in {
        '"/shared/lesions/manifest.csv"': f'"{data}/manifest.csv"',
        # Work enough for a job to be cancelled in the midst of it.
        '"/shared/models/lesions.keras"': '"phantom"\nflips = true',
        "/shared/segscale": str(work),
        "shard_images = 128": "shard_images = 4",
        "workers = 16 ": "workers = 2 ",
        "cores = 8 ": "cores = 1 ",
        '"16GB"': '"2GB"',
        '"ib0"': '"lo"',
        "source /shared/venvs/segscale/bin/activate": f"export PATH={Path(sys.executable).parent}:$PATH",
    }.items():
        assert old in text, f"slurm.toml does not say {old}"
        text = text.replace(old, new)
    return text


def report_in(work: Path) -> Path:
    (report,) = (work / "reports" / "lesions").iterdir()
    return report


def commits(work: Path, stage: str) -> int:
    return len(list((work / "store" / "ledger" / stage).glob("*.json")))


def test_a_job_that_is_cancelled_half_way_costs_time_and_nothing_else(
    segscale: Any, slurm: Slurm, data: Path, tmp_path: Path
) -> None:
    local, work = tmp_path / "local", tmp_path / "work"
    for folder in (local, work):
        folder.mkdir()
        (folder / "slurm.toml").write_text(deployed(data, folder))
    text = (local / "slurm.toml").read_text()
    (local / "local.toml").write_text(text[: text.index("[cluster]")])
    outcome = segscale("run", local / "local.toml")
    assert outcome.code == 0, outcome.err

    shutil.copyfile(DEPLOY / "segscale.sbatch", work / "segscale.sbatch")
    make, submit, look = commands_of("slurm")
    path = f"{Path(sys.executable).parent}:{slurm.environment['PATH']}"
    there = Slurm(slurm.folder, {**segscale.environment, **slurm.environment, "PATH": path}, work)
    there(*make)
    driver = there(*submit).split()[-1]
    assert driver in there(*look)

    def workers() -> list[str]:
        return [job for job in slurm.running() if job != driver]

    def log() -> str:
        return (work / "driver.log").read_text() if (work / "driver.log").exists() else ""

    await_true(lambda: commits(work, "predict") >= 1 or driver not in slurm.jobs(), log)
    await_true(lambda: len(workers()) == 2 or driver not in slurm.jobs(), log)
    assert 1 <= commits(work, "predict") < commits(work, "ingest"), log()
    slurm("scancel", workers()[0])
    await_true(lambda: driver not in slurm.jobs(), log, seconds=300)

    report, undisturbed = report_in(work), report_in(local)
    assert report.name == undisturbed.name, log()
    for table in undisturbed.glob("*.parquet"):
        assert (report / table.name).read_bytes() == table.read_bytes(), table.name
    await_true(lambda: slurm.jobs() == [], log)
    assert not list((work / "jobs").glob(".segscale-keys-*"))


def test_the_number_of_jobs_is_held(slurm: Slurm, on_slurm: Callable[..., Cluster], tmp_path: Path) -> None:
    with Workers(on_slurm(workers=2), Needs(str(tmp_path / "store"))) as workers:
        client: Any = workers.client
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        client.wait_for_workers(2, timeout=60)
        first = set(slurm.running())
        (cancelled, _) = first
        slurm("scancel", cancelled)
        await_true(lambda: len(slurm.running()) == 2 and cancelled not in slurm.running())
    await_true(lambda: slurm.jobs() == [])


def test_adaptive_begins_with_one_job_and_grows_with_the_work(slurm: Slurm, on_slurm: Callable[..., Cluster]) -> None:
    with Workers(on_slurm(workers=2, adaptive=True)) as workers:
        client: Any = workers.client
        assert len(slurm.jobs()) == 1
        futures = client.map(busy, range(400), pure=False)
        client.wait_for_workers(2, timeout=60)
        del futures
    await_true(lambda: slurm.jobs() == [])


def busy(number: int) -> int:
    """Work that takes a moment, for a loop that adapts to how long work takes."""
    return sum(range(1_000_000 + number))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        pytest.param({"queue": "nowhere"}, "SLURM refuses such a job: .*nvalid partition", id="no such partition"),
        pytest.param({"cores": 64}, "SLURM refuses such a job: .*not available", id="no node has as many cores"),
    ],
)
def test_a_job_that_could_never_run_is_refused(
    on_slurm: Callable[..., Cluster], keys: dict[str, Any], words: str
) -> None:
    with Workers(on_slurm(**keys)) as workers, pytest.raises(ConfigError, match=words) as caught:
        assert workers.client
    assert "\n" not in str(caught.value)


def test_jobs_that_stay_in_the_queue_are_not_waited_for(slurm: Slurm, on_slurm: Callable[..., Cluster]) -> None:
    config = on_slurm(directives=("--hold",), wait_seconds=3)
    with Workers(config) as workers, pytest.raises(ClusterLostError) as caught:
        assert workers.client
    said = str(caught.value)
    assert said.startswith("cluster.workers: expected 1 or more workers within 3 s (wait_seconds), found 0: job ")
    assert "PENDING (JobHeldUser)" in said
    await_true(lambda: slurm.jobs() == [])


def test_a_slurm_that_is_not_there_is_lost(on_slurm: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    config = on_slurm()
    text = Path(os.environ["SLURM_CONF"]).read_text()
    port = next(line for line in text.splitlines() if line.startswith("SlurmctldPort="))
    elsewhere = Path(config.job_folder) / "slurm.conf"
    elsewhere.write_text(text.replace(port, f"SlurmctldPort={free_port()}\nMessageTimeout=2"))
    monkeypatch.setenv("SLURM_CONF", str(elsewhere))
    with Workers(config) as workers, pytest.raises(ClusterLostError, match=r"cluster\.kind: SLURM"):
        assert workers.client
