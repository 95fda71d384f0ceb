"""Configurations proposed from folders: they load, and say what was assumed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import load_config
from segscale.flows.dataset import list_dataset
from segscale.flows.draft import draft, manifest_columns
from segscale.flows.preview import preview
from tests.drawn_pairs import IDS, disc, draw, save


def drafted(folder: Path, *names: str) -> tuple[dict[str, Any], str]:
    """The draft for a file beside the data, as it is read, and as it is written."""
    proposed = draft([str(folder / name) for name in names or (".",)], str(folder))
    assert proposed.undecided == ()
    (folder / "drafted.toml").write_text(proposed.text, encoding="utf-8")
    return tomllib.loads(proposed.text), proposed.text


LAYOUTS = [
    pytest.param({"reference": "masks/{id}.png", "prediction": "preds/{id}.npy"}, id="folders"),
    pytest.param({"reference": "{id}_mask.png", "prediction": "{id}_pred.png"}, id="flat, with suffixes"),
    pytest.param({"reference": "masks/{id}_mask.png", "prediction": "preds/{id}_pred.png"}, id="suffixes in folders"),
    pytest.param({"reference": "{id}/mask.png", "prediction": "{id}/pred.png"}, id="a folder a case"),
    pytest.param({"reference": "{id}/{id}_mask.png", "prediction": "{id}/{id}_pred.png"}, id="a case's name twice"),
]


@pytest.mark.parametrize("places", LAYOUTS)
def test_a_draft_loads_and_pairs_all_without_editing(tmp_path: Path, places: dict[str, str]) -> None:
    folder = draw(tmp_path / "liver", places)
    drafted(folder)
    config = load_config(folder / "drafted.toml")
    listing = list_dataset(config).images
    assert listing["image_id"].tolist() == list(IDS)
    assert (listing["reference_version"] != "").all()
    assert (listing["prediction_version"] != "").all()
    assert config.dataset.name == "liver"
    assert [remark.text for remark in preview(config).remarks] == []


def test_what_was_assumed_stands_beside_each_key(tmp_path: Path) -> None:
    draw(tmp_path, {"image": "images/{id}.png", "reference": "masks/{id}.png"}, value=1)
    draw(tmp_path, {"prediction": "preds/{id}.png"}, IDS[1:], value=1)
    document, text = drafted(tmp_path)
    assert document["dataset"]["images"] == "images"
    assert document["predictions"] == {"path": "preds"}
    assert "12 files; 24x32, 1 channel, uint8; the folder is called images" in text
    assert "11 paired, 1 missing: case01" in text
    assert "12 references looked at hold 0, 1; the background first" in text


def test_a_manifest_with_semicolons_and_columns(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "m/{id}.png", "prediction": "p/{id}.png"})
    rows = [f"{name};m/{name}.png;p/{name}.png;{'AB'[number % 2]};{number}" for number, name in enumerate(IDS)]
    (tmp_path / "list.csv").write_text("\n".join(["image_id;reference;prediction;site;age", *rows]))
    assert manifest_columns(str(tmp_path / "list.csv")) == {"image_id", "reference", "prediction"}
    document, text = drafted(tmp_path)
    assert document["dataset"]["manifest"] == "list.csv"
    assert document["metrics"] == {"group_by": ["site"]}
    assert "12 references, 12 predictions" in text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_that_name_pairs(tmp_path: Path, encoding: str) -> None:
    for text, is_one in (
        ('"image_id"; reference ;x\n', True),
        ("sep=;\nimage_id\treference\n", True),
        ("id,age\n", False),
    ):
        (tmp_path / "t.csv").write_text(text, encoding=encoding)
        assert ({"image_id", "reference"} <= manifest_columns(str(tmp_path / "t.csv"))) is is_one


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1, 2, 3], {"classes": ["background", "class_1", "class_2", "class_3"]}, id="classes"),
        pytest.param(list(range(1, 30)), {"foreground": "any"}, id="objects"),
    ],
)
def test_label_values_become_keys(tmp_path: Path, values: list[int], expected: dict[str, Any]) -> None:
    for number, name in enumerate(IDS):
        pixels = disc(number, value=0)
        held = values if len(values) < 5 else values[: 4 + 2 * number]
        pixels[0, : len(held)] = held
        save(tmp_path / "labels" / f"{name}.png", pixels)
        save(tmp_path / "preds" / f"{name}.png", pixels)
    document, _ = drafted(tmp_path)
    assert document["dataset"].items() >= expected.items()


def test_what_only_the_user_knows_is_said_and_left_open(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png", "prediction": "preds/unet/{id}.png"})
    draw(tmp_path, {"prediction": "preds/other/{id}.png"})
    proposed = draft([str(tmp_path)], str(tmp_path))
    assert any(line.startswith("predictions.path: several places may be meant") for line in proposed.undecided)
    assert '# path = "preds/unet"' in proposed.text
    assert '# path = "preds/other"' in proposed.text
    assert "# To be decided: predictions.path" in proposed.text


def test_names_that_nothing_pairs_are_refused(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png"}, ("a", "b"))
    draw(tmp_path, {"prediction": "preds/{id}.png"}, ("x", "y"))
    with pytest.raises(ConfigError, match=r"predictions\.path"):
        draft([str(tmp_path)], str(tmp_path))


def test_a_contradiction_between_files_is_to_be_decided(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png"}, value=255)
    for number, name in enumerate(IDS):
        save(tmp_path / "preds" / f"{name}.png", disc(number, 1, value=77))
    proposed = draft([str(tmp_path)], str(tmp_path))
    assert len(proposed.undecided) == 1
    assert "predictions.label_values" in proposed.undecided[0]


RAW = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "disc": 1, "ignore": 9}, "file_ending": ".png"}


def _raw(folder: Path) -> None:
    places = {"image": "raw/imagesTr/{id}_0000.png", "reference": "raw/labelsTr/{id}.png", "prediction": "res/{id}.png"}
    draw(folder, places, value=1)
    for place in ("raw", "res"):
        (folder / place / "dataset.json").write_text(json.dumps(RAW))


@pytest.mark.parametrize(
    ("folders", "references"),
    [
        pytest.param(["raw", "res"], "raw", id="root and results"),
        pytest.param(["res", "raw"], "raw", id="in the other order"),
        pytest.param(["raw/labelsTr", "res"], "raw/labelsTr", id="labels and results"),
        pytest.param(["raw/imagesTr", "raw/labelsTr", "res"], "raw/labelsTr", id="images too, which are found by it"),
    ],
)
def test_a_layout_is_found(tmp_path: Path, folders: list[str], references: str) -> None:
    _raw(tmp_path)
    document, text = drafted(tmp_path, *folders)
    assert document["dataset"] == {
        "name": "raw",
        "layout": "nnunet",
        "references": references,
        "classes": ["background", "disc"],
        "label_values": [0, 1],
        "ignore_label": 9,
    } | ({"name": document["dataset"]["name"]})
    assert document["predictions"] == {"path": "res"}
    assert "12 files; 24x32, uint8; the folder that holds them" in text
    config = load_config(tmp_path / "drafted.toml")
    assert [remark.text for remark in preview(config).remarks] == []


def test_a_layout_without_predictions_is_left_open(tmp_path: Path) -> None:
    _raw(tmp_path)
    proposed = draft([str(tmp_path / "raw")], str(tmp_path))
    assert proposed.undecided == ("model.path: no predictions were found: name a network, or where predictions lie",)
    assert '# path = "model.keras"' in proposed.text
    proposed = draft([str(tmp_path / name) for name in ("raw", "res", "raw/..")], str(tmp_path))
    assert proposed.undecided[0].startswith("predictions.path: several places may be meant: ")


def test_structures_are_proposed_as_strata(tmp_path: Path) -> None:
    for number, structure in enumerate(("liver", "spleen")):
        for case in ("s1", "s2"):
            save(tmp_path / "cases" / case / "segmentations" / f"{structure}.png", disc(number, value=1))
            save(tmp_path / "out" / case / f"{structure}.png", disc(number, 1, value=1))
    document, _ = drafted(tmp_path, "cases", "out")
    assert document["dataset"]["layout"] == "cases"
    assert document["metrics"] == {"group_by": ["structure"], "cluster_by": "case"}
    assert load_config(tmp_path / "drafted.toml").metrics.group_columns == ("structure",)
