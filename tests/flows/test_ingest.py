"""The catalog of a set whose files are all known: no worker is asked."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.dataset import catalog_name, list_dataset
from segscale.flows.ingest import plan_catalog
from segscale.flows.run import Run
from segscale.storage import tables
from segscale.storage.catalog import MEMORY_COLUMNS, SourceMemory, catalog_path
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import Held, quarantine
from segscale.tasks import scan, shard_plan

NOBODY: Any = SimpleNamespace(stream=lambda *_, **__: pytest.fail("a worker was asked"))


@pytest.fixture
def config(tmp_path: Path) -> EvaluationConfig:
    for role in ("images", "masks"):
        (tmp_path / role).mkdir()
        for number in range(3):
            save(tmp_path / role / f"case{number}.png", number)
    dataset = {"name": "set", "images": "images/*.png", "references": "masks"}
    sections = {"dataset": dataset, "model": {"path": "nuclei"}, "store": {"path": "store"}}
    return parse_config(sections, base=tmp_path, source="test")


def save(path: Path, value: int) -> None:
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)


def look_at_all(config: EvaluationConfig) -> ObjectStore:
    """What the workers of an ingest find, remembered."""
    listing, store = list_dataset(config).images, config.store.open()
    facts = []
    for role in ("image", "reference"):
        facts += scan.inspect_files(role, list(zip(listing[role], listing[f"{role}_version"], strict=True)))
    frame = pd.DataFrame([asdict(fact) for fact in facts], columns=list(MEMORY_COLUMNS))
    SourceMemory(store, scan.CODE_VERSION).remember(frame)
    return store


def looked_at(config: EvaluationConfig) -> Run:
    look_at_all(config)
    return Run(config, workers=NOBODY)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every planning."""
    calls: list[int] = []
    plan_shards = shard_plan.plan_shards

    def plan(*arguments: Any) -> pd.DataFrame:
        calls.append(1)
        return plan_shards(*arguments)

    monkeypatch.setattr(shard_plan, "plan_shards", plan)
    return calls


def test_what_is_unchanged_is_not_planned_again(config: EvaluationConfig, counted: list[int]) -> None:
    look_at_all(config)
    first = plan_catalog(Run(config, workers=NOBODY))
    pd.testing.assert_frame_equal(plan_catalog(Run(config, workers=NOBODY)), first)
    assert len(counted) == 1


def test_a_changed_image_is_planned_anew(config: EvaluationConfig, counted: list[int], tmp_path: Path) -> None:
    first = plan_catalog(looked_at(config))
    save(tmp_path / "images" / "case1.png", 200)
    again = plan_catalog(looked_at(config))
    assert len(counted) == 2
    assert (first["image_sha256"] == again["image_sha256"]).tolist() == [True, False, True]


def test_what_was_quarantined_since_is_planned_anew(config: EvaluationConfig, counted: list[int]) -> None:
    store = look_at_all(config)
    row = plan_catalog(Run(config, workers=NOBODY)).iloc[0]
    content = tuple(row[name] for name in shard_plan.CONTENT)
    quarantine(store, Held(row["image_id"], content, "ingest", "WorkerDied"))
    assert plan_catalog(Run(config, workers=NOBODY))["error_type"].tolist() == ["WorkerDied", "", ""]
    assert len(counted) == 2


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_catalog_is_planned_anew(config: EvaluationConfig, counted: list[int], damage: str) -> None:
    store = look_at_all(config)
    first = plan_catalog(Run(config, workers=NOBODY))
    path = catalog_path(catalog_name(config))
    data = store.read(path)
    if damage == "altered":
        table = pq.read_table(io.BytesIO(data))
        store.write(path, tables.encode_table(table.slice(1)))
        assert tables.note(store.read(path), "planned_from") == tables.note(data, "planned_from") != ""
    else:
        store.write(path, data[:200])
    pd.testing.assert_frame_equal(plan_catalog(Run(config, workers=NOBODY)), first)
    assert len(counted) == 2
