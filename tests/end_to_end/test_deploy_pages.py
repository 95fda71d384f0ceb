"""The commands of docs/docker.md and docs/kubernetes.md that need no engine, in their order, against a real server."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from ruamel.yaml import YAML

from tests.end_to_end.kubernetes_api import kubernetes_api
from tests.ports import free_port

pytestmark = pytest.mark.nightly(part="deploy")

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PASSWORD = "planted-51e7-password"
AUTH = f"team:{PASSWORD}"
PAGES = {page: (ROOT / "docs" / f"{page}.md").read_text() for page in ("docker", "kubernetes")}
MANIFESTS: list[dict[str, Any]] = [
    document
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
    for document in YAML(typ="safe").load_all(path)
]
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "deploy" / "compose.yaml")


def commands(page: str) -> list[str]:
    unfenced = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^ {4}(\S.*)$", unfenced, re.MULTILINE)


def image_environment(scratch: Path) -> dict[str, str]:
    """What the image sets for Prefect, with a folder of this test for its /tmp."""
    text = (ROOT / "deploy" / "docker" / "Dockerfile.cpu").read_text()
    found = dict(re.findall(r"^(?:ENV|   ) (PREFECT_\w+)=(\S+)", text, re.MULTILINE))
    assert {"PREFECT_HOME", "PREFECT_UI_STATIC_DIRECTORY"} <= set(found)
    return {name: value.replace("/tmp/", f"{scratch}/") for name, value in found.items()}


@dataclass
class Server:
    """A Prefect server as the image starts it."""

    url: str
    environment: dict[str, str]
    """Of its clients."""
    folder: Path
    programs: ExitStack
    ran: set[str] = field(default_factory=set)
    """Commands of the pages that were run."""

    def run(self, page: str, beginning: str) -> str:
        """Run a command of a page, as it stands there, from the root of the repository."""
        (command,) = [line for line in commands(page) if line.startswith(beginning)]
        self.ran.add(command)
        program, *arguments = shlex.split(command.replace("/srv/deploy/", "deploy/"))
        done = subprocess.run(
            [BIN / program, "--no-prompt", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program of Prefect that ends with the tests."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [BIN / command[0], *command[1:]], cwd=self.folder, env={**self.environment, **environment}, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.programs.callback(stop, process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def ask(self, path: str, **question: Any) -> Any:
        answer = httpx.post(f"{self.url}/api/{path}", json=question, timeout=60, auth=("team", PASSWORD))
        answer.raise_for_status()
        return answer.json()


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        everything = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for one in everything:
            with suppress(psutil.NoSuchProcess):
                one.terminate()
        for one in psutil.wait_procs(everything, timeout=20)[1]:
            one.kill()


def await_answer(process: subprocess.Popen[bytes], ask: Any, what: str) -> Any:
    """What `ask` returns once it is true; the pauses are spent on waiting for an end that is not to come."""
    while True:
        with suppress(httpx.HTTPError):
            if found := ask():
                return found
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"{what}: ended with {process.wait(timeout=0.3)}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pages")
    url = f"http://127.0.0.1:{free_port()}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    client = {**clean, "PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": f"{url}/api", "COLUMNS": "200"}
    client |= {"PREFECT_API_AUTH_STRING": AUTH, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    (manifest,) = [
        one for one in MANIFESTS if one["metadata"]["name"] == "prefect-server" and "template" in one["spec"]
    ]
    program, *arguments = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
    arguments = [{"0.0.0.0": "127.0.0.1", "4200": url.rpartition(":")[2]}.get(one, one) for one in arguments]
    with ExitStack() as programs:
        found = Server(url, client, folder, programs)
        process = found.start(
            "server", program, *arguments, **image_environment(folder), PREFECT_SERVER_API_AUTH_STRING=AUTH
        )
        await_answer(process, lambda: httpx.get(f"{url}/api/health", timeout=5).is_success, "the server")
        yield found


def test_the_page_is_served_from_where_the_image_may_write(server: Server) -> None:
    page = httpx.get(f"{server.url}/", timeout=30, follow_redirects=True)
    assert page.status_code == 200
    assert "<title>Prefect" in page.text
    assert list((server.folder / "prefect-ui").rglob("index.html"))


@pytest.fixture(scope="module")
def docker(server: Server) -> Server:
    """Everything that docs/docker.md says to do with Prefect, after the containers are up."""
    *_, command = COMPOSE["services"]["flow-worker"]["command"][-1].split(" && exec ")
    process = server.start("flow-worker", *shlex.split(command), PREFECT_WORKER_WEBSERVER_PORT=str(free_port()))
    await_answer(process, lambda: server.ask("work_pools/filter"), "the worker of the pool")
    # Nothing is to be run here.
    stop(process)
    server.run("docker", "prefect gcl create")
    server.run("docker", "prefect deploy --name evaluate --name nightly")
    server.run("docker", "prefect deployment run evaluate-dataset/evaluate")
    server.run("docker", "prefect work-pool create segscale-docker")
    server.run("docker", "prefect deploy --name evaluate-docker")
    return server


def test_the_docker_page_ends_with_deployments_that_can_run(docker: Server) -> None:
    found = {entry["name"]: entry for entry in docker.ask("deployments/filter")}
    assert {name: entry["work_pool_name"] for name, entry in found.items() if name != "evaluate-kubernetes"} == {
        "evaluate": "segscale", "nightly": "segscale", "evaluate-docker": "segscale-docker",
    }  # fmt: skip
    (run,) = docker.ask("flow_runs/filter", deployments={"name": {"any_": ["evaluate"]}})
    assert run["state_type"] == "SCHEDULED"


def test_a_run_in_kubernetes_is_a_closed_job_that_names_its_secrets(docker: Server, tmp_path: Path) -> None:
    (manifest,) = [one for one in MANIFESTS if one["metadata"]["name"] == "prefect-worker"]
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    environment = {**image_environment(tmp_path), **given, "PREFECT_API_URL": f"{docker.url}/api"}
    environment |= {"PREFECT_WORKER_WEBSERVER_PORT": str(free_port()), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    environment["PREFECT_WORKER_HEARTBEAT_SECONDS"] = "2"
    with kubernetes_api("segscale") as api:
        api.write_kubeconfig(tmp_path / "kubeconfig")
        environment["KUBECONFIG"] = str(tmp_path / "kubeconfig")
        # Its pod starts beside the server's, before anybody could make the pool: it waits, and makes none itself.
        worker = docker.start("worker", *container["args"], **environment)
        await_answer(worker, lambda: "'segscale-kubernetes' not found" in docker.log("worker"), "the worker")
        docker.run("kubernetes", "prefect work-pool create")
        docker.run("kubernetes", "prefect deploy --name evaluate-kubernetes")
        docker.run("kubernetes", "prefect deployment run")
        await_answer(worker, api.job_came.is_set, "the worker in Kubernetes")
        stop(worker)
    (job,) = api.jobs
    pod = job["spec"]["template"]["spec"]
    variables = {one["name"]: one for one in pod["containers"][0]["env"]}
    assert variables["PREFECT_API_AUTH_STRING"] == {
        "name": "PREFECT_API_AUTH_STRING",
        "valueFrom": {"secretKeyRef": {"name": "segscale-prefect", "key": "auth"}},
    }
    assert PASSWORD not in json.dumps(job)
    assert pod["securityContext"]["runAsNonRoot"] is True
    # An account of a namespace may watch nothing out of it.
    assert api.refused == []
    assert given["PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"] == api.namespace


NOT_RUN = {
    "docker ": "no Docker here; schemas and linters check what these build and start",
    "kubectl ": "no Kubernetes here; schemas check the manifests, test_deploy_docs.py the names",
    "export ": "the tests set the environment",
    "install --directory": "asks for root",
    "prefect worker start --pool segscale-docker": "asks for Docker",
}


def test_every_other_command_of_the_pages_was_run(docker: Server) -> None:
    for page in PAGES:
        left = [one for one in commands(page) if one not in docker.ran and not one.startswith(tuple(NOT_RUN))]
        assert left == [], page
