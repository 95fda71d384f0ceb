"""What is asked of Kubernetes; none runs here."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from dask_kubernetes.operator import KubeCluster, make_cluster_spec

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows.checks.cluster import check_cluster
from segscale.flows.cluster.kubernetes import pod_options
from segscale.flows.config.cluster import Cluster
from segscale.flows.workers import Workers

POD = Cluster(kind="kubernetes", workers=3, cores=4, memory="8GB", image="registry/segscale:1", namespace="lab")
SPEC = {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "metadata": {"name": "mine"}, "spec": {}}


def write_spec(folder: Path, text: str) -> Cluster:
    path = folder / "daskcluster.yaml"
    path.write_text(text)
    return Cluster(kind="kubernetes", spec=str(path))


def test_kube_cluster_takes_what_it_is_given(tmp_path: Path) -> None:
    for config in (POD, write_spec(tmp_path, json.dumps(SPEC))):
        inspect.signature(KubeCluster).bind(**pod_options(config))


def test_a_pod_is_what_the_configuration_asks_for() -> None:
    options = pod_options(POD)
    names = ("name", "image", "n_workers", "resources", "worker_command", "env")
    worker = make_cluster_spec(**{name: options[name] for name in names})["spec"]["worker"]
    assert worker["replicas"] == 3
    (container,) = worker["spec"]["containers"]
    assert container["image"] == "registry/segscale:1"
    assert (
        container["resources"]["limits"] == container["resources"]["requests"] == {"cpu": "4", "memory": "8000000000"}
    )
    assert container["args"][:4] == ["dask", "worker", "--nthreads", "1"]
    assert container["env"] == [{"name": "SEGSCALE_THREADS", "value": "4"}]
    assert options["namespace"] == "lab"


def test_two_runs_have_two_clusters() -> None:
    assert pod_options(POD)["name"] != pod_options(POD)["name"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("a: [", "expected a YAML file", id="no YAML"),
        pytest.param("kind: Pod\nmetadata: {name: a}", "expected a DaskCluster .* got Pod", id="another resource"),
        pytest.param("kind: DaskCluster", "with metadata.name", id="no name"),
        pytest.param("[]", "got list", id="a list"),
    ],
)
def test_a_spec_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check_cluster(write_spec(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_spec_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a YAML file"):
        check_cluster(Cluster(kind="kubernetes", spec=str(tmp_path / "none.yaml")))


@pytest.mark.slow
def test_a_kubernetes_that_does_not_answer_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "none", "context": {"cluster": "none", "user": "none", "namespace": "lab"}}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "none", "clusters": [entry],
                "contexts": [context], "users": [{"name": "none", "user": {}}],
            }
        )
    )  # fmt: skip
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    config = Cluster(kind="kubernetes", workers=1, image="i", wait_seconds=5)
    with Workers(config) as workers, pytest.raises(ClusterLostError, match="Kubernetes started no Dask cluster"):
        assert workers.client
