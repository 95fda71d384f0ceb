"""A Prefect server on PostgreSQL with a process worker, deployed from deploy/prefect.yaml and read back."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
from tests.ports import free_port

pytestmark = pytest.mark.nightly(part="prefect")

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DEBIAN = Path("/usr/lib/postgresql/15/bin")
PAGE = (ROOT / "docs" / "prefect.md").read_text()
SECRET = "planted-4f1c9b-secret"
API_PASSWORD = "planted-c0ffee-password"
AUTH = ("team", API_PASSWORD)
PASSWORD = "planted-77aa20-password"
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def commands_of(page: str) -> list[str]:
    """Every line of a page that is indented by four spaces, or fenced as `sh`."""
    fenced = "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    indented = re.findall(
        r"^(?: {4}| {6})(\S.*)$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return indented + fenced.splitlines()


COMMANDS = commands_of(PAGE)


@dataclass
class Team:
    """A server that several people use, with what was started around it."""

    folder: Path
    api: str
    environment: dict[str, str]
    of_server: dict[str, str]
    """The environment of the server: the client's, with the way to the database."""
    posted: list[str] = field(default_factory=list)
    """What came in at the address for notifications."""
    news: threading.Event = field(default_factory=threading.Event)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ran: set[str] = field(default_factory=set)
    """Commands of docs/prefect.md that were run as they stand there."""

    def start(self, name: str, *command: str | Path, **changes: Any) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                **{"env": self.environment, "cwd": self.folder, **changes},
            )
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def run(self, beginning: str, **instead: str) -> str:
        """Run the command of docs/prefect.md that begins like this, some of its words replaced."""
        command = self.written(beginning)
        for word, given in instead.items():
            assert word in command
            command = command.replace(word, given)
        program, *arguments = shlex.split(command)
        found = [str(BIN / program), "--no-prompt"] if program == "prefect" else [program]
        done = subprocess.run(
            " ".join(shlex.quote(part) for part in found + arguments) if ">" not in arguments else command,
            shell=True, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def written(self, beginning: str) -> str:
        (found,) = {command for command in COMMANDS if command.startswith(beginning)}
        self.ran.add(found)
        return found

    def ask(self, path: str, **question: Any) -> Any:
        answer = httpx.post(f"{self.api}/{path}", json=question, timeout=60, auth=AUTH)
        answer.raise_for_status()
        return answer.json()

    def deployment(self, name: str) -> dict[str, Any]:
        (found,) = self.ask("deployments/filter", deployments=by_name(name))
        return dict(found)

    def runs(self, deployment: str, **of_run: Any) -> list[dict[str, Any]]:
        question = {"deployments": {"name": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return list(self.ask("flow_runs/filter", **question, flow_runs=of_run or None))

    def finished(self, deployment: str, count: int, worker: subprocess.Popen[bytes], log: str) -> dict[str, Any]:
        """The last of `count` finished runs, once there are so many."""
        while True:
            found = [run for run in self.runs(deployment) if run["state_type"] in TERMINAL]
            if len(found) >= count:
                return found[-1]
            try:
                # The pause between two questions is spent on waiting for an end that is not to come.
                worker.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"{log} ended:\n{self.log(log)[-3000:]}")

    def artifacts(self) -> dict[str, dict[str, Any]]:
        return {found["key"]: found for found in self.ask("artifacts/latest/filter", limit=200)}


def by_name(name: str) -> dict[str, Any]:
    return {"name": {"any_": [name]}}


def postgres_binaries() -> Path:
    found = DEBIAN if (DEBIAN / "postgres").exists() else None
    if found is None and (path := shutil.which("postgres")):
        found = Path(path).resolve().parent
    if found is None:
        reason = f"no PostgreSQL server at {DEBIAN} or on the path; on Debian: apt-get install postgresql"
        assert "CI" not in os.environ, reason
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def database() -> Iterator[int]:
    """The port of a fresh PostgreSQL server with a database that wants a password."""
    binaries, port = postgres_binaries(), free_port()
    # PostgreSQL does not run as root, and its own user sees nothing of pytest's folders. A short path: that of a socket
    # has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="segscale-postgres-"))
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    environment = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    subprocess.run(
        [binaries / "initdb", "-D", folder / "data", "-U", "prefect", "--auth=scram-sha-256", "--no-sync",
         f"--pwfile={folder / 'password'}"],
        env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL, **account,
    )  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", folder / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1",
             "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"],
            env=environment, cwd=folder, stdout=log, stderr=log, **account,
        )  # fmt: skip
    try:
        create: list[str | Path] = [
            binaries / "createdb",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-U",
            "prefect",
            "prefect",
        ]
        while subprocess.run(
            create, env={**environment, "PGPASSWORD": PASSWORD}, check=False, stderr=subprocess.DEVNULL
        ).returncode:
            try:
                server.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError((folder / "log").read_text())
        yield port
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)
        shutil.rmtree(folder)


