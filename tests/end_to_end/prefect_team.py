"""A Prefect server on PostgreSQL as a team has it, with the automations of deploy/ and an address for notifications."""

from __future__ import annotations

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

from tests.ports import free_port

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
            self._pause(worker, log)

    def logs(self, run: dict[str, Any], worker: subprocess.Popen[bytes], log: str) -> list[dict[str, Any]]:
        """All that a finished run logged: lines are on their way still when its state is known."""
        while True:
            of_run = {"flow_run_id": {"any_": [run["id"]]}}
            found: list[dict[str, Any]] = self.ask("logs/filter", logs=of_run, limit=200)
            last = [one for one in found if one["message"].startswith("Finished in state") and not one["task_run_id"]]
            if last:
                return found
            self._pause(worker, log)

    def _pause(self, worker: subprocess.Popen[bytes], log: str) -> None:
        """Between two questions, spent on waiting for an end that is not to come."""
        try:
            worker.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            return
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
