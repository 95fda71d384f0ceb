"""What a look at some files decides about a set, and what of it stays in the store."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segscale.errors import ConfigError
from segscale.flows import survey as surveys
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.dataset import catalog_name, list_dataset
from segscale.flows.run import Run
from segscale.flows.survey import check_as_counted
from segscale.storage.readings import read_reading
from segscale.storage.sources import read_file
from segscale.tasks.readers import NO_CHOICE
from tests.tasks.readers.nifti_made import nifti


def draw(folder: Path, role: str, files: Sequence[Any]) -> None:
    (folder / role).mkdir(exist_ok=True)
    for number, values in enumerate(files):
        pixels = np.resize(np.asarray(values), (4, 6))
        if pixels.dtype.kind == "f":
            np.save(folder / role / f"case{number:03}.npy", pixels)
        else:
            Image.fromarray(pixels).save(folder / role / f"case{number:03}.png")


def config_of(folder: Path, **sections: dict[str, Any]) -> EvaluationConfig:
    dataset = {"name": "set", "images": "images/*", "references": "masks/*", **sections.pop("dataset", {})}
    predictions = {"path": "preds/*"} if (folder / "preds").exists() else {}
    document = {"dataset": dataset, "store": {"path": "store"}, **sections}
    document["predictions"] = {**predictions, **sections.get("predictions", {})}
    return parse_config(document, base=folder, source="test")


def two(white: int = 255) -> Any:
    return np.array([0, white], np.uint8)


GREY = np.array([0, 255], np.uint8)


@pytest.mark.parametrize(
    ("masks", "dataset", "expected"),
    [
        pytest.param([two(), two(1)], {}, ((), True), id="full scale"),
        pytest.param([two(7), two(0)], {}, ((0, 7), True), id="another value"),
        pytest.param([two(7), two(9)], {"foreground": "any"}, ((), False), id="instances as asked for"),
        pytest.param([two(7), two(9)], {"label_values": [7, 9]}, ((7, 9), False), id="configured: not looked at"),
        pytest.param([two(1), two(2)], {"classes": ["b", "x", "y"]}, ((), False), id="three classes"),
    ],
)
def test_values_of_the_references(
    tmp_path: Path, masks: list[Any], dataset: dict[str, Any], expected: tuple[tuple[int, ...], bool]
) -> None:
    draw(tmp_path, "images", [GREY] * len(masks))
    draw(tmp_path, "masks", masks)
    reading = Run(config_of(tmp_path, dataset=dataset)).look().reading
    assert (reading.label_values, reading.labels_found) == expected


def test_predictions_share_the_values_unless_they_have_their_own(tmp_path: Path) -> None:
    draw(tmp_path, "images", [GREY] * 2)
    draw(tmp_path, "masks", [two(), two()])
    draw(tmp_path, "preds", [two(), two(2)])
    with pytest.raises(ConfigError, match=r"prediction case001\.png has 2"):
        Run(config_of(tmp_path)).look()
    run = Run(config_of(tmp_path, predictions={"label_values": [0, 2]}))
    assert run.counting.labels.values == (0, 2)  # noqa: PD011  # no frame
    assert (run.preparation.labels.values, run.preparation.labels.found) == ((), True)  # noqa: PD011


@pytest.mark.parametrize(
    ("predictions", "asked", "expected"),
    [
        pytest.param(
            [np.array([0, 1], np.float32), np.array([0, 0.5], np.float32)], "auto", ("floats", True), id="probabilities"
        ),
        pytest.param(
            [np.array([0, 1], np.float32), np.array([0, 255], np.float32)], "auto", ("labels", True), id="labels"
        ),
        pytest.param([np.array([0, 1], np.float32), two()], "labels", ("labels", False), id="labels as asked for"),
        pytest.param([two(99), two(200)], "probabilities", ("probabilities", False), id="grey values as asked for"),
    ],
)
def test_kind_of_the_predictions(
    tmp_path: Path, predictions: list[Any], asked: str, expected: tuple[str, bool]
) -> None:
    draw(tmp_path, "images", [GREY] * 2)
    draw(tmp_path, "masks", [two(), two()])
    draw(tmp_path, "preds", predictions)
    counting = Run(config_of(tmp_path, predictions={"kind": asked})).counting
    assert (counting.kind, counting.kind_found) == expected


def test_files_are_taken_from_the_whole_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "FILES", 5)
    draw(tmp_path, "images", [GREY] * 41)
    draw(tmp_path, "masks", [two()] * 40 + [two(3)])
    looked_at: list[str] = []

    def noted(url: str) -> bytes:
        looked_at.append(url[-11:-4])
        return read_file(url)

    monkeypatch.setattr(surveys, "read_source", noted)
    with pytest.raises(ConfigError, match=r"case040\.png has 3"):
        Run(config_of(tmp_path, dataset={"normalize": "zscore"})).look()
    assert sorted(looked_at) == ["case000", "case010", "case020", "case030", "case040"]


def test_a_set_of_much_background_is_looked_at_until_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "FILES", 3)
    draw(tmp_path, "images", [GREY] * 30)
    draw(tmp_path, "masks", [two(0)] * 17 + [two(9)] + [two(0)] * 12)
    assert Run(config_of(tmp_path)).look().reading.label_values == (0, 9)


@pytest.mark.parametrize(
    ("most", "at_once", "expected"),
    [
        pytest.param(5 * 24, 47, 6, id="one at a time, until it is more than that"),
        pytest.param(5 * 24, 48, 7, id="one, then two at a time"),
        pytest.param(2**20, 2**20, 12, id="small ones are all looked at"),
        pytest.param(0, 2**20, 9, id="one, then as many as are small"),
        pytest.param(0, 0, 2, id="two at least"),
    ],
)
def test_few_large_volumes_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, at_once: int, expected: int
) -> None:
    paths = [tmp_path / f"case{number:02}.nii.gz" for number in range(12)]
    for path in paths:
        path.write_bytes(gzip.compress(nifti(np.resize(np.array([0, 9], np.uint8), (2, 3, 4)))))
    monkeypatch.setattr(surveys, "MOST_VOXEL_BYTES", most)
    monkeypatch.setattr(surveys, "_TOGETHER_BYTES", at_once)
    looked_at: list[str] = []

    def noted(url: str) -> bytes:
        looked_at.append(url)
        return read_file(url)

    monkeypatch.setattr(surveys, "read_source", noted)
    listing = pd.DataFrame({"reference": [f"file://{path}" for path in paths], "reference_version": "1"})
    files = surveys._some_labels(listing, "reference", NO_CHOICE)
    assert {one.labels for one in files} == {(9,)}
    assert len(files) == len(looked_at) == expected


def test_files_that_cannot_be_read_are_left_to_the_stages(tmp_path: Path) -> None:
    draw(tmp_path, "images", [GREY] * 2)
    draw(tmp_path, "masks", [two(), two(7)])
    (tmp_path / "masks/case000.png").write_bytes(b"torn")
    assert Run(config_of(tmp_path)).look().reading.label_values == (0, 7)


def test_what_was_found_is_kept_for_the_same_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, "images", [GREY] * 2)
    draw(tmp_path, "masks", [two(), two()])
    config = config_of(tmp_path)
    looked = Run(config).look()
    looked.keep(config.store.open())
    with monkeypatch.context() as patch:
        patch.setattr(surveys, "read_source", lambda _: pytest.fail("a file was read again"))
        assert Run(config).look() == replace(looked, is_kept=True)
        assert Run(config).reading == looked.reading, "a command that lists nothing"
    draw(tmp_path, "masks", [two(5), two(5)])
    assert Run(config).look().reading.label_values == (0, 5)


def test_a_damaged_reading_is_found_again(tmp_path: Path) -> None:
    draw(tmp_path, "images", [GREY])
    draw(tmp_path, "masks", [two(8)])
    config = config_of(tmp_path)
    looked, store, name = Run(config).look(), config.store.open(), catalog_name(config, scored=True)
    looked.keep(store)
    path = f"catalog/{name}.json"
    store.write(path, store.read(path).replace(b"8", b"9"))
    assert read_reading(store, name) is None
    assert Run(config).reading == looked.reading


@pytest.mark.parametrize(
    ("images", "dataset", "warned"),
    [
        pytest.param([np.array([0, 4095], np.uint16), np.array([3, 900], np.uint16)], {}, True, id="12 bits in 16"),
        pytest.param(
            [np.array([0, 4095], np.uint16), np.array([3, 5000], np.uint16)], {}, False, id="one image reaches further"
        ),
        pytest.param([np.array([0, 4095], np.uint16)], {"full_scale": 4095}, False, id="configured"),
        pytest.param([np.array([0, 4095], np.uint16)], {"normalize": "zscore"}, False, id="no full scale is used"),
        pytest.param([np.array([0, 12], np.uint8)], {}, True, id="nearly black"),
        pytest.param([np.array([0, 0.01], np.float32)], {}, False, id="floats"),
    ],
)
def test_dark_sets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, images: list[Any], dataset: dict[str, Any], warned: bool
) -> None:
    draw(tmp_path, "images", images)
    draw(tmp_path, "masks", [two()] * len(images))
    with caplog.at_level(logging.WARNING, "segscale"):
        Run(config_of(tmp_path, dataset=dataset)).look()
    assert ("dataset.full_scale" in caplog.text) is warned


def test_a_stage_of_its_own_wants_the_files_of_the_last_ingest(tmp_path: Path) -> None:
    draw(tmp_path, "images", [GREY] * 2)
    draw(tmp_path, "masks", [two(), two()])
    draw(tmp_path, "preds", [two(), two()])
    config = config_of(tmp_path)
    store = config.store.open()
    check_as_counted(config, store, list_dataset(config).images, scored=True)
    Run(config).look().keep(store)
    check_as_counted(config, store, list_dataset(config).images, scored=True)
    draw(tmp_path, "preds", [two(1)])
    with pytest.raises(ConfigError, match="have changed since the last score; segscale score"):
        check_as_counted(config, store, list_dataset(config).images, scored=True)
