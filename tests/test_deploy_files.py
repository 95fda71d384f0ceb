"""deploy/ without an engine to run it: linters, the schemas of compose and Kubernetes, and what must hold in them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect_docker.worker import DockerWorker
from prefect_kubernetes.worker import KubernetesWorker
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
DOCKERFILES = sorted((DEPLOY / "docker").glob("Dockerfile.*"))
COMPOSE: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "compose.yaml")
MANIFESTS: list[dict[str, Any]] = [
    document for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for document in YAML(typ="safe").load_all(path)
]
KUBERNETES = "1.32"
"""The oldest release that the manifests are held against, beside the newest that the schemas know."""
ours = {name: service for name, service in COMPOSE["services"].items() if name != "database"}
each_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=[path.name for path in DOCKERFILES])
each_service = pytest.mark.parametrize("name", sorted(ours))


def lint(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, done.stdout + done.stderr


@cache
def crd(plural: str) -> dict[str, Any]:
    """The schema of a kind of the Dask operator, as it ships it."""
    path = Path(str(files("dask_kubernetes") / f"operator/deployment/helm/dask-kubernetes-operator/crds/{plural}.yaml"))
    for document in YAML(typ="safe").load_all(path):
        version: dict[str, Any] = document["spec"]["versions"][0]
        return dict(version["schema"]["openAPIV3Schema"])
    raise AssertionError(f"{path} is empty")


def validate(manifest: dict[str, Any], version: str) -> None:
    if manifest["apiVersion"] == "kubernetes.dask.org/v1":
        jsonschema.validate(manifest, crd("daskcluster"))
        for part in ("scheduler", "worker"):
            # The operator's schema lets anything pass for a pod: it has to be one.
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": part},
                "spec": manifest["spec"][part]["spec"],
            }
            kubernetes_validate.validate(pod, version, strict=True)
        return
    kubernetes_validate.validate(manifest, version, strict=True)


def pods() -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Every pod that is made: its name, its specification, its labels."""
    for manifest in MANIFESTS:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "Deployment":
            template = manifest["spec"]["template"]
            yield name, template["spec"], template["metadata"]["labels"]
        elif manifest["kind"] == "DaskCluster":
            for part in ("scheduler", "worker"):
                yield f"{name}-{part}", manifest["spec"][part]["spec"], {"dask.org/component": part}
    template = job()["spec"]["template"]
    yield "run", template["spec"], template["metadata"]["labels"]


def configured(worker: type[DockerWorker | KubernetesWorker], template: dict[str, Any]) -> Any:
    """What a worker of Prefect makes of the deployment of deploy/prefect.yaml in the pool of its type."""
    deployments = YAML(typ="safe").load(DEPLOY / "prefect.yaml")["deployments"]
    (given,) = [
        entry["work_pool"]["job_variables"]
        for entry in deployments
        if entry["work_pool"]["name"] == f"segscale-{worker.type}"
    ]
    assert set(given) <= set(template["variables"]["properties"])
    # Without a client of ours Prefect would start a server to ask; nothing here refers to what only a server knows.
    nobody = PrefectClient("http://127.0.0.1:9/api")
    made = asyncio.run(worker.job_configuration.from_template_and_values(template, given, client=nobody))
    made.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="run"))
    return made


def job() -> dict[str, Any]:
    """The job that Prefect's worker makes of the work pool's template for deploy/prefect.yaml."""
    template = json.loads((DEPLOY / "work-pools" / "kubernetes.json").read_text())
    return dict(configured(KubernetesWorker, template).job_manifest)


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@each_dockerfile
def test_hadolint_finds_nothing(path: Path) -> None:
    assert lint("hadolint", "--failure-threshold", "style", path) == (0, "")


def test_hadolint_can_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN cd /tmp && pip install numpy\n")
    code, said = lint("hadolint", bad)
    assert code == 1
    assert "DL3007" in said


