"""Layouts that are found by looking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ConfigError
from segscale.flows.layouts.look import layout_of
from tests.flows.layouts.made_dicom import seg, series
from tests.flows.layouts.made_sets import LESION, RAW, describe, raw
from tests.storage.made_files import make

FIRST_VERSION = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "lesion"}}


def _pairs(image: str) -> list[dict[str, str]]:
    return [{"image": f"./imagesTr/{image}", "label": "./labelsTr/a.nii.gz"}]


@pytest.mark.parametrize(
    ("made", "document", "references", "layout"),
    [
        pytest.param(["raw/labelsTr/a.nii.gz"], RAW, "raw", "nnunet", id="root of nnU-Net"),
        pytest.param(["raw/labelsTr/a.nii.gz"], RAW, "raw/labelsTr", "nnunet", id="its labels"),
        pytest.param(["raw/labelsTr/a.nii.gz"], RAW, "raw/labelsTr/", "nnunet", id="its labels, with a slash"),
        pytest.param(["raw/labelsTs/a.nii.gz"], RAW, "raw", "nnunet", id="test labels alone"),
        pytest.param(["raw/gt_segmentations/a.nii.gz"], RAW, "raw/gt_segmentations", "nnunet", id="preprocessed"),
        pytest.param(["raw/imagesTr/a.nii.gz"], RAW, "raw/imagesTr", None, id="images are no references"),
        pytest.param(["raw/labelsTr/a.png"], RAW, "raw/labelsTr", None, id="files of another ending"),
        pytest.param(["raw/a.nii.gz"], RAW, "raw", None, id="no folder of labels"),
        pytest.param(
            ["raw/labelsTr/a.nii.gz", "raw/imagesTr/a.nii.gz"],
            FIRST_VERSION | {"training": _pairs("a.nii.gz")},
            "raw",
            "msd",
            id="Decathlon",
        ),
        pytest.param(
            ["raw/labelsTr/a.nii.gz", "raw/imagesTr/a_0000.nii.gz"],
            FIRST_VERSION | {"training": _pairs("a.nii.gz")},
            "raw/labelsTr",
            "nnunet",
            id="first version of nnU-Net: names have a channel that the list has not",
        ),
        pytest.param(["raw/labelsTr/a.nii.gz"], {"labels": LESION}, "raw", None, id="dataset.json of something else"),
        pytest.param(["cases/s1/segmentations/liver.nii.gz"], None, "cases", "cases", id="structures"),
        pytest.param(["cases/s1/mask.nii.gz"], None, "cases", None, id="a mask for each case is told by patterns"),
        pytest.param(["masks/a.png"], None, "masks", None, id="files"),
        pytest.param(["masks/a.png"], None, "masks/*.png", None, id="a pattern"),
        pytest.param(["masks/a.png"], None, "nothing", None, id="no folder"),
        pytest.param([], None, "s3://bucket/raw", None, id="elsewhere"),
    ],
)
def test_layouts(
    tmp_path: Path,
    made: list[str],
    document: dict[str, Any] | None,
    references: str,
    layout: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(tmp_path, *made)
    if document is not None:
        describe(tmp_path / "raw", document)
    monkeypatch.chdir(tmp_path)
    for place in (references, references if "://" in references else f"{tmp_path}/{references}"):
        seen = layout_of(place)
        assert (seen and seen.layout) == layout


def test_what_a_layout_tells(tmp_path: Path) -> None:
    raw(tmp_path / "raw", "Tr/a", labels={"background": 0, "organ": [1, 2], "tumour": 2, "ignore": 3})
    seen = layout_of(str(tmp_path / "raw"))
    assert seen is not None
    assert seen.dataset == {
        "classes": ["background", "label_1", "tumour"],
        "label_values": [0, 1, 2],
        "regions": {"organ": [1, 2]},
        "ignore_label": 3,
    }
    assert seen.predictions == {}
    describe(tmp_path / "raw", RAW, labels={"background": 0, "organ": [1, 2], "tumour": 2}, regions_class_order=[1, 2])
    seen = layout_of(str(tmp_path / "raw"))
    assert seen is not None
    assert seen.predictions == {"regions": ["organ", "tumour"], "regions_class_order": [1, 2]}
    make(tmp_path, "cases/s1/segmentations/liver.nii.gz")
    seen = layout_of(str(tmp_path / "cases"))
    assert seen is not None
    assert seen.metrics == {"group_by": ["structure"], "cluster_by": "case"}


def test_a_description_among_the_predictions(tmp_path: Path) -> None:
    make(tmp_path, "labels/a.nii.gz")
    describe(tmp_path / "results", RAW)
    seen = layout_of(str(tmp_path / "labels"), str(tmp_path / "results"))
    assert seen is not None
    assert seen.layout == "nnunet"


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    raw(tmp_path / "raw", "Tr/a", labels={"background": 0, "a": 1, "b": 1})
    with pytest.raises(ConfigError, match=r"^dataset\.layout: .*a and b are both 1"):
        layout_of(str(tmp_path / "raw"))


@pytest.mark.parametrize(
    ("place", "layout"), [("seg/1.dcm", "dicom"), ("seg/1", "dicom"), ("z/deep/er/1.dcm", "dicom"), (None, None)]
)
def test_dicom(tmp_path: Path, place: str | None, layout: str | None) -> None:
    """Segmentations say on which series they were drawn; of images alone nothing else is known than their names."""
    series(tmp_path / "ct")
    if place is not None:
        seg(tmp_path / place)
    seen = layout_of(str(tmp_path))
    assert (seen and seen.layout) == layout
