"""The catalog of a set whose files are all known: no worker is asked."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image

from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.dataset import catalog_name, list_dataset
from segscale.flows.ingest import plan_catalog
from segscale.flows.run import Run
from segscale.storage import tables
from segscale.storage.catalog import catalog_path
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import Held, quarantine
from segscale.storage.source_memory import MEMORY_COLUMNS, SourceMemory
from segscale.tasks import listed_facts, scan, shard_plan

NOBODY: Any = SimpleNamespace(stream=lambda *_, **__: pytest.fail("a worker was asked"))


@pytest.fixture
def config(tmp_path: Path) -> EvaluationConfig:
    for role in ("images", "masks"):
        (tmp_path / role).mkdir()
        for number in range(3):
            save(tmp_path / role / f"case{number}.png", number)
    dataset = {"name": "set", "images": "images/*.png", "references": "masks", "foreground": "any"}
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
    frame = pd.DataFrame(facts, columns=list(MEMORY_COLUMNS))
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

    def plan(*arguments: Any, **named: Any) -> pd.DataFrame:
        calls.append(1)
        return plan_shards(*arguments, **named)

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
    content = tuple(row[name] for name in listed_facts.CONTENT)
    quarantine(store, Held(row["image_id"], content, "ingest", "WorkerDied"))
    assert plan_catalog(Run(config, workers=NOBODY))["error_type"].tolist() == ["WorkerDied", "", ""]
    assert len(counted) == 2


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_catalog_is_planned_anew(config: EvaluationConfig, counted: list[int], damage: str) -> None:
    store = look_at_all(config)
    first = plan_catalog(Run(config, workers=NOBODY))
    path = catalog_path(catalog_name(config, scored=False))
    data = store.read(path)
    if damage == "altered":
        table = pq.read_table(io.BytesIO(data))
        store.write(path, tables.encode_table(table.slice(1)))
        assert tables.note(store.read(path), "planned_from") == tables.note(data, "planned_from") != ""
    else:
        store.write(path, data[:200])
    pd.testing.assert_frame_equal(plan_catalog(Run(config, workers=NOBODY)), first)
    assert len(counted) == 2


def said(config: EvaluationConfig, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "segscale"):
        plan_catalog(Run(config, workers=NOBODY))
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("ingest")]


def rewrite(folder: Path, number: int, pixels: Any, *tags: tuple[int, int]) -> None:
    """An image of the set as TIFF under the name of a PNG's stem."""
    (folder / f"case{number}.png").unlink(missing_ok=True)
    extra = [(tag, 3, 1, value, True) for tag, value in tags]
    tifffile.imwrite(folder / f"case{number}.tif", pixels, photometric="minisblack", extratags=extra)


def any_images(config: EvaluationConfig) -> EvaluationConfig:
    images = config.dataset.images.replace("*.png", "*")
    return config.model_copy(update={"dataset": config.dataset.changed(images=images)})


def test_roles_that_are_turned_unlike_are_named_in_every_run(
    config: EvaluationConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = any_images(config)
    look_at_all(config)
    assert said(config, caplog) == []
    rewrite(tmp_path / "masks", 1, np.zeros((4, 4), np.uint8), (274, 3))
    rewrite(tmp_path / "masks", 2, np.zeros((4, 4), np.uint8), (274, 1))
    look_at_all(config)
    first = said(config, caplog)
    assert len(first) == 1
    assert first[0].startswith("ingest: 0 of 3 images, 2 of 3 references carry an orientation")
    assert "'case1'" in first[0]
    assert said(config, caplog) == first, "unchanged"
    rewrite(tmp_path / "images", 1, np.zeros((4, 4), np.uint8), (274, 3))
    look_at_all(config)
    assert said(config, caplog) == [], "turned alike"


def test_what_files_state_of_their_full_scale_is_said_in_every_run(
    config: EvaluationConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = any_images(config)
    for number in range(3):
        rewrite(tmp_path / "images", number, np.full((4, 4), 7 * number, np.uint16), (281, 16383))
    look_at_all(config)
    for _ in range(2):
        assert said(config, caplog) == [
            "ingest: 3 images of type uint16: full scale 16383, as all that say something do (sBIT, MaxSampleValue)"
        ]
    rewrite(tmp_path / "images", 2, np.full((4, 4), 9, np.uint16))
    look_at_all(config)
    for _ in range(2):
        (sentence,) = said(config, caplog)
        assert "3 images of type uint16: 1 say nothing, 2 say 16383 is their largest value" in sentence
        assert "set dataset.full_scale" in sentence
    for changes in ({"full_scale": 16383.0}, {"normalize": "zscore"}):
        changed = config.model_copy(update={"dataset": config.dataset.changed(**changes)})
        assert said(changed, caplog) == [], "decided, or of no consequence"