def listen(posted: list[str], news: threading.Event) -> ThreadingHTTPServer:
    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()
            news.set()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def team(database: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder, port = tmp_path_factory.mktemp("team"), free_port()
    api = f"http://127.0.0.1:{port}/api"
    common = {
        **os.environ,
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "COLUMNS": "200",
        "PREFECT_API_AUTH_STRING": ":".join(AUTH),
    }
    # The server alone knows the password of the database.
    of_server = {
        **common,
        "PREFECT_HOME": str(folder / "of-server"),
        "PREFECT_SERVER_DATABASE_DRIVER": "postgresql+asyncpg",
        "PREFECT_SERVER_DATABASE_HOST": "127.0.0.1",
        "PREFECT_SERVER_DATABASE_PORT": str(database),
        "PREFECT_SERVER_DATABASE_NAME": "prefect",
        "PREFECT_SERVER_DATABASE_USER": "prefect",
        "PREFECT_SERVER_DATABASE_PASSWORD": PASSWORD,
        "PREFECT_SERVER_API_AUTH_STRING": ":".join(AUTH),
        # It looks every minute otherwise, and the night of this test would be over before it was planned.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
    }
    client = {**common, "PREFECT_HOME": str(folder / "home"), "AWS_SECRET_ACCESS_KEY": SECRET}
    found = Team(folder, api, client, of_server)
    exports = " ".join(command for command in COMMANDS if command.startswith("export PREFECT_SERVER"))
    assert set(re.findall(r"(PREFECT_SERVER_\w+)=", exports)) <= set(of_server)
    listener = listen(found.posted, found.news)
    try:
        program, *arguments = shlex.split(found.written("prefect server start").replace("4200", str(port)))
        server = found.start("server", BIN / program, *arguments, env=of_server)
        await_health(found, server)
        make_notifications(found, listener.server_port)
        yield found
    finally:
        listener.shutdown()
        stop(found.processes)


def await_health(team: Team, server: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            if httpx.get(f"{team.api}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        try:
            server.wait(timeout=0.3)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the server did not come up:\n{team.log('server')[-2000:]}")


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    alive = [psutil.Process(process.pid) for process in processes if process.poll() is None]
    everything = alive + [child for process in alive for child in process.children(recursive=True)]
    for process in everything:
        process.terminate()
    for process in psutil.wait_procs(everything, timeout=20)[1]:
        process.kill()


def make_notifications(team: Team, port: int) -> None:
    """The automations of deploy/, with a webhook to this test as where to tell."""
    code = f"""
from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block
block = Block(name="alerts", url="http://127.0.0.1:{port}/", json_data={{"text": "{{{{subject}}}} / {{{{body}}}}"}})
print(block.save("segscale-alerts"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=team.environment, capture_output=True, text=True, check=True, timeout=120
    )
    shutil.copytree(ROOT / "deploy", team.folder / "deploy")
    team.run("sed ", **{"/ID/": f"/{done.stdout.split()[-1]}/"})
    team.run("prefect automation create")


def move_images(source: Path, target: Path, stems: list[str]) -> None:
    for folder in ("images", "masks", "predictions"):
        (target / folder).mkdir(parents=True, exist_ok=True)
        for stem in stems:
            shutil.copy2(source / folder / f"{stem}.png", target / folder / f"{stem}.png")


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
    deployed.run("prefect deployment run", **{"evaluate-dataset/evaluate": "evaluate-dataset/nightly"})
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
        assert f"file://{night.report}" in found["segscale-lesions-report"]["data"]
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
    team.run("prefect deployment run", **{"evaluate-dataset/evaluate": "score-dataset/score"})
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
}


def test_every_command_of_the_page_was_run(team: Team) -> None:
    assert len(team.ran) >= 12
    left = [command for command in COMMANDS if command not in team.ran and not command.startswith(tuple(NOT_RUN))]
    assert left == []
