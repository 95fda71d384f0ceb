"""Tasks of the Medical Segmentation Decathlon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.layouts.made_sets import configured, describe, listed, places, refused, told
from tests.storage.made_files import make

LAYOUT = {"layout": "msd", "references": "Task09_Spleen"}
RESULTS = {"path": "results"}


def _task(base: Path, *cases: str, **changed: Any) -> Path:
    folder = base / "Task09_Spleen"
    for case in cases:
        make(folder, f"imagesTr/{case}.nii.gz", f"labelsTr/{case}.nii.gz")
    pairs = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases]
    document = {
        "name": "Spleen", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "spleen"},
        "numTraining": len(cases), "numTest": 1, "training": pairs, "test": ["./imagesTs/spleen_1.nii.gz"],
    }  # fmt: skip
    return describe(folder, document, **changed)


def test_pairs_for_a_network(tmp_path: Path) -> None:
    _task(tmp_path, "spleen_10", "spleen_2")
    listing = listed(tmp_path, LAYOUT)
    assert list(listing.images["image_id"]) == ["spleen_10", "spleen_2"]
    assert places(listing, "image", tmp_path / "Task09_Spleen") == [
        "imagesTr/spleen_10.nii.gz",
        "imagesTr/spleen_2.nii.gz",
    ]
    assert places(listing, "reference", tmp_path / "Task09_Spleen")[0] == "labelsTr/spleen_10.nii.gz"
    assert configured(tmp_path, LAYOUT).dataset.classes == ("background", "spleen")


@pytest.mark.parametrize("references", ["Task09_Spleen", "Task09_Spleen/labelsTr"])
def test_existing_predictions(tmp_path: Path, references: str) -> None:
    _task(tmp_path, "a", "b")
    make(tmp_path, "results/a.nii.gz")
    listing = listed(tmp_path, LAYOUT | {"references": references}, predictions=RESULTS)
    assert places(listing, "prediction", tmp_path) == ["results/a.nii.gz", ""]
    assert set(listing.images["image"]) == {""}
    assert told(listing) == [
        f"{tmp_path}/Task09_Spleen/dataset.json: classes background (0), spleen (1)",
        "predictions: 1 reference has none: b",
    ]


def test_images_and_labels_may_be_called_otherwise(tmp_path: Path) -> None:
    pair = {"image": "x/scan7.nii.gz", "label": "y/case_7.nii.gz"}
    make(_task(tmp_path, training=[pair]), "x/scan7.nii.gz", "y/case_7.nii.gz")
    listing = listed(tmp_path, LAYOUT)
    assert list(listing.images["image_id"]) == ["case_7"]
    assert places(listing, "image", tmp_path) == ["Task09_Spleen/x/scan7.nii.gz"]


def test_what_is_listed_and_not_there(tmp_path: Path) -> None:
    folder = _task(tmp_path, "a", "b")
    (folder / "labelsTr/b.nii.gz").unlink()
    make(folder, "labelsTr/c.nii.gz", "labelsTr/readme.txt")
    listing = listed(tmp_path, LAYOUT)
    assert places(listing, "reference", tmp_path) == ["Task09_Spleen/labelsTr/a.nii.gz", ""]
    assert "references: 1 file that dataset.json lists not there: labelsTr/b.nii.gz" in told(listing)
    assert "references: 1 file that dataset.json does not list left out: labelsTr/c.nii.gz" in told(listing)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"training": []}, "training: expected pairs of an image and a label, found none", id="no pairs"),
        pytest.param(
            {"training": [{"image": "imagesTr/x.nii.gz", "label": "labelsTr/x.nii.gz"}]},
            "none of the references that it lists is there, such as labelsTr/x.nii.gz",
            id="nothing of it is there",
        ),
        pytest.param(
            {"training": [{"image": f"imagesTr/{name}.nii.gz", "label": f"{name}/a.nii.gz"} for name in "pq"]},
            "p/a.nii.gz and q/a.nii.gz are both references of 'a'",
            id="two label maps of one name",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    make(_task(tmp_path, "a", **changed), "p/a.nii.gz", "q/a.nii.gz")
    message = refused(tmp_path, LAYOUT)
    assert message.startswith("dataset.references: ")
    assert words in message
