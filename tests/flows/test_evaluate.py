"""The main job while the data set changes under it: a run ends with the catalog that it began with."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from PIL import Image

from segscale.flows import evaluate
from segscale.flows.cluster.connection import Connection
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.dataset import RunCatalog, require_catalog
from segscale.flows.ingest import plan_catalog
from segscale.flows.score import run_score

pytestmark = pytest.mark.slow
N_IMAGES, N_ADDED = 4, 2


def draw(folder: Path, start: int, count: int) -> None:
    numbers = np.random.default_rng(start)
    for role in ("images", "masks", "predictions"):
        (folder / role).mkdir(exist_ok=True)
        for number in range(start, start + count):
            pixels = numbers.integers(0, 256 if role == "images" else 2, (32, 32), np.uint8)
            Image.fromarray(pixels).save(folder / role / f"case_{number}.png")


@pytest.fixture
def config(tmp_path: Path) -> EvaluationConfig:
    draw(tmp_path, 0, N_IMAGES)
    document = {
        "dataset": {"name": "d", "images": "images/*.png", "references": "masks"},
        "predictions": {"path": "predictions/*.png"},
        "metrics": {"bootstrap": 0},
        "store": {"path": "store"},
        "report": {"path": "reports"},
    }
    return parse_config(document, base=tmp_path, source="test")


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        document = {
            "dataset": {"name": "d", "images": "x", "references": "x"},
            "cluster": {"kind": "address", "address": cluster.scheduler_address},
        }
        with Connection(parse_config(document, base=Path("/"), source="test").cluster) as connection:
            yield connection


def test_a_run_ends_with_the_catalog_that_it_began_with(
    config: EvaluationConfig, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lent:
        def __init__(self, *_: Any) -> None: ...

        def __enter__(self) -> Connection:
            return connection

        def __exit__(self, *_: object) -> None: ...

    def score_later(*arguments: Any) -> Any:
        # Another driver finds two images more, and has written its catalog but no shard yet.
        draw(tmp_path, N_IMAGES, N_ADDED)
        plan_catalog(config, config.store.open(), connection)
        return run_score(*arguments)

    monkeypatch.setattr(evaluate, "Connection", Lent)
    monkeypatch.setattr(evaluate, "_stage", lambda _name, body, **_: body)
    monkeypatch.setattr(evaluate, "run_score", score_later)
    result = evaluate.evaluate_dataset.fn(config)
    assert (result.n_images, result.n_failed, result.reused) == (N_IMAGES, 0, False)
    assert len(require_catalog(config, config.store.open())) == N_IMAGES + N_ADDED, "the other driver's catalog stands"

    monkeypatch.setattr(evaluate, "run_score", run_score)
    assert evaluate.evaluate_dataset.fn(config).n_images == N_IMAGES + N_ADDED


def test_a_catalog_is_read_by_its_name_once(monkeypatch: pytest.MonkeyPatch, config: EvaluationConfig) -> None:
    read: list[str] = []

    def read_by_name(*_: Any) -> pd.DataFrame:
        read.append("once")
        return pd.DataFrame({"image_id": ["stored"]})

    monkeypatch.setattr("segscale.flows.dataset.require_catalog", read_by_name)
    catalog = RunCatalog(config)
    assert catalog.get() is catalog.get()
    assert read == ["once"]


def test_the_catalog_before_ends_before_another_is_planned(config: EvaluationConfig) -> None:
    catalog = RunCatalog(config, pd.DataFrame({"image_id": ["before"]}))
    before = weakref.ref(catalog.get())

    def plan() -> pd.DataFrame:
        gc.collect()
        assert before() is None, "two catalogs are held at once"
        return pd.DataFrame({"image_id": ["after"]})

    assert catalog.renew(plan) is catalog.get()
    assert list(catalog.get()["image_id"]) == ["after"]
