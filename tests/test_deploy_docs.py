"""The pages on deploy/: whatever they name is there. test_prefect_server.py runs the commands of docs/prefect.md."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PAGES = ("docs/prefect.md", "docs/docker.md", "docs/kubernetes.md", "deploy/secrets/README.md", "SECURITY.md")
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "deploy" / "compose.yaml")
MANIFESTS: list[dict[str, Any]] = [
    document
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
    for document in YAML(typ="safe").load_all(path)
]
each_page = pytest.mark.parametrize("page", PAGES)


def commands(page: str) -> list[str]:
    return re.findall(r"^ {4,6}([a-z]\S* .*)$", TEXTS[page], re.MULTILINE)


@each_page
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]*)#?([^)]*)\)", TEXTS[page])
    assert links or page in {"SECURITY.md", "deploy/secrets/README.md"}
    for path, heading in links:
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        if heading:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}, heading


@each_page
def test_files_of_the_repository_that_commands_name_are_there(page: str) -> None:
    named = {path for command in commands(page) for path in re.findall(r"(?<![\w/.])deploy/[\w./-]+", command)}
    for path in named - {"deploy/secrets/database_password", "deploy/secrets/prefect_auth"}:
        assert (ROOT / path).exists(), path


def test_services_that_commands_name_are_in_the_compose_file() -> None:
    said = "\n".join(commands("docs/docker.md"))
    named = set(re.findall(r"\bexec (?:--no-TTY )?(\w[\w-]*)", said)) | set(re.findall(r"--scale ([\w-]+)=", said))
    assert named == {"flow-worker", "dask-worker", "database"}
    assert named <= set(COMPOSE["services"])
    mounted = [volume for volume in COMPOSE["services"]["flow-worker"]["volumes"] if "prefect.yaml" in volume]
    assert mounted[0].split(":")[1] in said


def test_every_secret_that_manifests_refer_to_is_made_with_its_keys() -> None:
    needed: dict[str, set[str]] = {}

    def look(part: Any) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                if key == "secretKeyRef":
                    needed.setdefault(value["name"], set()).add(value["key"])
                elif key == "secretRef":
                    needed.setdefault(value["name"], set())
                else:
                    look(value)
        elif isinstance(part, list):
            for value in part:
                look(value)

    look(MANIFESTS)
    made = {
        name: set(re.findall(r"--from-file=(\S+)", rest))
        for name, rest in re.findall(r"create secret generic (\S+) (.*)", TEXTS["docs/kubernetes.md"])
    }
    assert made == needed


def test_what_kubectl_is_told_about_is_in_the_manifests() -> None:
    said = "\n".join(commands("docs/kubernetes.md"))
    names = {(one["kind"], one["metadata"]["name"]) for one in MANIFESTS}
    (service,) = re.findall(r"port-forward service/(\S+)", said)
    assert ("Service", service) in names
    # The operator calls the workers of a cluster its default group.
    (group,) = re.findall(r"scale daskworkergroup (\S+)", said)
    assert ("DaskCluster", group.removesuffix("-default")) in names
    assert set(re.findall(r"--namespace (\S+)", said)) == {"segscale"}


def test_images_are_built_under_the_names_that_are_used() -> None:
    built = set(re.findall(r"--tag (\S+)", TEXTS["docs/docker.md"]))
    assert built == {"segscale:0.1.0-cpu", "segscale:0.1.0-gpu"}
    used = set(re.findall(r"image: (segscale:\S+)", "\n".join(path.read_text() for path in files_of_deploy())))
    assert used == {"segscale:0.1.0-cpu"}


def files_of_deploy() -> list[Path]:
    return [path for path in (ROOT / "deploy").rglob("*.yaml") if path.is_file()]


def run_lines(lines: list[str], folder: Path) -> None:
    if shutil.which("openssl") is None:
        assert "CI" not in os.environ, "openssl is missing"
        pytest.skip("no openssl")
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_secrets_of_compose_can_be_made_as_written(tmp_path: Path) -> None:
    (tmp_path / "deploy" / "secrets").mkdir(parents=True)
    lines = commands("deploy/secrets/README.md")
    assert lines[-1].startswith("chown 10001 ")
    run_lines(lines[:-1], tmp_path)
    made = {path.name: path.read_text() for path in (tmp_path / "deploy" / "secrets").iterdir()}
    assert re.fullmatch(r"[0-9a-f]{48}", made.pop("database_password"))
    assert re.fullmatch(r"team:[0-9a-f]{48}", made.pop("prefect_auth"))
    assert made == {}
    for path in (tmp_path / "deploy" / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.slow
def test_the_certificates_of_security_md_are_good_for_dask(tmp_path: Path) -> None:
    run_lines([line for line in commands("SECURITY.md") if line.startswith("openssl")], tmp_path)
    code = """
from distributed import Client, LocalCluster
from distributed.security import Security
sides = {f"tls_{side}_{kind}": f"{kind}.pem" for side in ("client", "scheduler", "worker") for kind in ("cert", "key")}
tls = Security(tls_ca_file="ca.pem", require_encryption=True, **sides)
here = {"n_workers": 1, "processes": False, "dashboard_address": None, "host": "tls://127.0.0.1"}
if __name__ == "__main__":
    with LocalCluster(security=tls, **here) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        with Client(cluster.scheduler_address, security=tls) as client:
            print(client.submit(sum, [1, 2]).result())
        try:
            Client(cluster.scheduler_address, timeout=5)
        except (OSError, TimeoutError, TypeError, RuntimeError) as error:
            print("stranger refused:", type(error).__name__)
"""
    (tmp_path / "dask_over_tls.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "dask_over_tls.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "3"
    assert "stranger refused" in done.stdout


NOT_RUN = {
    "pip install ": "`make install` does more, and the tests run on it",
    "helm ": "no Kubernetes here",
    "segscale run kubernetes.toml": "likewise; tests/flows/cluster/test_kubernetes.py holds what is asked of it",
}


def test_every_command_on_clusters_is_run_by_a_test() -> None:
    page = (ROOT / "docs" / "clusters.md").read_text()
    blocks = re.findall(r"^(?:<!-- run: (\w+) -->\n)?```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "end_to_end").glob("test_*.py"))
    for name, text in blocks:
        if name:
            assert f'commands_of("{name}"' in tests, name
        else:
            assert [line for line in text.splitlines() if not line.startswith(tuple(NOT_RUN))] == []
    assert len(blocks) >= 7
