"""The main job while the data set changes under it: a run ends with the catalog that it began with."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from PIL import Image

from segscale.flows import evaluate
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.dataset import require_catalog
from segscale.flows.layouts.listed import DatasetListing
from segscale.flows.run import Run
from segscale.flows.score import score_files
from segscale.flows.stage import StageSummary
from segscale.flows.workers import Workers

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
def workers() -> Iterator[Workers]:
    options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        document = {
            "dataset": {"name": "d", "images": "x", "references": "x"},
            "cluster": {"kind": "address", "address": cluster.scheduler_address},
        }
        with Workers(parse_config(document, base=Path("/"), source="test").cluster) as workers:
            yield workers


def test_a_run_ends_with_the_catalog_that_it_began_with(
    config: EvaluationConfig, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score_later(run: Run) -> StageSummary:
        # Another driver finds two images more, scores all, and has written its catalog.
        draw(tmp_path, N_IMAGES, N_ADDED)
        score_files(Run(config, workers=workers))
        return score_files(run)

    monkeypatch.setattr(evaluate, "Run", partial(Run, workers=workers))
    monkeypatch.setattr(evaluate, "score_files", score_later)
    result = evaluate.run(config)
    assert (result.n_images, result.n_failed, result.reused) == (N_IMAGES, 0, False)
    assert len(require_catalog(config, config.store.open(), scored=True)) == N_IMAGES, "whoever ends last, writes it"

    monkeypatch.setattr(evaluate, "score_files", score_files)
    assert evaluate.run(config).n_images == N_IMAGES + N_ADDED


def test_a_catalog_is_read_by_its_name_once(monkeypatch: pytest.MonkeyPatch, config: EvaluationConfig) -> None:
    read: list[str] = []

    def read_by_name(*_: Any, **__: Any) -> pd.DataFrame:
        read.append("once")
        return pd.DataFrame({"image_id": ["stored"]})

    monkeypatch.setattr("segscale.flows.run.require_catalog", read_by_name)
    run = Run(config)
    assert run.catalog is run.catalog
    assert read == ["once"]


def test_the_catalog_before_ends_before_another_is_planned(config: EvaluationConfig) -> None:
    run = Run(config)
    before = weakref.ref(run.renew_catalog(lambda: pd.DataFrame({"image_id": ["before"]})))

    def plan() -> pd.DataFrame:
        gc.collect()
        assert before() is None, "two catalogs are held at once"
        return pd.DataFrame({"image_id": ["after"]})

    assert run.renew_catalog(plan) is run.catalog
    assert list(run.catalog["image_id"]) == ["after"]


def test_files_are_listed_once_for_check_and_plan(monkeypatch: pytest.MonkeyPatch, config: EvaluationConfig) -> None:
    listings = [DatasetListing(pd.DataFrame({"image_id": [image_id]})) for image_id in ("first", "later")]
    monkeypatch.setattr("segscale.flows.run.list_dataset", lambda _: listings.pop(0))
    run = Run(config)
    assert run.listing() is run.listing() is run.take_listing()
    assert list(run.take_listing()["image_id"]) == ["later"], "a listing that was taken is held no longer"


def test_a_listing_is_taken_over(monkeypatch: pytest.MonkeyPatch, config: EvaluationConfig) -> None:
    listings = [DatasetListing(pd.DataFrame({"image_id": [image_id]})) for image_id in ("first", "later")]
    monkeypatch.setattr("segscale.flows.run.list_dataset", lambda _: listings.pop(0))
    before = Run(config)
    first = before.listing()
    assert Run(config, listed=before).listing() is first
    assert list(before.listing()["image_id"]) == ["later"], "a listing that was taken over is held once"
