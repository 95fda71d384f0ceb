"""What a worker finds, and how it is said; real workers are asked in tests/end_to_end/test_dask_programs.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from segscale.errors import ConfigError, StoreUnusableError
from segscale.flows.cluster.needs import Needs, needs_of
from segscale.flows.cluster.preflight import (
    answer_probe,
    check_workers,
    describe_difference,
    own_versions,
    probe_name,
)  # fmt: skip
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import parse_config
from segscale.storage.objects import ObjectStore

TOKEN = "aa"


def test_inputs_are_the_local_ones_and_of_globs_the_folder(tmp_path: Path) -> None:
    files = {"name": "a", "images": "sets/*/images/*.png", "references": "s3://bucket/*.png"}
    document = {"dataset": files, "model": {"path": "model.keras"}, "store": {"path": "work"}}
    needs = needs_of(parse_config(document, base=tmp_path, source=""))
    assert needs == Needs(str(tmp_path / "work"), (str(tmp_path / "sets"), str(tmp_path / "model.keras")))


def test_a_bundled_model_is_no_file(tmp_path: Path) -> None:
    document = {"dataset": {"name": "a", "manifest": "m.csv"}, "model": {"path": "phantom"}}
    assert needs_of(parse_config(document, base=tmp_path, source="")).inputs == (str(tmp_path / "m.csv"),)


def test_a_worker_in_the_same_store_says_its_versions_and_leaves_nothing(tmp_path: Path) -> None:
    store = ObjectStore(str(tmp_path / "store"))
    store.write(probe_name(TOKEN), TOKEN.encode())
    answer = answer_probe(TOKEN, Needs(store.url, (str(tmp_path),)))
    assert answer.complaint == ""
    assert answer.versions == own_versions()
    assert {"python", "numpy", "segscale", "segscale code"} <= set(answer.versions)
    assert [path.name for path in Path(store.url).iterdir()] == [probe_name(TOKEN)]


def test_another_folder_at_the_same_place_is_noticed(tmp_path: Path) -> None:
    store = ObjectStore(str(tmp_path))
    store.write(probe_name("bb"), b"bb")
    assert "sees another store at" in answer_probe(TOKEN, Needs(store.url)).complaint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"does not see {tmp_path}/images" in answer_probe(TOKEN, Needs("", (f"{tmp_path}/images",))).complaint


def test_a_store_without_conditional_writes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(str(tmp_path))
    store.write(probe_name(TOKEN), TOKEN.encode())

    def refuse(*_: object) -> bool:
        raise PermissionError("read-only")

    monkeypatch.setattr(ObjectStore, "create_exclusive", refuse)
    with pytest.raises(StoreUnusableError, match=f"cannot use the store {tmp_path}: read-only"):
        answer_probe(TOKEN, Needs(store.url))


def test_a_store_that_lets_two_create_one_object_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(str(tmp_path))
    store.write(probe_name(TOKEN), TOKEN.encode())
    monkeypatch.setattr(ObjectStore, "create_exclusive", lambda *_: True)
    assert "an object was created twice" in answer_probe(TOKEN, Needs(store.url)).complaint


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        pytest.param({"python": "3.11", "numpy": "2.4"}, "", id="alike"),
        pytest.param({"python": "3.11", "numpy": "2.3"}, "has numpy 2.3 (the driver 2.4)", id="another numpy"),
        pytest.param({"python": "3.11"}, "has numpy missing (the driver 2.4)", id="none"),
        pytest.param(
            {"python": "3.12", "numpy": "2.3"},
            "has python 3.12 (the driver 3.11), numpy 2.3 (the driver 2.4)",
            id="two",
        ),
    ],
)
def test_differences_name_both_sides(theirs: dict[str, str], said: str) -> None:
    assert describe_difference(theirs, {"python": "3.11", "numpy": "2.4"}) == said


@pytest.mark.parametrize("n_threads", [1, 4])
def test_workers_have_one_thread(n_threads: int) -> None:
    options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(n_workers=1, threads_per_worker=n_threads, **options) as cluster, Client(cluster) as client:
        asked = Cluster(kind="address", address=cluster.scheduler_address)
        if n_threads == 1:
            check_workers(client, asked, Needs())
            return
        with pytest.raises(
            ConfigError, match=r"expected workers of one thread.*tcp://.* has 4; start it with --nthreads"
        ):
            check_workers(client, asked, Needs())
