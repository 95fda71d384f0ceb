"""Whole runs on a scheduler and workers that `dask` started, as docs/clusters.md says; and what goes wrong there."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows.cluster.needs import Needs
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import load_config
from segscale.flows.workers import Workers
from tests.end_to_end.clusters_page import commands_of
from tests.end_to_end.dask_programs import DaskPrograms, dask_programs, end
from tests.ports import free_port

pytestmark = pytest.mark.slow

WORKERS = ("north", "south", "east")
ANOTHER_NUMPY = """
import importlib.metadata
real = importlib.metadata.version
importlib.metadata.version = lambda name: "1.0" if name == "numpy" else real(name)
"""
NO_SEGSCALE = """
import sys
sys.modules["segscale"] = None
"""


@pytest.fixture(scope="module")
def commands() -> list[list[str]]:
    """Scheduler, worker and run, as the page has them, on a free port of the loopback."""
    return commands_of("address", scheduler_host="127.0.0.1", **{"8786": str(free_port())})


@pytest.fixture(scope="module")
def programs(commands: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskPrograms]:
    """A scheduler with three workers."""
    scheduler, worker, _ = commands
    with dask_programs(tmp_path_factory.mktemp("programs")) as started:
        started.scheduler(scheduler)
        for name in WORKERS:
            started.worker(name, worker)
        yield started


@pytest.fixture(scope="module")
def address(programs: DaskPrograms, commands: list[list[str]]) -> str:
    assert programs.folder.is_dir()
    return commands[1][2]


def write_run(work: Path, phantoms: Path, *sections: str) -> Path:
    """A configuration with paths relative to its file, in a folder of its own; a few images where a network works."""
    files = "phantom_000*.png" if MODEL in sections else "*.png"
    work.mkdir(exist_ok=True)
    config = work / "config.toml"
    data = os.path.relpath(phantoms, work)
    config.write_text(
        f"""
        [dataset]
        name = "phantoms"
        images = "{data}/images/{files}"
        references = "{data}/masks/{files}"
        label_values = [0, 255]
        [metrics]
        bootstrap = 100
        [store]
        path = "store"
        shard_images = 4
        """
        + "\n".join(sections)
    )
    return config


def scores(phantoms: Path, work: Path) -> str:
    return f'[predictions]\npath = "{os.path.relpath(phantoms, work)}/predictions"'


MODEL = '[model]\npath = "phantom"\nprecision = "float32"'


def report_in(work: Path) -> Path:
    (report,) = (work / "reports" / "phantoms").iterdir()
    return report


def assert_equal_reports(report: Path, undisturbed: Path) -> None:
    assert report.name == undisturbed.name
    names = {path.name for path in undisturbed.glob("*.parquet")}
    assert names == {path.name for path in report.glob("*.parquet")}
    assert {"per_image.parquet", "gap.parquet"} <= names
    for name in names:
        assert (report / name).read_bytes() == (undisturbed / name).read_bytes(), name


@pytest.fixture(scope="module")
def run_locally(segscale: Any, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The report of a run on processes of this machine."""

    def run(kind: str) -> Path:
        work = tmp_path_factory.mktemp(f"local-{kind}")
        section = scores(phantoms, work) if kind == "scores" else MODEL
        outcome = segscale("run", write_run(work, phantoms, section))
        assert outcome.code == 0, outcome.err
        return report_in(work)

    return run


@pytest.fixture(scope="module")
def scored_locally(run_locally: Callable[[str], Path]) -> Path:
    return run_locally("scores")


def seen_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_scores_are_those_of_a_local_run(
    segscale: Any, phantoms: Path, programs: DaskPrograms, address: str, scored_locally: Path, tmp_path: Path
) -> None:
    outcome = segscale("run", write_run(tmp_path, phantoms, scores(phantoms, tmp_path)), "--scheduler", address)
    assert outcome.code == 0, outcome.err
    assert_equal_reports(report_in(tmp_path), scored_locally)
    assert {name: seen_in(programs.folder / name) for name in WORKERS} == {name: [] for name in WORKERS}
    assert not [path for path in (tmp_path / "store").iterdir() if path.name.startswith(".probe")]


