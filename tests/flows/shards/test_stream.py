"""The stream, over real worker processes that raise, die and hang: over a cluster, and over processes alone."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from distributed import Client

from segscale.errors import ClusterLostError
from segscale.flows.cluster import scheduler as answers
from segscale.flows.config.cluster import Cluster
from segscale.flows.processes import stream as processes
from segscale.flows.shards import stream
from segscale.flows.shards.retry import ATTEMPTS, DEATHS, Finished, Limits, Lost
from segscale.flows.shards.stream import stream_shards
from segscale.flows.workers import Workers
from tests.end_to_end.dask_programs import dask_programs
from tests.faults.scene import await_true
from tests.flows.processes.alone import two_processes
from tests.flows.stream_work import Deed, do
from tests.ports import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def on_dask() -> Iterator[Workers]:
    with Workers(Cluster(workers=2)) as workers:
        workers.client.wait_for_workers(2, timeout=60)
        yield workers


@pytest.fixture(scope="module")
def on_processes() -> Iterator[Workers]:
    with two_processes() as workers:
        yield workers


@pytest.fixture(scope="module")
def on_interpreters() -> Iterator[Workers]:
    """As where nothing can be forked."""
    with mock.patch("segscale.flows.processes.pool.FORKS", False), two_processes() as workers:
        yield workers


@pytest.fixture(params=["on_dask", "on_processes", "on_interpreters"])
def workers(request: pytest.FixtureRequest) -> Workers:
    found: Workers = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segscale.flows.shards.retry.FIRST_PAUSE", 0.05)


def run(workers: Workers, folder: Path, deeds: list[Deed], seconds: float = 60.0) -> dict[str, Finished | Lost]:
    limits = Limits(lambda _: seconds)
    outcomes = list(workers.stream(do, deeds, str(folder), limits=limits))
    assert Counter(outcome.key for outcome in outcomes) == Counter(deed.key for deed in deeds)
    return {outcome.key: outcome for outcome in outcomes}


def attempts(folder: Path, key: str) -> int:
    return len(list(folder.glob(f"{key}-*")))


def test_what_raises_is_tried_again_and_the_others_go_on(workers: Workers, tmp_path: Path) -> None:
    deeds = [Deed("once", "raise", 1), Deed("always", "raise"), *(Deed(f"sound{number}") for number in range(6))]
    found = run(workers, tmp_path, deeds)
    assert found["once"] == Finished("once", "once", 2)
    assert found["always"] == Lost("always", "OSError: attempt 2 of always", ATTEMPTS)
    assert all(found[f"sound{number}"].attempts == 1 for number in range(6))
    assert attempts(tmp_path, "always") == ATTEMPTS


def test_a_killed_worker_costs_an_attempt(workers: Workers, tmp_path: Path) -> None:
    deeds = [Deed("unlucky", "die", 1), *(Deed(f"sound{number}") for number in range(6))]
    found = run(workers, tmp_path, deeds)
    assert all(isinstance(outcome, Finished) for outcome in found.values())
    assert found["unlucky"].attempts == 2


def test_a_shard_that_kills_comes_back_as_deadly_and_takes_nobody_with_it(workers: Workers, tmp_path: Path) -> None:
    deeds = [*(Deed(f"before{number}") for number in range(3)), Deed("poison", "die"), Deed("behind"), Deed("last")]
    found = run(workers, tmp_path, deeds)
    poison = found.pop("poison")
    assert isinstance(poison, Lost)
    assert (poison.deadly, poison.error) == ("WorkerDied", "WorkerDied: a worker died at it")
    # Who merely waited on the same worker may have lost attempts, and may have to be tried alone.
    for outcome in found.values():
        assert isinstance(outcome, Finished) or outcome.deadly == "WorkerDied"
        alone = workers.try_alone(do, Deed(outcome.key), str(tmp_path), seconds=lambda _: 60.0)
        assert isinstance(alone, Finished)


def test_what_hangs_is_ended_by_its_own_worker(workers: Workers, tmp_path: Path) -> None:
    found = run(workers, tmp_path, [Deed("stuck", "hang"), Deed("sound")], seconds=1.0)
    stuck = found["stuck"]
    assert isinstance(stuck, Lost)
    assert (stuck.deadly, stuck.error) == ("TimeLimit", "TimeLimit: it took more than 1 s")
    assert attempts(tmp_path, "stuck") == DEATHS


def test_what_is_no_part_of_the_shard_has_a_limit_of_its_own(on_dask: Workers, tmp_path: Path) -> None:
    found = run(on_dask, tmp_path, [Deed("shard", "prepare")], seconds=1.0)
    assert found == {"shard": Finished("shard", "shard", 1)}


@pytest.mark.nightly(part="drivers")
def test_a_shard_that_is_handed_on_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(stream, "NO_WORKERS_SECONDS", 20.0)
    port = free_port()
    with dask_programs(tmp_path) as programs:
        programs.scheduler(["dask", "scheduler", "--port", str(port), "--no-dashboard"])
        address = f"tcp://127.0.0.1:{port}"
        # Each of its lives is shorter than the limit of the shard.
        life = ["--lifetime", "2s", "--lifetime-restart"]
        programs.worker("worker", ["dask", "worker", address, "--nthreads", "1", "--no-dashboard", *life])
        with Client(address, timeout=60) as client:
            limits = Limits(lambda _: 3.0, deaths=1)
            (lost,) = stream_shards(client, do, [Deed("stuck", "hang")], str(tmp_path), limits=limits)
    assert isinstance(lost, Lost)
    assert (lost.deadly, lost.error) == ("TimeLimit", "TimeLimit: it was not done in 4 times its limit")
    assert attempts(tmp_path, "stuck") > 1


def test_a_scheduler_that_stands_still_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 10.0)
    port = free_port()
    with dask_programs(tmp_path) as programs:
        scheduler = programs.scheduler(["dask", "scheduler", "--port", str(port), "--no-dashboard"])
        address = f"tcp://127.0.0.1:{port}"
        programs.worker("worker", ["dask", "worker", address, "--nthreads", "1", "--no-dashboard"])
        with Client(address, timeout=5) as client:
            outcomes = stream_shards(client, do, [Deed("first"), Deed("stuck", "hang")], str(tmp_path))
            next(iter(outcomes))
            scheduler.send_signal(signal.SIGSTOP)
            with pytest.raises(ClusterLostError, match=r"has not answered for 10 s; .* run again"):
                list(outcomes)
        scheduler.send_signal(signal.SIGCONT)


def test_jobs_are_drawn_only_as_fast_as_they_finish(workers: Workers, tmp_path: Path) -> None:
    drawn: list[str] = []

    def jobs() -> Iterator[Deed]:
        for number in range(40):
            drawn.append(str(number))
            yield Deed(f"deed{number}")

    # As many as may be under way, and as many again whose results are.
    window = 2 * max(stream.SHARDS_PER_WORKER, processes.SHARDS_PER_WORKER) * 2
    for finished, _ in enumerate(workers.stream(do, jobs(), str(tmp_path)), start=1):
        assert len(drawn) <= finished + window
    assert len(drawn) == 40


def test_without_workers_a_run_ends(on_dask: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(stream, "NO_WORKERS_SECONDS", 0.5)
    monkeypatch.setattr(stream, "worker_count", lambda _: 0)
    with pytest.raises(ClusterLostError, match=r"no worker for 0 s.*run again|no worker for 1 s"):
        run(on_dask, tmp_path, [Deed("stuck", "hang", 1)], seconds=20.0)


def test_a_result_that_is_here_outlives_its_worker(tmp_path: Path) -> None:
    with Workers(Cluster(workers=1)) as workers:
        client: Any = workers.client
        outcomes: Any = stream_shards(client, do, [Deed("first"), Deed("second", "prepare", 1)], str(tmp_path))
        next(outcomes)
        # Known to have ended, and fetched; neither is read by the driver yet.
        await_true(lambda: outcomes.gi_frame.f_locals["stream"]._news.qsize() == 2, 60, "the result to be fetched")
        second = next(future for name, future in client.futures.items() if "-second-" in name)
        pid = next(iter(client.run(os.getpid).values()))
        os.kill(pid, signal.SIGKILL)
        await_true(lambda: second.status != "finished", 60, "the worker to be missed")
        assert list(outcomes) == [Finished("second", "second", 1)]


def when_ended(client: Any, keys: set[str], then: Callable[[], None]) -> threading.Thread:
    """Wait on another thread until the shards of these keys have ended, and do something."""

    def has_ended(key: str) -> bool:
        return any(f"-{key}-" in name and state.status == "finished" for name, state in list(client.futures.items()))

    def watch() -> None:
        await_true(lambda: all(map(has_ended, keys)), 60, f"the end of {keys}")
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_result_that_is_lost_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So long that a worker dies between the end of both and the fetching.
    monkeypatch.setattr(stream, "FETCH_SECONDS", 5.0)
    with Workers(Cluster(workers=2)) as workers:
        client: Any = workers.client
        client.wait_for_workers(2, timeout=60)

        def kill() -> None:
            holders = {name.split("-")[2]: address for name, (address,) in client.who_has().items()}
            assert holders["lost"] != holders["sound"]
            os.kill(client.run(os.getpid, workers=[holders["lost"]])[holders["lost"]], signal.SIGKILL)

        killer = when_ended(client, {"lost", "sound"}, kill)
        outcomes = stream_shards(client, do, [Deed("lost", "await"), Deed("sound")], str(tmp_path))
        assert next(iter(outcomes)) == Finished("sound", "sound", 1)
        await_true(lambda: attempts(tmp_path, "lost") == 2, 60, "the lost one to be begun again")
        (tmp_path / "go").touch()
        assert list(outcomes) == [Finished("lost", "lost", 1)]
        killer.join()


def test_a_client_that_is_closed_before_a_result_is_fetched_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "FETCH_SECONDS", 1.0)
    with Workers(Cluster(workers=1)) as workers:
        client: Any = workers.client
        closer = when_ended(client, {"deed"}, client.close)
        with pytest.raises(ClusterLostError, match="run again"):
            list(stream_shards(client, do, [Deed("deed")], str(tmp_path)))
        closer.join()


def test_a_worker_whose_nanny_gave_up_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.1)
    with Workers(Cluster(workers=1)) as workers:
        client: Any = workers.client
        client.wait_for_workers(1, timeout=60)
        (nanny,) = client.cluster.workers.values()
        client.cluster.sync(nanny.close)
        found = run(workers, tmp_path, [Deed("deed")])
        assert found == {"deed": Finished("deed", "deed", 1)}
        assert nanny not in client.cluster.workers.values()


def test_a_scheduler_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    with Workers(Cluster(workers=1)) as workers:
        client: Any = workers.client
        outcomes = stream_shards(client, do, (Deed(f"deed{number}") for number in range(1000)), str(tmp_path))
        next(outcomes)
        client.close()
        with pytest.raises(ClusterLostError, match="run again"):
            list(outcomes)
