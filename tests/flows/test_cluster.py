from __future__ import annotations

import os
from typing import Any

import pytest
from dask.system import CPU_COUNT

from flows import cluster
from flows.cluster import Connection, check_cluster, local_workers, neighbours
from flows.config import ConfigError
from flows.sections import Cluster


def visible(monkeypatch: pytest.MonkeyPatch, *gpus: str) -> None:
    monkeypatch.setattr(cluster, "visible_gpus", lambda: gpus)


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


def test_a_cluster_that_is_not_built_is_refused() -> None:
    with pytest.raises(ConfigError, match="not built yet"):
        check_cluster(Cluster(kind="slurm"))


def test_local_workers_are_as_configured_or_one_for_each_core_that_memory_allows() -> None:
    assert local_workers(Cluster(workers=3)) == 3
    assert 1 <= local_workers(Cluster()) <= CPU_COUNT


def environment_of(config: Cluster) -> dict[str, str | None]:
    """What each worker of a cluster sees of GPUs, by its name."""
    with Connection(config) as connection:
        client: Any = connection.client
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
