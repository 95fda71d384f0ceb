from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.system
import distributed.system
import pytest
from distributed import LocalCluster
from pydantic import ValidationError

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows import evaluate, ingest, score
from segscale.flows.checks import cluster as cluster_checks
from segscale.flows.checks.cluster import check_cluster, find_cluster
from segscale.flows.cluster import kubernetes as cluster_kubernetes
from segscale.flows.cluster import local as cluster_local
from segscale.flows.cluster import machine
from segscale.flows.cluster import slurm as cluster_slurm
from segscale.flows.cluster.machine import local_workers
from segscale.flows.cluster.scheduler import expected_workers, neighbours, patience_seconds, worker_count
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import parse_config
from segscale.flows.workers import Workers


def visible(monkeypatch: pytest.MonkeyPatch, *gpus: str) -> None:
    for module in (cluster_checks, cluster_local):
        monkeypatch.setattr(module, "visible_gpus", lambda: gpus)


@pytest.mark.parametrize(
    ("gpus", "workers", "words"),
    [
        pytest.param((), 0, "expected one or more visible GPUs", id="none there"),
        pytest.param(("0",), 2, "expected 2 visible GPUs for a worker each, found 1", id="fewer than asked for"),
    ],
)
def test_gpus_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch, gpus: tuple[str, ...], workers: int, words: str
) -> None:
    visible(monkeypatch, *gpus)
    with pytest.raises(ConfigError, match=words):
        check_cluster(Cluster(kind="gpus", workers=workers))


@pytest.fixture(scope="module")
def no_workers() -> Iterator[str]:
    """HOST:PORT of a scheduler that nobody works for."""
    with LocalCluster(
        n_workers=0, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address.removeprefix("tcp://")


@pytest.mark.parametrize("job", [evaluate, ingest, score])
def test_workers_are_asked_for_before_files_are_looked_at(
    job: Any, no_workers: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def looked(*_: object) -> None:
        raise AssertionError("files were listed")

    monkeypatch.setattr("segscale.flows.run.list_dataset", looked)
    document = {
        "dataset": {"name": "x", "images": "images", "references": "masks"},
        "predictions": {"path": "predictions/*.png"},
        "cluster": {"kind": "address", "address": no_workers, "wait_seconds": 0.2},
    }
    config = parse_config(document, base=tmp_path, source="config.toml")
    with pytest.raises(ClusterLostError, match=r"expected 1 or more workers within 0.2 s \(wait_seconds\), found 0"):
        job.check(config)


def test_of_clusters_that_a_run_starts_itself_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segscale.flows.cluster.preflight", None)
    find_cluster(Cluster(workers=2))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        pytest.param("node7:8786", "tcp://node7:8786", id="a machine and a port"),
        pytest.param("10.0.0.7:8786", "tcp://10.0.0.7:8786", id="an IPv4 address"),
        pytest.param("[::1]:8786", "tcp://[::1]:8786", id="an IPv6 address"),
        pytest.param("tls://node7:8786", "tls://node7:8786", id="with TLS"),
    ],
)
def test_an_address_needs_no_scheme(given: str, read: str) -> None:
    assert Cluster(kind="address", address=given).address == read


@pytest.mark.parametrize("given", ["node7", "node7:", ":8786", "node7:8786/x", "a b:8786", "http://node7:8786"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="expected HOST:PORT, or one like tls://HOST:PORT"):
        Cluster(kind="address", address=given)


@pytest.mark.parametrize(
    ("config", "module", "extra"),
    [
        pytest.param(Cluster(kind="slurm", workers=1), cluster_slurm, "slurm", id="slurm"),
        pytest.param(
            Cluster(kind="kubernetes", workers=1, image="i"), cluster_kubernetes, "kubernetes", id="kubernetes"
        ),
    ],
)
def test_an_extra_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, config: Cluster, module: Any, extra: str
) -> None:
    def find_spec(name: str) -> Any:
        return None if name.startswith("dask_") else importlib.util.find_spec(name)

    monkeypatch.setattr(module, "find_spec", find_spec)
    with pytest.raises(ConfigError, match=rf"install the extra {extra} \(docs/clusters\.md\)"):
        check_cluster(config)


