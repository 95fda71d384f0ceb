"""Whole runs on an object store that fails in every way it can: time is lost, and nothing else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import psutil
import pytest
from s3fs import S3FileSystem

from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from tests.storage.s3_server import Fault, FaultProxy, Request, S3Server, running_proxy

pytestmark = pytest.mark.nightly(part="stores")

STAGES = ("score",)
# One request in seven fails, each time in another way.
FAULTS = (
    Fault(answer=(500, "InternalError")),
    Fault(lose_answer=True),
    Fault(answer=(503, "SlowDown")),
    Fault(cut_upload=50),
    Fault(torn_answer=20),
    Fault(answer=(429, "TooManyRequests")),
    Fault(seconds=0.5),
)
WEATHER = tuple(fault for kind in FAULTS for fault in (None, None, None, None, None, None, kind))


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server, phantoms: Path) -> Iterator[str]:
    """A bucket with the data set in it, reached without a proxy by the tests themselves."""
    with pytest.MonkeyPatch.context() as monkeypatch, s3_server.reachable(monkeypatch):
        url = s3_server.new_bucket()
        for kind in ("images", "masks", "predictions"):
            names = sorted(path.name for path in (phantoms / kind).glob("*.png"))[:32]
            S3FileSystem().put(
                [str(phantoms / kind / name) for name in names], [f"{url}/data/{kind}/{n}" for n in names]
            )
        yield url


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultProxy]:
    with running_proxy(s3_server.port) as proxy:
        yield proxy


@pytest.fixture
def command(segscale: Any, s3_server: S3Server, proxy: FaultProxy) -> Any:
    """The command, which knows the way through the proxy only."""
    return replace(segscale, environment={**segscale.environment, **s3_server.environment(proxy.port)})


@pytest.fixture
def work(bucket: str, tmp_path: Path) -> tuple[Path, str]:
    """A configuration, and the place of its store and reports."""
    place = f"{bucket}/{tmp_path.name}"
    return write_config(tmp_path, bucket, place), place


def write_config(folder: Path, bucket: str, place: str, store: str = "") -> Path:
    config = folder / "config.toml"
    config.write_text(
        f"""
        [dataset]
        name = "phantom"
        images = "{bucket}/data/images/*.png"
        references = "{bucket}/data/masks"
        label_values = [0, 255]
        [predictions]
        path = "{bucket}/data/predictions"
        [metrics]
        bootstrap = 100
        [store]
        path = "{place}/store"
        shard_images = 4
        {store}
        [report]
        path = "{place}/reports"
        [cluster]
        workers = 2
        """
    )
    return config


@pytest.fixture(scope="module")
def undisturbed(
    segscale: Any, s3_server: S3Server, bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The tables of a run that nothing happened to."""
    place = f"{bucket}/undisturbed"
    config = write_config(tmp_path_factory.mktemp("undisturbed"), bucket, place)
    outcome = replace(segscale, environment={**segscale.environment, **s3_server.environment()})("run", config)
    assert outcome.code == 0, outcome.err
    return tables(place)


def tables(place: str) -> dict[str, bytes]:
    store = ObjectStore(place)
    found = {item.path for item in store.listing("reports")}
    assert sum(path.endswith("run.json") for path in found) == 1
    return {path.rpartition("/")[2]: store.read(path) for path in found if path.endswith(".parquet")}


def assert_whole(place: str, undisturbed: dict[str, bytes]) -> None:
    """The tables are those of a quiet day, and every commit has all its objects, unharmed."""
    assert tables(place) == undisturbed
    store = ObjectStore(f"{place}/store")
    ledger = Ledger(store)
    for stage in STAGES:
        done = ledger.done(stage)
        assert len(done) >= 8
        for key in done:
            entry = ledger.read(stage, key)
            assert entry.objects
            for name, digest in entry.objects.items():
                store.read_checked(f"{entry.path}/{name}", digest)


def is_any(_request: Request) -> bool:
    return True


def commits(stage: str) -> Callable[[Request], bool]:
    return lambda request: request.method == "PUT" and f"/ledger/{stage}/" in request.path


def test_a_day_of_bad_weather(
    command: Any, proxy: FaultProxy, work: tuple[Path, str], undisturbed: dict[str, bytes]
) -> None:
    config, place = work
    proxy.inject(is_any, cycle(WEATHER))
    outcome = command("run", config)
    assert outcome.code == 0, outcome.err
    assert len(proxy.done) >= 5 * len(FAULTS)
    assert_whole(place, undisturbed)


def test_no_commit_is_ever_answered_at_first(
    command: Any, proxy: FaultProxy, work: tuple[Path, str], undisturbed: dict[str, bytes]
) -> None:
    config, place = work
    for stage in STAGES:
        proxy.inject(commits(stage), cycle([Fault(lose_answer=True), None]))
    outcome = command("run", config)
    assert outcome.code == 0, outcome.err
    # Of the commits of 11 shards; two workers take turns, so that one of them may be answered at once.
    assert len(proxy.done) >= 8
    assert_whole(place, undisturbed)
    # Nobody took its own commit for that of another: each shard was made once.
    store = ObjectStore(f"{place}/store")
    for stage in STAGES:
        attempts = {item.path.split("/")[4] for item in store.listing(f"shards/{stage}")}
        assert len(attempts) == len(Ledger(store).done(stage))


def test_two_drivers_at_once(
    command: Any, proxy: FaultProxy, work: tuple[Path, str], undisturbed: dict[str, bytes]
) -> None:
    config, place = work
    # Every fourth commit loses its answer while the other driver is at the same work.
    for stage in STAGES:
        proxy.inject(commits(stage), cycle([None, Fault(lose_answer=True), None, Fault(answer=(500, "InternalError"))]))
    drivers = [command.start("run", config) for _ in range(2)]
    said = [driver.communicate(timeout=600)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    assert_whole(place, undisturbed)


@pytest.mark.parametrize("stage", STAGES)
def test_a_driver_killed_between_commits_is_resumed(
    command: Any, proxy: FaultProxy, work: tuple[Path, str], undisturbed: dict[str, bytes], stage: str
) -> None:
    config, place = work
    reached, hold = threading.Event(), threading.Event()
    held = Fault(release=hold)
    proxy.inject(commits(stage), iter([None, None, Fault(after=reached.set, release=None), *repeat(held, 4)]))
    driver = command.start("run", config)
    assert reached.wait(300), driver.poll()
    workers = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    for worker in workers:
        worker.kill()
    psutil.wait_procs(workers, timeout=60)
    # What was on its way arrives when nobody waits for it any more.
    hold.set()
    known = Ledger(ObjectStore(f"{place}/store")).done(stage)
    assert len(known) >= 3
    proxy.forget()
    outcome = command("run", config)
    assert outcome.code == 0, outcome.err
    assert_whole(place, undisturbed)


def test_a_store_that_cannot_decide_is_refused_unless_there_is_one_driver(
    command: Any, proxy: FaultProxy, bucket: str, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    place = f"{bucket}/{tmp_path.name}"
    proxy.inject(is_any, repeat(Fault(without=("if-none-match",))))
    outcome = command("run", write_config(tmp_path, bucket, place))
    assert outcome.code == 2
    assert "ignores If-None-Match" in outcome.err
    assert "single_driver" in outcome.err
    assert list(ObjectStore(place).listing()) == []
    outcome = command("run", write_config(tmp_path, bucket, place, "single_driver = true"))
    assert outcome.code == 0, outcome.err
    assert "there must be no other driver" in outcome.err
    assert_whole(place, undisturbed)