@each_dockerfile
def test_an_image_is_pinned_unprivileged_and_holds_no_secret(path: Path) -> None:
    lines = path.read_text().replace("\\\n", " ").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name for names in copied for name in names} <= allowed
    # The package is a folder of links: whatever one of them leads to is needed to install it.
    rooms = {link.readlink().name for link in (ROOT / "segscale").iterdir() if link.is_symlink()}
    assert rooms == {"flows", "tasks", "storage"}
    assert {"segscale", *rooms} <= {name for names in copied for name in names}
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    (install,) = [line for line in lines if "pip install" in line]
    files = re.findall(r"-c (\S+)", install)
    assert files == ["constraints.txt", *(["constraints-gpu.txt"] if "gpu" in install else [])]
    # What the images have beside what the tests run on has a version too.
    pinned = {line.partition("==")[0].lower() for file in files for line in (ROOT / file).read_text().splitlines()}
    extras = pyproject()["project"]["optional-dependencies"]
    for extra in re.findall(r"[a-z0-9-]+", install.partition("[")[2]):
        for needed in extras[extra]:
            name = re.match(r"[\w-]+", needed)
            assert name is not None
            assert name[0] in pinned, needed
    assert ("nvidia-cudnn-cu12" in pinned) is ("gpu" in install)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    # After it nothing is done as anybody else, and nothing takes a secret as an argument of the build.
    assert not [line for line in lines if line.startswith(("ARG", "ADD"))]
    assert not re.search(r"(?i)password|token|secret|credential", "\n".join(li for li in lines if li[:1] != "#"))


def test_the_two_images_differ_in_their_extras_alone() -> None:
    cpu, gpu = ((DEPLOY / "docker" / f"Dockerfile.{kind}").read_text().splitlines() for kind in ("cpu", "gpu"))
    code = [line for line in cpu if line[:1] != "#"], [line for line in gpu if line[:1] != "#"]
    only = sorted(set(code[0]) ^ set(code[1]))
    assert len(only) == 8, only
    assert all(re.search(r"pip install|NVIDIA_|TF_CPP|COPY pyproject", line) for line in only)


def test_yamllint_finds_nothing() -> None:
    assert lint("yamllint", "--strict", "--config-file", ROOT / ".yamllint.yaml", DEPLOY) == (0, "")


def test_the_compose_file_keeps_to_the_schema(tmp_path: Path) -> None:
    command = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    assert lint(*command, DEPLOY / "compose.yaml")[0] == 0
    bad = tmp_path / "compose.yaml"
    bad.write_text((DEPLOY / "compose.yaml").read_text().replace("healthcheck:", "heathcheck:"))
    assert lint(*command, bad)[0] == 1


@pytest.mark.parametrize("version", [KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=[f"{one['kind']}-{one['metadata']['name']}" for one in MANIFESTS])
def test_manifests_keep_to_the_schemas(manifest: dict[str, Any], version: str) -> None:
    validate(manifest, version)
    if manifest["kind"] != "Namespace":
        assert manifest["metadata"]["namespace"] == "segscale"


def test_a_run_of_prefect_is_a_valid_job() -> None:
    kubernetes_validate.validate(job(), kubernetes_validate.latest_version(), strict=True)


def test_a_run_in_a_container_is_closed_and_finds_the_server() -> None:
    made = configured(DockerWorker, DockerWorker.get_default_base_job_template())
    (inside,) = made.networks
    project, _, network = inside.partition("_")
    assert project == COMPOSE["name"]
    assert network in COMPOSE["services"]["prefect"]["networks"]
    assert made.env["PREFECT_API_URL"] == COMPOSE["services"]["flow-worker"]["environment"]["PREFECT_API_URL"]
    assert not made.privileged
    service = ours["flow-worker"]
    assert {name: made.container_create_kwargs[name] for name in ("read_only", "cap_drop", "security_opt", "init")} == {
        name: service[name] for name in ("read_only", "cap_drop", "security_opt", "init")
    }


def test_the_schemas_can_refuse() -> None:
    for kind, path in (("Deployment", ("spec", "template", "spec")), ("DaskCluster", ("spec", "worker", "spec"))):
        broken = json.loads(json.dumps(next(one for one in MANIFESTS if one["kind"] == kind)))
        part = broken
        for key in path:
            part = part[key]
        part["containers"][0]["iamge"] = part["containers"][0].pop("image")
        with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError)):
            validate(broken, kubernetes_validate.latest_version())


