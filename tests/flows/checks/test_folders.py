"""Every flow asks its folders first: a deployed flow is started by no command line that has asked for it."""

from __future__ import annotations

import errno
import os
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow

from segscale import flows
from segscale.flows.checks.folders import check_folders
from segscale.flows.config.evaluation import ConfigError, EvaluationConfig, parse_config
from segscale.storage.objects import ObjectStore, StoreRefusedError


def all_flows() -> dict[str, Flow[Any, Any]]:
    """Every flow that is defined in `flows/`, by its name, also those that no table here knows yet."""
    modules = [import_module(module.name) for module in pkgutil.walk_packages(flows.__path__, "segscale.flows.")]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Flow)]
    return {flow.name: flow for flow in found}


FLOWS = all_flows()


@pytest.fixture
def config(tmp_path: Path) -> EvaluationConfig:
    for folder in ("images", "masks", "predictions"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"never read")
    document = {
        "dataset": {"name": "d", "images": "images/*.png", "references": "masks/*.png"},
        "predictions": {"path": "predictions/*.png"},
        "store": {"path": "store"},
        "report": {"path": "reports"},
    }
    return parse_config(document, base=tmp_path, source="test")


def refuse(_: ObjectStore) -> None:
    raise StoreRefusedError("the server overwrote an object")


def test_all_flows_are_found() -> None:
    expected = {"evaluate", "ingest", "predict", "score", "report", "repair"}
    assert set(FLOWS) == {f"{name}-dataset" for name in expected} | {"train-model"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_mistake_in_the_configuration(
    code: int, config: EvaluationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(_: ObjectStore) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(ObjectStore, "check_exclusive", is_full)
    with pytest.raises(OSError, match=rf"store\.path: .*store: {os.strerror(code)}") as raised:
        check_folders(config)
    assert raised.value.errno == code


@pytest.mark.parametrize("name", FLOWS)
def test_a_store_that_cannot_decide_between_drivers_is_refused_by_every_flow(
    name: str, config: EvaluationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectStore, "check_exclusive", refuse)
    monkeypatch.setattr(
        "segscale.flows.cluster.connection.Connection.__enter__", lambda _: pytest.fail("the cluster was asked for")
    )
    with pytest.raises(ConfigError, match=r"store\.path: .*the server overwrote an object"):
        FLOWS[name].fn(config)
    assert {path.name for path in tmp_path.iterdir()} == {"images", "masks", "predictions"}, "something was written"


@pytest.mark.parametrize("name", FLOWS)
def test_a_report_that_cannot_be_written_is_found_by_every_flow(
    name: str, config: EvaluationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reports").write_bytes(b"a file where the folder is to be")
    monkeypatch.setattr(
        "segscale.flows.cluster.connection.Connection.__enter__", lambda _: pytest.fail("the cluster was asked for")
    )
    with pytest.raises(ConfigError, match=r"report\.path: expected a folder or URL that can be written"):
        FLOWS[name].fn(config)


def test_a_store_of_a_single_driver_is_warned_of(
    config: EvaluationConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ObjectStore, "check_exclusive", refuse)
    monkeypatch.setattr("segscale.flows.checks.folders.logger.propagate", True)
    store = config.store.model_copy(update={"single_driver": True})
    check_folders(config.model_copy(update={"store": store}))
    assert "there must be no other driver on this store" in caplog.text


def test_nothing_is_left_of_the_look(config: EvaluationConfig, tmp_path: Path) -> None:
    check_folders(config)
    assert not [path for path in tmp_path.rglob("*") if "probe" in path.name]