@pytest.mark.nightly(part="clusters")
def test_a_network_predicts_there_what_it_predicts_here(
    segscale: Any,
    phantoms: Path,
    address: str,
    run_locally: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    cluster = f'[cluster]\nkind = "address"\naddress = "{address}"\nworkers = 3'
    outcome = segscale("run", write_run(tmp_path, phantoms, MODEL, cluster))
    assert outcome.code == 0, outcome.err
    assert_equal_reports(report_in(tmp_path), run_locally("model"))


def refusal(config: Cluster, needs: Needs = Needs()) -> str:  # noqa: B008  # frozen
    """Why a cluster cannot do a run, in the words that end the command with exit code 2."""
    with Workers(config, needs) as workers, pytest.raises(ConfigError) as caught:
        assert workers.client
    assert "\n" not in str(caught.value)
    return str(caught.value)


def loss(config: Cluster) -> str:
    """Why a cluster cannot be had, in the words that end the command with exit code 3."""
    with Workers(config) as workers, pytest.raises(ClusterLostError) as caught:
        assert workers.client
    assert "\n" not in str(caught.value)
    return str(caught.value)


def at(address: str, **keys: Any) -> Cluster:
    return Cluster(kind="address", address=address, **keys)


def test_a_path_relative_to_the_driver_is_another_store_for_each_worker(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(at(address), Needs("store"))
    assert said.startswith("cluster: 3 of 3 workers cannot do this run: tcp://127.0.0.1:")
    assert "sees another store at store: what the driver has just written is not there (its folder is" in said
    assert seen_in(tmp_path / "store") == []


def test_a_file_that_workers_do_not_see_is_named(address: str, tmp_path: Path) -> None:
    said = refusal(at(address), Needs(str(tmp_path / "store"), (str(tmp_path / "elsewhere"),)))
    assert f"does not see {tmp_path}/elsewhere" in said


def planted(folder: Path, source: str) -> dict[str, str]:
    """The environment of a Python that runs `source` as it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(source)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


def test_a_worker_with_other_versions_ends_the_run_before_it_starts(
    segscale: Any, phantoms: Path, programs: DaskPrograms, commands: list[list[str]], address: str, tmp_path: Path
) -> None:
    odd = programs.worker("odd", commands[1], environment=planted(tmp_path / "planted", ANOTHER_NUMPY))
    try:
        work = tmp_path / "work"
        outcome = segscale("run", write_run(work, phantoms, scores(phantoms, work)), "--scheduler", address)
    finally:
        end(odd)
    assert outcome.code == 2, outcome.err
    last = outcome.err.splitlines()[-1]
    assert last.startswith("segscale: cluster: 1 of 4 workers cannot do this run: tcp://")
    assert "has numpy 1.0 (the driver" in last
    assert not (work / "store" / "ledger").exists()


def test_fewer_workers_than_asked_for_are_waited_for_and_counted(address: str) -> None:
    assert loss(at(address, workers=5, wait_seconds=3)) == (
        "cluster.workers: expected 5 or more workers within 3 s (wait_seconds), found 3"
    )


def test_resources_that_are_not_offered_are_refused(address: str) -> None:
    said = refusal(at(address, resources={"GPU": 1}))
    assert said.startswith("cluster.resources: expected GPU=1 of every worker, tcp://127.0.0.1:")
    assert said.endswith("offers 0; start it with --resources GPU=1")


def test_a_worker_that_stands_still_is_not_waited_for(
    programs: DaskPrograms, commands: list[list[str]], address: str
) -> None:
    stopped = programs.worker("stopped", [*commands[1], "--no-nanny"])
    stopped.send_signal(signal.SIGSTOP)
    try:
        assert "did not answer: TimeoutError: nothing within 3 s" in loss(at(address, wait_seconds=3))
    finally:
        stopped.send_signal(signal.SIGCONT)
        end(stopped)


@pytest.mark.nightly(part="clusters")
def test_no_scheduler_ends_with_exit_code_3(segscale: Any, phantoms: Path, tmp_path: Path) -> None:
    nowhere = f"tcp://127.0.0.1:{free_port()}"
    cluster = f'[cluster]\nkind = "address"\naddress = "{nowhere}"\nwait_seconds = 1'
    outcome = segscale("run", write_run(tmp_path, phantoms, scores(phantoms, tmp_path), cluster))
    assert outcome.code == 3
    last = outcome.err.splitlines()[-1]
    assert last.startswith(f"segscale: cluster.address: expected a Dask scheduler at {nowhere}, got: ")


@pytest.mark.nightly(part="clusters")
def test_a_scheduler_with_no_worker_that_can_work(commands: list[list[str]], tmp_path: Path) -> None:
    scheduler, worker, _ = commands
    port = str(free_port())
    there = f"tcp://127.0.0.1:{port}"
    with dask_programs(tmp_path / "programs") as programs:
        programs.scheduler([*scheduler[:-2], port, "--no-dashboard"])
        said = loss(at(there, wait_seconds=3))
        assert said == "cluster.workers: expected 1 or more workers within 3 s (wait_seconds), found 0"
        programs.worker(
            "bare", [*worker[:2], there, *worker[3:]], environment=planted(tmp_path / "planted", NO_SEGSCALE)
        )
        assert "cannot load Segscale:" in refusal(at(there))


@pytest.mark.nightly(part="clusters")
def test_a_killed_scheduler_costs_time_and_nothing_else(
    segscale: Any, phantoms: Path, scored_locally: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    config = write_run(work, phantoms, scores(phantoms, work))

    def start(name: str, programs: DaskPrograms) -> tuple[str, subprocess.Popen[str]]:
        scheduler, worker, _ = commands_of("address", scheduler_host="127.0.0.1", **{"8786": str(free_port())})
        process = programs.scheduler(scheduler)
        programs.worker(name, worker)
        return worker[2], process

    with dask_programs(tmp_path / "first") as programs:
        address, scheduler = start("first", programs)
        driver = segscale.start("run", config, "--scheduler", address)
        while len(list((work / "store" / "ledger" / "score").glob("*.json"))) < 2:
            assert driver.poll() is None, driver.communicate()[1]
            os.sched_yield()
        scheduler.kill()
        _, err = driver.communicate(timeout=300)
    assert driver.returncode == 3, err
    assert "what was committed stays" in err.splitlines()[-1]
    assert not (work / "reports").exists() or not list((work / "reports").glob("phantoms/*"))
    with dask_programs(tmp_path / "second") as programs:
        outcome = segscale("run", config, "--scheduler", start("second", programs)[0])
    assert outcome.code == 0, outcome.err
    assert "committed before" in outcome.err
    assert_equal_reports(report_in(work), scored_locally)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders with the authority and the certificate that the page's commands make."""

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for command in commands_of("certificates"):
            answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert answer.returncode == 0, answer.stderr
        return folder

    return make


@pytest.mark.nightly(part="clusters")
def test_a_cluster_with_tls_takes_who_has_the_keys(
    segscale: Any, phantoms: Path, certificates: Callable[[str], Path], scored_locally: Path, tmp_path: Path
) -> None:
    keys, stranger = certificates("keys"), certificates("stranger")
    files = {name: str(keys / name) for name in ("ca.pem", "cert.pem", "key.pem")}
    scheduler, worker, _ = commands_of("tls", scheduler_host="127.0.0.1", **{"8786": str(free_port())}, **files)
    work = tmp_path / "work"
    entries = "\n".join(
        f'{key} = "{os.path.relpath(keys / name, work)}"'
        for key, name in (("tls_ca", "ca.pem"), ("tls_cert", "cert.pem"), ("tls_key", "key.pem"))
    )
    cluster = f'[cluster]\nkind = "address"\naddress = "{worker[2]}"\n{entries}'
    config = write_run(work, phantoms, scores(phantoms, work), cluster)
    with dask_programs(tmp_path / "programs") as programs:
        programs.scheduler(scheduler)
        programs.worker("worker", worker)
        outcome = segscale("run", config)
        assert outcome.code == 0, outcome.err
        assert_equal_reports(report_in(work), scored_locally)

        changed = {"tls_ca": "ca.pem", "tls_cert": "cert.pem", "tls_key": "key.pem"}
        others = {key: str(stranger / name) for key, name in changed.items()}
        ours = load_config(config).cluster.model_dump()
        assert "expected a Dask scheduler at tls://" in loss(Cluster(**{**ours, **others, "wait_seconds": 2.0}))
        plain = worker[2].replace("tls:", "tcp:")
        assert f"expected a Dask scheduler at {plain}" in loss(at(plain, wait_seconds=2))
