"""What is asked of SLURM; a SLURM that answers is in tests/end_to_end/test_slurm.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dask_jobqueue.slurm import SLURMJob

from segscale.errors import ConfigError
from segscale.flows.cluster.slurm import check_slurm, job_options, lifetime_options
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.cluster_keys import longest_shard_seconds


def script_of(config: Cluster) -> list[str]:
    return str(SLURMJob("tls://driver:1", name="w-0", **job_options(config)).job_script()).splitlines()


def test_a_job_is_what_the_configuration_asks_for(tmp_path: Path) -> None:
    lines = script_of(
        Cluster(
            kind="slurm", workers=3, cores=8, memory="16GB", queue="short", account="lab", walltime="02:00:00",
            interface="lo", directives=("--gres=gpu:1",), prologue=("module load x",), job_folder=str(tmp_path),
        )
    )  # fmt: skip
    directives = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")}
    assert directives == {
        "-J segscale", f"-e {tmp_path}/segscale-%J.err", f"-o {tmp_path}/segscale-%J.out", "-p short", "-A lab", "-n 1",
        "--cpus-per-task=8", "--mem=15G", "-t 02:00:00", f"-D {tmp_path}", "--gres=gpu:1",
    }  # fmt: skip
    assert lines.index("export SEGSCALE_THREADS=8") < lines.index("module load x")
    worker = lines[-1].split()
    assert worker[:4] == [sys.executable, "-P", "-m", "distributed.cli.dask_worker"]
    assert worker[worker.index("--nthreads") + 1] == "1"
    assert worker[worker.index("--memory-limit") + 1] == "14.90GiB"
    assert worker[worker.index("--interface") + 1] == "lo"
    assert "--no-dashboard" in worker


def test_what_is_not_said_is_left_to_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = script_of(Cluster(kind="slurm", workers=1))
    assert not [line for line in lines if line.startswith(("#SBATCH -p", "#SBATCH -A"))]
    assert f"#SBATCH -D {tmp_path}" in lines


@pytest.mark.parametrize(
    ("walltime", "lifetime", "stagger"),
    [
        pytest.param("2", 60, 30, id="the shortest: half of it"),
        pytest.param("01:00:00", 3240, 180, id="a tenth"),
        pytest.param("2-00:00:00", 172_200, 300, id="ten minutes at most"),
    ],
)
def test_a_worker_ends_before_its_job(walltime: str, lifetime: int, stagger: int) -> None:
    assert lifetime_options(walltime) == ["--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s"]


def test_the_limit_of_a_shard_leaves_workers_the_life_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "sbatch")
    hour = Cluster(kind="slurm", workers=1, walltime="01:00:00")
    # 54 minutes of life, of which a worker may miss three.
    assert longest_shard_seconds(hour.kind, hour.walltime) == 51 * 30
    assert longest_shard_seconds("local", "") == float("inf")
    check_slurm(hour.model_copy(update={"shard_seconds": 1530.0}))
    with pytest.raises(ConfigError, match=r"cluster.shard_seconds: expected at most 1530 with walltime 01:00:00"):
        check_slurm(hour.model_copy(update={"shard_seconds": 1531.0}))
