"""A folder for each case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.layouts.made_sets import listed, places, refused, told
from tests.storage.made_files import make

LAYOUT = {"layout": "cases", "references": "cases"}
TOTAL = ("s1/ct.nii.gz", "s1/segmentations/liver.nii.gz", "s1/segmentations/spleen.nii.gz", "s2/ct.nii.gz",
         "s2/segmentations/liver.nii.gz")  # fmt: skip


@pytest.mark.parametrize("below", ["segmentations/", ""])
def test_a_file_for_each_structure(tmp_path: Path, below: str) -> None:
    """Each structure of each case is a row; TotalSegmentator writes predictions with or without the folder."""
    make(tmp_path / "cases", *TOTAL)
    make(tmp_path / "p", f"s1/{below}liver.nii.gz", f"s2/{below}liver.nii.gz", f"s2/{below}heart.nii.gz")
    listing = listed(
        tmp_path, LAYOUT, predictions={"path": "p"}, metrics={"group_by": ["structure"], "cluster_by": "case"}
    )
    assert list(listing.images["image_id"]) == ["s1/liver", "s1/spleen", "s2/liver"]
    assert list(listing.images["case"]) == ["s1", "s1", "s2"]
    assert list(listing.images["structure"]) == ["liver", "spleen", "liver"]
    assert places(listing, "reference", tmp_path)[1] == "cases/s1/segmentations/spleen.nii.gz"
    assert places(listing, "prediction", tmp_path) == [f"p/s1/{below}liver.nii.gz", "", f"p/s2/{below}liver.nii.gz"]
    assert told(listing) == [
        "predictions: 1 reference has none: s1/spleen",
        f"predictions: 1 has no reference: s2/{below}heart.nii.gz",
    ]


def test_cases_without_structures_are_said(tmp_path: Path) -> None:
    make(tmp_path / "cases", *TOTAL, "s3/ct.nii.gz")
    make(tmp_path / "p", "s1/liver.nii.gz")
    listing = listed(tmp_path, LAYOUT, predictions={"path": "p"})
    assert "references: 1 folder without segmentations left out: s3" in told(listing)


@pytest.mark.parametrize(
    ("files", "image", "mask"),
    [
        pytest.param(["image.nii.gz", "mask.nii.gz"], "image.nii.gz", "mask.nii.gz", id="image and mask"),
        pytest.param(["ct.nrrd", "ct.seg.nrrd"], "ct.nrrd", "ct.seg.nrrd", id="as Slicer calls them"),
        pytest.param(["a.nrrd", "b.nrrd"], None, None, id="names that say nothing"),
        pytest.param(["ct.nrrd", "seg.nrrd"], "ct.nrrd", "seg.nrrd", id="seg"),
        pytest.param(["c1_t1.png", "c1_seg.png"], "c1_t1.png", "c1_seg.png", id="with the name of the case"),
        pytest.param(["a.nii.gz", "label.nii.gz"], "a.nii.gz", "label.nii.gz", id="the other is the image"),
        pytest.param(
            ["ct.png", "mask.png", "pred_mask.png", "readme.txt"], "ct.png", "mask.png", id="a prediction is neither"
        ),
        pytest.param(["t1.png", "flair.png", "mask.png"], None, "mask.png", id="two images"),
        pytest.param(["ct.png", "flair.png", "mask.png"], "ct.png", "mask.png", id="one is called an image"),
        pytest.param(["ct.png", "mask.png", "gt.png"], "ct.png", None, id="two masks"),
    ],
)
def test_the_files_of_a_case(tmp_path: Path, files: list[str], image: str | None, mask: str | None) -> None:
    make(tmp_path / "cases/c1", *files)
    if image is None or mask is None:
        message = refused(tmp_path, LAYOUT)
        assert message.startswith("dataset.references: ")
        assert ("expected one" if mask or image else "found none") in message
        return
    listing = listed(tmp_path, LAYOUT)
    assert list(listing.images["image_id"]) == ["c1"]
    assert places(listing, "image", tmp_path / "cases/c1") == [image]
    assert places(listing, "reference", tmp_path / "cases/c1") == [mask]


@pytest.mark.parametrize("predictions", ["{}.nii.gz", "{}/out.nii.gz"])
def test_predictions_are_called_as_the_case(tmp_path: Path, predictions: str) -> None:
    for case in ("c1", "c2"):
        make(tmp_path, f"cases/{case}/image.nii.gz", f"cases/{case}/mask.nii.gz", f"p/{predictions.format(case)}")
    listing = listed(tmp_path, LAYOUT, predictions={"path": "p"})
    assert places(listing, "prediction", tmp_path) == [f"p/{predictions.format(case)}" for case in ("c1", "c2")]
    assert set(listing.images["image"]) == {""}


@pytest.mark.parametrize(
    ("dataset", "sections", "words"),
    [
        pytest.param({}, {}, "a network predicts all in one", id="structures and a network"),
        pytest.param({"references": "cases/*"}, {}, "expected the folder of all cases", id="a pattern"),
        pytest.param(
            {}, {"predictions": {"path": "flat"}}, "expected a folder for each case", id="one prediction a case"
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, dataset: dict[str, Any], sections: dict[str, Any], words: str) -> None:
    make(tmp_path, *(f"cases/{name}" for name in TOTAL), "flat/s1.nii.gz")
    assert words in refused(tmp_path, LAYOUT | dataset, **sections)
