"""Workers without a cluster: what ends them, what they are to blame for, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from segscale.errors import ClusterLostError
from segscale.flows import workers as workers_module
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.shards.retry import ATTEMPTS, Finished, Limits, Lost
from segscale.flows.workers import Workers, start_early
from tests.faults.scene import await_true
from tests.flows.processes.alone import two_processes
from tests.flows.stream_work import Deed, do

pytestmark = pytest.mark.slow


@pytest.fixture
def workers() -> Iterator[Workers]:
    before = children()
    with two_processes() as workers:
        yield workers
    # What other tests have left may end meanwhile.
    assert not children() - before, "processes are left"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segscale.flows.shards.retry.FIRST_PAUSE", 0.05)


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def run(workers: Workers, folder: Path, *deeds: Deed, seconds: float = 60.0) -> dict[str, Finished | Lost]:
    outcomes = workers.stream(do, deeds, str(folder), limits=Limits(lambda _: seconds))
    return {outcome.key: outcome for outcome in outcomes}


def sound(*keys: str) -> dict[str, Finished]:
    return {key: Finished(key, key, 1) for key in keys}


def test_a_worker_that_dies_costs_nobody_else_an_attempt(workers: Workers, tmp_path: Path) -> None:
    names = [f"sound{number}" for number in range(20)]
    found = run(workers, tmp_path, Deed("poison", "die"), *map(Deed, names), Deed("unlucky", "die", 1))
    assert found.pop("unlucky") == Finished("unlucky", "unlucky", 2)
    assert found.pop("poison") == Lost("poison", "WorkerDied: a worker died at it", 2, "WorkerDied")
    assert found == sound(*names)


@pytest.mark.parametrize(("act", "error"), [("odd", "OddError: it broke at odd"), ("exit", "SystemExit: no more")])
def test_whatever_is_raised_comes_back_by_its_name(workers: Workers, tmp_path: Path, act: str, error: str) -> None:
    assert run(workers, tmp_path, Deed(act, act), Deed("sound")) == {act: Lost(act, error, ATTEMPTS), **sound("sound")}


def test_a_worker_that_stands_still_is_ended_by_its_driver(workers: Workers, tmp_path: Path) -> None:
    found = run(workers, tmp_path, Deed("stopped", "stop", 1), Deed("sound"), seconds=1.0)
    assert found == {"stopped": Finished("stopped", "stopped", 2), **sound("sound")}


def test_a_worker_ends_that_takes_more_than_its_part_of_the_memory(tmp_path: Path) -> None:
    with two_processes(memory_bytes=1_600_000_000) as workers:
        found = run(workers, tmp_path, Deed("greedy", "hoard"), Deed("sound"))
    assert found == {"greedy": Lost("greedy", "WorkerDied: a worker died at it", 2, "WorkerDied"), **sound("sound")}


def test_no_shard_is_to_blame_for_the_end_of_the_process_that_forks(workers: Workers, tmp_path: Path) -> None:
    assert run(workers, tmp_path, Deed("orphan", "orphan", 1), Deed("sound"))["orphan"].attempts == 1


def test_no_shard_is_to_blame_for_a_worker_that_ended_while_it_waited(workers: Workers, tmp_path: Path) -> None:
    others = set(psutil.Process().children())
    assert run(workers, tmp_path, Deed("before")) == sound("before")
    (forker,) = set(psutil.Process().children()) - others
    ended = forker.children()
    assert len(ended) == 2
    for worker in ended:
        worker.kill()
    psutil.wait_procs(ended, timeout=20)
    assert run(workers, tmp_path, Deed("after")) == sound("after")


def test_a_machine_where_no_process_stays_ends_the_run(workers: Workers, tmp_path: Path) -> None:
    with pytest.raises(ClusterLostError, match=r"no process of workers stays on this machine.*run again"):
        run(workers, tmp_path, Deed("orphan", "orphan"))


def test_a_stream_that_is_left_leaves_nothing_to_the_next(workers: Workers, tmp_path: Path) -> None:
    deeds = [Deed("first"), *(Deed(f"stuck{number}", "hang") for number in range(5))]
    outcomes = workers.stream(do, deeds, str(tmp_path))
    assert next(outcomes) == Finished("first", "first", 1)
    outcomes.close()  # type: ignore[attr-defined]
    assert run(workers, tmp_path, Deed("next")) == sound("next")


def test_workers_compute_with_one_thread_unless_the_user_says_otherwise(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    found = run(workers, tmp_path, Deed("omp", "tell:OMP_NUM_THREADS"), Deed("blas", "tell:OPENBLAS_NUM_THREADS"))
    assert {key: outcome.result for key, outcome in found.items() if isinstance(outcome, Finished)} == {
        "omp": "1",
        "blas": "3",
    }


DRIVER = """
import os, sys, threading
from unittest import mock
from segscale.flows.config.cluster import Cluster
from segscale.flows.workers import Workers
from tests.flows.stream_work import Deed, do