def test_slurm_without_sbatch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match="sbatch, which is not on the PATH"):
        check_cluster(Cluster(kind="slurm", workers=1))


def test_a_job_folder_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(ConfigError, match=r"cluster\.job_folder: expected a folder that all machines share"):
        check_cluster(Cluster(kind="slurm", workers=1, job_folder=str(tmp_path / "jobs")))


def tls_files(folder: Path, **contents: str) -> dict[str, str]:
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in ("tls_ca", "tls_cert", "tls_key")}


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        pytest.param({}, r"cluster\.tls_ca: expected a PEM file, found none at", id="none there"),
        pytest.param({"tls_ca": "x", "tls_cert": "x"}, r"cluster\.tls_key: expected a PEM file", id="one missing"),
        pytest.param(
            {"tls_ca": "x", "tls_cert": "x", "tls_key": "x"}, "expected a certificate and its key", id="no certificates"
        ),
    ],
)
def test_keys_that_are_none_are_refused(tmp_path: Path, contents: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check_cluster(
            Cluster.model_validate({"kind": "address", "address": "tls://h:1"} | tls_files(tmp_path, **contents))
        )
    assert "\n" not in str(caught.value)


def test_tls_without_keys_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.tls_ca: tls://host:1 needs tls_ca, .* or distributed\.comm\.tls"):
        check_cluster(Cluster(kind="address", address="tls://host:1"))


@pytest.mark.parametrize(
    ("cores", "memory", "expected"),
    [
        pytest.param(4, 64e9, 4, id="one for each core"),
        pytest.param(64, 10e9, 3, id="as far as the memory goes"),
        pytest.param(8, 1e9, 1, id="one at least"),
    ],
)
def test_local_workers_are_one_for_each_core_that_memory_allows(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: float, expected: int
) -> None:
    monkeypatch.setattr(machine, "core_count", lambda: cores)
    monkeypatch.setattr(machine, "memory_bytes", lambda: int(memory))
    assert local_workers(Cluster()) == expected
    assert local_workers(Cluster(workers=7)) == 7


def test_this_machine_is_what_dask_takes_it_for() -> None:
    assert (machine.core_count(), machine.memory_bytes()) == (dask.system.CPU_COUNT, distributed.system.MEMORY_LIMIT)


def test_workers_that_are_there_and_those_that_are_to_come() -> None:
    there = {"tcp://a:1": 1, "tcp://a:2": 1, "tcp://b:1": 1}

    def sync(ask: Any, callback_timeout: float) -> Any:
        assert callback_timeout > 0, "a scheduler that stands still would be waited for"
        return ask()

    waiting = SimpleNamespace(nthreads=lambda: there, sync=sync, expected_workers=8, patience_seconds=600.0)
    assert (worker_count(waiting), expected_workers(waiting), patience_seconds(waiting)) == (3, 8, 600.0)
    somebody_else_s = SimpleNamespace(nthreads=lambda: there)
    assert (expected_workers(somebody_else_s), patience_seconds(somebody_else_s)) == (0, 0.0)


def environment_of(config: Cluster) -> dict[str, str | None]:
    """What each worker of a cluster sees of GPUs, by its name."""
    with Workers(config) as workers:
        client: Any = workers.client
        client.wait_for_workers(2, timeout=60)
        assert neighbours(client) == 2
        seen = client.run(lambda: os.environ.get("CUDA_VISIBLE_DEVICES"))
        workers = client.scheduler_info(n_workers=-1)["workers"]
        assert {worker["nthreads"] for worker in workers.values()} == {1}
        return {str(workers[address]["name"]): value for address, value in seen.items()}


@pytest.mark.slow
def test_each_gpu_gets_a_process_that_sees_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    visible(monkeypatch, "2", "GPU-5f", "7")
    assert environment_of(Cluster(kind="gpus", workers=2)) == {"gpu-2": "2", "gpu-GPU-5f": "GPU-5f"}


@pytest.mark.slow
def test_local_workers_beside_each_other_see_no_gpu() -> None:
    assert set(environment_of(Cluster(workers=2)).values()) == {""}
