"""Every job asks its folders first, whoever starts it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ConfigError, StoreRefusedError
from segscale.flows import evaluate, ingest, predict, report, score, train
from segscale.flows.checks.folders import check_folders
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.maintenance import repair
from segscale.flows.workers import Workers
from segscale.storage.objects import ObjectStore

JOBS = {
    module.__name__.rpartition(".")[2]: module for module in (evaluate, ingest, predict, repair, report, score, train)
}


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


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of a job, whose other checks find nothing and whose workers must not be asked for."""
    module = JOBS[request.param]
    for name in ("require_catalog", "check_model"):
        monkeypatch.setattr(module, name, lambda *_, **__: None, raising=False)
    monkeypatch.setattr(Workers, "client", property(lambda _: pytest.fail("the cluster was asked for")))
    return module


def refuse(_: ObjectStore) -> None:
    raise StoreRefusedError("the server overwrote an object")


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


def test_a_store_that_cannot_decide_between_drivers_is_refused_by_every_job(
    job: Any, config: EvaluationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectStore, "check_exclusive", refuse)
    with pytest.raises(ConfigError, match=r"store\.path: .*the server overwrote an object"):
        job.run(config)
    assert {path.name for path in tmp_path.iterdir()} == {"images", "masks", "predictions"}, "something was written"


def test_a_report_that_cannot_be_written_is_found_by_every_job(
    job: Any, config: EvaluationConfig, tmp_path: Path
) -> None:
    (tmp_path / "reports").write_bytes(b"a file where the folder is to be")
    with pytest.raises(ConfigError, match=r"report\.path: expected a folder or URL that can be written"):
        job.run(config)


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