@each_service
def test_containers_are_unprivileged(name: str) -> None:
    service = ours[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["image"] == "segscale:0.1.0-cpu"
    assert not {"privileged", "network_mode", "pid"} & set(service)
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


def test_ports_are_published_on_the_loopback_and_dask_not_at_all() -> None:
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert published == {"prefect": ["127.0.0.1:4200:4200"]}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("database", "scheduler", "dask-worker", "flow-worker"):
        assert COMPOSE["services"][name]["networks"] == ["inside"], name


def test_what_listens_has_a_health_check() -> None:
    assert {name for name, service in COMPOSE["services"].items() if "healthcheck" not in service} == {"dask-worker"}


def test_secrets_of_compose_are_files_that_git_ignores() -> None:
    paths = [f"deploy/{secret['file']}" for secret in COMPOSE["secrets"].values()]
    for path in paths:
        ignored = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False)
        assert ignored.returncode == 0, f"{path} could be committed"
    for name, service in COMPOSE["services"].items():
        for key, value in service.get("environment", {}).items():
            assert key.endswith("_FILE") or not re.search(r"PASSWORD|AUTH|SECRET|KEY", key), f"{name}: {key}={value}"


@pytest.mark.parametrize(("name", "pod", "labels"), list(pods()), ids=[name for name, *_ in pods()])
def test_pods_are_unprivileged_limited_and_take_secrets_by_reference(
    name: str, pod: dict[str, Any], labels: dict[str, str]
) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    accounts = {one["metadata"]["name"]: one for one in MANIFESTS if one["kind"] == "ServiceAccount"}
    # Where a pod does not say it, its account does: whoever gives a run another account gives it another right.
    token = accounts[pod["serviceAccountName"]]["automountServiceAccountToken"]
    assert pod.get("automountServiceAccountToken", token) is (name == "prefect-worker")
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {"requests", "limits"} <= set(container["resources"])
        assert "memory" in container["resources"]["limits"]
        for variable in container.get("env", []):
            # Those of Prefect's integration name a secret and its key.
            if re.search(r"PASSWORD|AUTH|SECRET|KEY", variable["name"]) and not variable["name"].startswith(
                "PREFECT_INTEGRATIONS_"
            ):
                assert "secretKeyRef" in variable["valueFrom"], variable
    assert labels


def test_no_secret_is_written_into_the_repository() -> None:
    assert not [manifest for manifest in MANIFESTS if manifest["kind"] == "Secret"]


def test_every_listening_pod_is_closed_but_to_those_named() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in MANIFESTS if one["kind"] == "NetworkPolicy"}
    assert policies.pop("nobody") == {"podSelector": {}, "policyTypes": ["Ingress"]}
    labels = [found for _, _, found in pods()]

    def matches(selector: dict[str, str]) -> bool:
        return any(selector.items() <= found.items() for found in labels)

    for name, policy in policies.items():
        assert matches(policy["podSelector"]["matchLabels"]), name
        for rule in policy["ingress"]:
            assert rule["from"], f"{name}: a rule without `from` opens to everybody"
            for source in rule["from"]:
                if "podSelector" in source:
                    assert matches(source["podSelector"]["matchLabels"]), f"{name}: {source} names no pod"
    services = [one for one in MANIFESTS if one["kind"] == "Service"]
    assert {one["spec"]["type"] for one in services} == {"ClusterIP"}
