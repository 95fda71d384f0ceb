"""Beside a user's own flows/, tasks/, storage/ and tasks.py: the command, workers of Dask and a worker of Prefect.

Whoever uses Prefect has a folder flows/ as a rule, and programs that start in a folder put it on their path. None of
them may take a user's package for a room of Segscale, nor the other way round. The deployment is also the one that
`make test` has: a Prefect server, a work pool and a process worker (`make prefect` runs all of docs/prefect.md).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from tests.end_to_end.dask_programs import dask_programs
from tests.end_to_end.own_packages import SAID, make_own_packages
from tests.end_to_end.score_set import score_sections
from tests.ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of somebody's own."""
    return make_own_packages(tmp_path_factory.mktemp("project"))


def write_run(phantoms: Path, work: Path) -> Path:
    work.mkdir()
    config = work / "config.toml"
    sections = score_sections(phantoms, work, shard_images="16")
    config.write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())
            for name, keys in sections.items()
        )
    )
    return config


def tables(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.glob("reports/phantom/*/*.parquet")}


@pytest.fixture(scope="module")
def by_command(segscale: Any, project: Path, phantoms: Path) -> dict[str, bytes]:
    """The tables of a run by the command, given in that folder."""
    process = segscale.start("run", write_run(phantoms, project / "by-command"), cwd=project)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return tables(project / "by-command")


def test_the_folder_would_be_noticed(project: Path) -> None:
    for name in ("flows", "tasks", "storage"):
        tried = subprocess.run(
            [sys.executable, "-c", f"import {name}"], cwd=project, capture_output=True, text=True, check=False,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )  # fmt: skip
        assert SAID in tried.stderr


def test_the_command_runs_in_it(by_command: dict[str, bytes]) -> None:
    assert len(by_command) == 6


def test_workers_of_dask_work_in_it(
    segscale: Any, project: Path, phantoms: Path, by_command: dict[str, bytes], tmp_path: Path
) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = ["dask", "scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    with dask_programs(tmp_path) as programs:
        programs.scheduler(scheduler)
        programs.worker("worker", ["dask", "worker", address, "--nthreads", "1", "--no-dashboard"], cwd=project)
        process = segscale.start("run", write_run(phantoms, project / "by-dask"), "--scheduler", address, cwd=project)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert tables(project / "by-dask") == by_command


@pytest.fixture
def client(segscale_in_prefect: Any) -> Iterator[SyncPrefectClient]:
    """The Prefect server of the tests; asked again where it has too much to do."""
    with (
        temporary_settings({PREFECT_API_URL: segscale_in_prefect.environment["PREFECT_API_URL"]}),
        get_client(sync_client=True) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def prefect_worker(segscale_in_prefect: Any, project: Path) -> Iterator[subprocess.Popen[str]]:
    """A process worker that was started in that folder; it makes its pool."""
    command = [PREFECT, "worker", "start", "--pool", "own", "--type", "process", "--limit", "1"]
    environment = {**segscale_in_prefect.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with (project / "worker.log").open("w") as log:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log, text=True)
    try:
        yield process
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            one.terminate()
        for one in psutil.wait_procs(family, timeout=20)[1]:
            one.kill()


def test_a_deployment_is_run_by_a_worker_that_was_started_in_it(
    segscale_in_prefect: Any, project: Path, phantoms: Path, by_command: dict[str, bytes], client: SyncPrefectClient,
    prefect_worker: subprocess.Popen[str],
) -> None:  # fmt: skip
    def until(found: Callable[[], bool]) -> None:
        while not found():
            # The pause is spent on waiting for the worker's end, which is not to come.
            with suppress(subprocess.TimeoutExpired):
                code = prefect_worker.wait(timeout=0.5)
                raise AssertionError(f"the worker ended with {code}:\n{(project / 'worker.log').read_text()[-3000:]}")

    def has_pool() -> bool:
        with suppress(ObjectNotFound):
            return client.read_work_pool("own") is not None
        return False

    until(has_pool)
    document = YAML(typ="safe").load(ROOT / "deploy" / "prefect.yaml")
    (entry,) = [one for one in document["deployments"] if one["name"] == "evaluate"]
    work = project / "by-prefect"
    config = {
        "dataset": {
            "name": "phantom", "images": f"{phantoms}/images/*.png", "references": f"{phantoms}/masks",
            "label_values": [0, 255],
        },
        "predictions": {"path": f"{phantoms}/predictions/*.png"},
        "store": {"path": f"{work}/store", "shard_images": 16},
        "report": {"path": f"{work}/reports"},
    }  # fmt: skip
    entry |= {"parameters": {"config": config}, "work_pool": {"name": "own"}}
    here = [{"prefect.deployments.steps.set_working_directory": {"directory": str(project)}}]
    with (project / "prefect.yaml").open("w") as file:
        YAML().dump({"build": None, "push": None, "pull": here, "deployments": [entry]}, file)
    deployed = subprocess.run(
        [PREFECT, "--no-prompt", "deploy", "--all"], cwd=project, env=segscale_in_prefect.environment,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    deployment = client.read_deployment_by_name("evaluate-dataset/evaluate")
    run = client.create_flow_run_from_deployment(deployment.id)

    def state() -> State:
        found = client.read_flow_run(run.id).state
        assert found is not None
        return found

    until(lambda: state().is_final())
    assert state().is_completed(), (project / "worker.log").read_text()[-3000:]
    assert tables(work) == by_command
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    assert "segscale-phantom" in {artifact.key for artifact in client.read_artifacts(artifact_filter=of_run)}
