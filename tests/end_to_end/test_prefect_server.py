"""A Prefect server on PostgreSQL with a process worker, deployed from deploy/prefect.yaml and read back."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from segscale.flows.prefect import concurrency as turns
from segscale.storage import shards
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from tests.end_to_end.prefect_team import (
    API_PASSWORD,
    AUTH,
    BIN,
    COMMANDS,
    PASSWORD,
    ROOT,
    SECRET,
    Team,
    by_name,
    move_images,
    postgres_binaries,
    stop,
)

pytestmark = pytest.mark.nightly(part="prefect")


@pytest.fixture(scope="module")
def deployed(team: Team, phantoms: Path) -> Team:
    """Deployed from deploy/prefect.yaml with the paths of this test, and a night that begins in a few seconds."""
    document: dict[str, Any] = YAML(typ="safe").load(ROOT / "deploy" / "prefect.yaml")
    config = {
        "dataset": {
            "name": "lesions", "images": f"{team.folder}/data/images/*.png", "references": f"{team.folder}/data/masks",
            "label_values": [0, 255],
        },
        "predictions": {"path": f"{team.folder}/data/predictions/*.png"},
        "metrics": {"bootstrap": 20},
        "store": {"path": f"{team.folder}/store", "shard_images": 4},
        "report": {"path": f"{team.folder}/reports"},
    }  # fmt: skip
    del document["definitions"]
    for entry in document["deployments"]:
        entry["parameters"] = {"config": config}
    with (team.folder / "deploy" / "prefect.yaml").open("w") as file:
        YAML().dump(document, file)
    stems = sorted(path.stem for path in (phantoms / "images").glob("*.png"))
    move_images(phantoms, team.folder / "data", stems[:32])
    for command in ("process", "docker", "kubernetes"):
        pool = "segscale" if command == "process" else f"segscale-{command}"
        team.run(f"prefect work-pool create {pool} ")
    team.run("prefect gcl create")
    team.run("prefect deploy --all")
    assert "evaluate-dataset/nightly" in team.run("prefect deployment ls")
    # The night that prefect.yaml asks for is hours away: this one begins soon, and then every day.
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
    httpx.post(
        f"{team.api}/deployments/{team.deployment('nightly')['id']}/schedules",
        json=[{"schedule": {"interval": 86400, "anchor_date": soon.isoformat()}, "active": True}],
        timeout=60,
        auth=AUTH,
    ).raise_for_status()  # fmt: skip
    return team


@pytest.fixture(scope="module")
def worker(deployed: Team) -> subprocess.Popen[bytes]:
    environment = {**deployed.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    program, *arguments = shlex.split(deployed.written("prefect worker start"))
    return deployed.start("worker", BIN / program, *arguments, env=environment)


@dataclass(frozen=True)
class Night:
    """What a nightly run left."""

    run: dict[str, Any]
    record: dict[str, Any]
    commits: dict[str, set[str]]
    artifacts: dict[str, dict[str, Any]]
    report: Path


def look(team: Team, run: dict[str, Any]) -> Night:
    assert run["state_type"] == "COMPLETED", team.log("worker")[-3000:]
    report = max((team.folder / "reports" / "lesions").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    record = json.loads((report / "run.json").read_text())
    ledger = team.folder / "store" / "ledger"
    commits = {stage: {path.stem for path in (ledger / stage).glob("*.json")} for stage in ("score",)}
    return Night(run, record, commits, team.artifacts(), report)


@pytest.fixture(scope="module")
def nights(deployed: Team, worker: subprocess.Popen[bytes], phantoms: Path) -> tuple[Night, Night]:
    """The nightly deployment twice: by its schedule over 32 images, by hand with 16 more and one that has changed."""
    first = look(deployed, deployed.finished("nightly", 1, worker, "worker"))
    stems = sorted(path.stem for path in (phantoms / "images").glob("*.png"))
    move_images(phantoms, deployed.folder / "data", stems[32:])
    shutil.copy2(phantoms / "images" / f"{stems[1]}.png", deployed.folder / "data" / "images" / f"{stems[0]}.png")
    deployed.run(
        "prefect deployment run evaluate-dataset/evaluate", **{"evaluate-dataset/evaluate": "evaluate-dataset/nightly"}
    )
    runs = deployed.finished("nightly", 2, worker, "worker")
    return first, look(deployed, runs)


def test_every_deployment_arrives_with_its_pool_limit_and_schedule(deployed: Team) -> None:
    written = YAML(typ="safe").load(deployed.folder / "deploy" / "prefect.yaml")["deployments"]
    found = {entry["name"]: entry for entry in deployed.ask("deployments/filter")}
    assert set(found) == {entry["name"] for entry in written}
    for entry in written:
        there = found[entry["name"]]
        assert there["work_pool_name"] == entry["work_pool"]["name"]
        assert there["job_variables"] == entry["work_pool"]["job_variables"]
        assert there["global_concurrency_limit"]["limit"] == 1
        assert there["concurrency_options"] == {**there["concurrency_options"], "collision_strategy": "ENQUEUE"}
        crons = [one for one in there["schedules"] if "cron" in one["schedule"]]
        assert [(one["schedule"]["cron"], one["active"]) for one in crons] == [
            (one["cron"], one["active"]) for one in entry.get("schedules", [])
        ]
    (pool,) = deployed.ask("work_pools/filter", work_pools={"name": {"any_": ["segscale-kubernetes"]}})
    job = pool["base_job_template"]["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert job["containers"][0]["envFrom"] == [{"secretRef": {"name": "segscale-store", "optional": True}}]


def test_the_night_begins_by_schedule(nights: tuple[Night, Night]) -> None:
    first, second = nights
    assert first.run["auto_scheduled"]
    assert not second.run["auto_scheduled"]
    assert first.record["n_images"] == 32
    assert first.record["n_failed"] == 0


def test_the_second_night_does_the_shards_of_new_and_changed_images_and_no_others(
    team: Team, nights: tuple[Night, Night], phantoms: Path
) -> None:
    first, second = nights
    stems = sorted(path.stem for path in (phantoms / "images").glob("*.png"))
    store = ObjectStore(str(team.folder / "store"))

    def images(keys: set[str]) -> list[set[str]]:
        entries = [Ledger(store).read("score", key) for key in keys]
        return [set(shards.read_rows(store, entry)["image_id"]) for entry in entries]

    before = images(first.commits["score"])
    made = images(second.commits["score"] - first.commits["score"])
    for shard in made:
        # A full shard that is joined by a new image is split, perhaps into a part without it.
        assert shard & {stems[0], *stems[32:]} or any(shard < whole for whole in before)
    assert set.union(*made) >= {stems[0], *stems[32:]}
    assert second.record["n_images"] == 48
    assert second.report != first.report
    for stage in ("score",):
        was, after = first.record["stages"][stage], second.record["stages"][stage]
        assert was["reused"] == 0
        assert was["attempts"] == was["shards"] == len(first.commits[stage])
        assert first.commits[stage] < second.commits[stage]
        new = second.commits[stage] - first.commits[stage]
        assert after["attempts"] == len(new) == after["shards"] - after["reused"]
        # Shards of 4 that were full are split as images join them; others stay, and no image is in two.
        assert after["reused"] > 0
        assert after["images"] == sum(map(len, made)) < 48


def test_artifacts_are_read_back_through_the_api(nights: tuple[Night, Night]) -> None:
    for night in nights:
        found = night.artifacts
        for stage in ("score",):
            assert (found[f"segscale-lesions-{stage}"]["type"], found[f"segscale-lesions-{stage}"]["data"]) == (
                "progress", 100.0,
            )  # fmt: skip
        headline = json.loads(found["segscale-lesions"]["data"])
        assert {"per-sample", "batch 1", "pooled"} <= set(headline[0])
        stages = {row["stage"]: row for row in json.loads(found["segscale-lesions-stages"]["data"])}
        assert stages["score"]["reused"] == night.record["stages"]["score"]["reused"]
        assert stages["score"]["images"] == night.record["stages"]["score"]["images"]
        assert found["segscale-lesions-report"]["data"].strip() == str(night.report)
        assert "file://" not in json.dumps(found)
        assert found["segscale-lesions"]["flow_run_id"] == night.run["id"]
        assert "segscale-lesions-failures" not in found


def test_a_failed_run_tells_somebody_and_shows_its_failures(
    team: Team, nights: tuple[Night, Night], worker: subprocess.Popen[bytes]
) -> None:
    assert nights
    deployment = team.deployment("evaluate")
    config = json.loads(json.dumps(deployment["parameters"]["config"]))
    config["dataset"]["images"] = f"{team.folder}/nowhere/*.png"
    team.ask(f"deployments/{deployment['id']}/create_flow_run", parameters={"config": config})
    run = team.finished("evaluate", 1, worker, "worker")
    assert run["state_type"] == "FAILED"
    assert "expected files, found none" in run["state"]["message"]
    assert team.news.wait(timeout=120), "no notification came"
    assert "Segscale: evaluate Failed" in team.posted[0]
    assert "expected files, found none" in team.posted[0]


def test_no_secret_is_in_logs_artifacts_parameters_or_reports(
    team: Team, nights: tuple[Night, Night], worker: subprocess.Popen[bytes]
) -> None:
    assert worker.poll() is None
    logs = team.ask("logs/filter", limit=200)
    assert logs, "the flows logged nothing, so this would prove nothing"
    told = [
        json.dumps(team.ask(path, limit=200))
        for path in ("logs/filter", "artifacts/filter", "flow_runs/filter", "task_runs/filter", "deployments/filter")
    ]
    told += [team.log(name) for name in ("worker", "server")] + team.posted
    told += [path.read_text() for night in nights for path in (night.report / "run.json", night.report / "report.html")]
    told += [path.read_text(errors="replace") for path in (team.folder / "store").rglob("*.json")]
    for text in told:
        for secret in (SECRET, PASSWORD, API_PASSWORD):
            assert secret not in text
    # They were where they could have leaked from.
    assert psutil.Process(worker.pid).environ()["AWS_SECRET_ACCESS_KEY"] == SECRET


def test_a_turn_is_waited_for_where_the_server_has_a_limit(
    team: Team, nights: tuple[Night, Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nights
    monkeypatch.setattr(turns, "WAIT_SECONDS", 1.0)
    held: list[int] = []

    def limit() -> int:
        found = httpx.get(f"{team.api}/v2/concurrency_limits/segscale-lesions", timeout=30, auth=AUTH).json()
        return int(found["active_slots"])

    @flow
    def alone(dataset: str) -> str:
        with turns.turn(dataset):
            return "had its turn"

    @flow
    def around(outer: str, inner: str) -> str:
        with turns.turn(outer):
            held.append(limit())
            return alone(inner)

    with temporary_settings({PREFECT_API_URL: team.api, PREFECT_API_AUTH_STRING: ":".join(AUTH)}):
        with pytest.raises(TimeoutError):
            around("lesions", "lesions")
        assert held == [1]
        # Another data set, and one that the server has no limit for, wait for nobody.
        assert around("lesions", "unlimited") == "had its turn"
        assert around("unlimited", "unlimited") == "had its turn"
        # A turn that ended, also by an error, is free.
        assert alone("lesions") == "had its turn"


def test_serve_registers_the_file_runs_what_is_due_and_ends_with_ctrl_c(
    team: Team, nights: tuple[Night, Night], worker: subprocess.Popen[bytes]
) -> None:
    assert nights
    stop([worker])
    path = team.folder / "deploy" / "prefect.yaml"
    document = YAML(typ="safe").load(path)
    for entry in document["deployments"]:
        if entry["name"] == "nightly":
            entry["schedules"] = [{"cron": "0 2 * * *", "timezone": "UTC", "active": True}]
    with path.open("w") as file:
        YAML().dump(document, file)
    program, *arguments = shlex.split(team.written("segscale serve"))
    refused = team.start("refused", BIN / program, *arguments)
    assert refused.wait(timeout=120) == 2
    assert "is deployed to the work pool 'segscale' already" in team.log("refused")
    for entry in team.ask("deployments/filter"):
        httpx.delete(f"{team.api}/deployments/{entry['id']}", timeout=60, auth=AUTH).raise_for_status()
    served = team.start("serve", BIN / program, *arguments)
    while "deployments of" not in team.log("serve") or not team.ask("deployments/filter", deployments=by_name("score")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"serve ended with {served.wait(timeout=0.5)}:\n{team.log('serve')}")
    team.run("prefect deployment run evaluate-dataset/evaluate", **{"evaluate-dataset/evaluate": "score-dataset/score"})
    run = team.finished("score", 1, served, "serve")
    assert run["state_type"] == "COMPLETED", team.log("serve")[-3000:]
    found = {entry["name"]: entry for entry in team.ask("deployments/filter")}
    assert found["nightly"]["work_pool_name"] is None
    assert [schedule["schedule"]["cron"] for schedule in found["nightly"]["schedules"]] == ["0 2 * * *"]
    assert "evaluate-docker" not in found
    served.send_signal(signal.SIGINT)
    assert served.wait(timeout=120) == 130, team.log("serve")
    said = team.log("serve")
    assert "evaluate-docker is left to a worker" in said
    assert "Traceback" not in said
    assert team.deployment("nightly")["paused"]


def test_the_server_wants_a_password(team: Team) -> None:
    assert httpx.get(f"{team.api}/health", timeout=30).status_code == 200
    for auth in (None, ("team", "guess")):
        assert httpx.post(f"{team.api}/flow_runs/filter", json={}, timeout=30, auth=auth).status_code == 401


def test_the_database_is_backed_up_and_restored(team: Team, database: int) -> None:
    login = {"PGHOST": "127.0.0.1", "PGPORT": str(database), "PGUSER": "prefect", "PGPASSWORD": PASSWORD}
    program, *arguments = shlex.split(team.written("pg_dump"))
    subprocess.run(
        [postgres_binaries() / program, *arguments], env={**os.environ, **login}, cwd=team.folder, check=True
    )
    assert (team.folder / "prefect.dump").read_bytes()[:5] == b"PGDMP"

    def postgres(*command: str) -> str:
        done = subprocess.run(
            [postgres_binaries() / command[0], *command[1:]], env={**os.environ, **login}, cwd=team.folder, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def runs(name: str) -> str:
        return postgres(
            "psql", "--dbname", name, "--tuples-only", "--command", "select count(*), max(id::text) from flow_run"
        )

    postgres("createdb", "restored")
    restore = [
        word.replace("--dbname=prefect", "--dbname=restored") for word in shlex.split(team.written("pg_restore"))
    ]
    # Into a new database, and over one that is there.
    for _ in range(2):
        postgres(*restore)
        assert runs("restored") == runs("prefect") != ""


def test_the_database_is_upgraded(team: Team) -> None:
    program, *arguments = shlex.split(team.written("prefect server database upgrade"))
    done = subprocess.run([BIN / program, *arguments], env=team.of_server, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout


NOT_RUN = {
    "export ": "the tests set the environment of what they start",
    "segscale schedule ": "test_scheduled_nights.py runs it",
    "prefect deployment run evaluate-dataset/lesions": "likewise",
}


def test_every_command_of_the_page_was_run(team: Team) -> None:
    assert len(team.ran) >= 12
    left = [command for command in COMMANDS if command not in team.ran and not command.startswith(tuple(NOT_RUN))]
    assert left == []