print("once", flush=True)
with mock.patch("segscale.flows.workers.PRELOAD", "tests.flows.stream_work"):
    with Workers(Cluster(), alone=True) as workers:
        if "forks" in sys.argv and os.fork() == 0:
            threading.Event().wait(60)
        for outcome in workers.stream(do, [Deed("deed", sys.argv[1])], sys.argv[2]):
            print(outcome.result, flush=True)
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "driver.py").write_text(DRIVER)
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(folder / "driver.py"), arguments[0], str(folder), *arguments[1:]],
        env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_script_without_a_guard_is_not_run_again_by_its_workers(tmp_path: Path) -> None:
    with start(tmp_path, "succeed") as driver:
        out, _ = driver.communicate(timeout=60)
    assert (driver.returncode, out) == (0, "once\ndeed\n")


@pytest.mark.parametrize(
    ("act", "more"),
    [
        pytest.param("lock", (), id="while a library holds Python's lock"),
        pytest.param("hang", ("forks",), id="while another process holds its sockets"),
    ],
)
def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path, act: str, more: tuple[str, ...]) -> None:
    with start(tmp_path, act, *more) as driver:
        await_true(lambda: any(tmp_path.glob("deed-*")), 60, "the work to begin")
        family = psutil.Process(driver.pid).children(recursive=True)
        names = {process.pid: " ".join(process.cmdline()) for process in family}
        started = [process for process in family if "fork_workers" in names[process.pid]]
        others = [process for process in family if process not in started]
        assert len(started) >= 2
        driver.send_signal(signal.SIGKILL)
        assert psutil.wait_procs(started, timeout=20)[1] == []
        for other in others:
            other.kill()


def test_processes_started_early_end_where_dask_does_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_cluster(*_: Any) -> object:
        assert not children() - before, "processes are left"
        return object()

    before = children()
    monkeypatch.setattr("segscale.flows.cluster.client.open_cluster", open_cluster)
    document = {
        "dataset": {"name": "n", "references": "r/*.png"}, "predictions": {"path": "p/*.png"},
        "store": {"path": str(tmp_path / "store")},
    }  # fmt: skip
    start_early(EvaluationConfig.model_validate(document))
    assert children() - before
    assert Workers(Cluster(), alone=False).client is not None


def test_processes_are_started_early_where_there_is_work_for_sure(tmp_path: Path) -> None:
    def early(**sections: Any) -> int:
        dataset = {"name": "n", "images": "i/*.png", "references": "r/*.png"}
        start_early(EvaluationConfig.model_validate({"dataset": dataset, **sections}))
        started = len(workers_module._early)
        workers_module.end_early()
        return started

    predictions, store = {"path": "p/*.png"}, {"path": str(tmp_path / "store")}
    assert early(predictions=predictions, store=store) == 1
    assert early(store=store) == 0, "a network predicts"
    assert early(predictions=predictions, store=store, cluster={"workers": 2}) == 0, "a cluster is asked for"
    (tmp_path / "store" / "ledger").mkdir(parents=True)
    assert early(predictions=predictions, store=store) == 0, "it may all be done"
