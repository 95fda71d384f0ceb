"""Folders of nnU-Net, raw and results."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.flows.layouts.made_sets import RAW, configured, describe, listed, places, raw, refused, told
from tests.storage.made_files import make

LAYOUT = {"layout": "nnunet", "references": "raw"}
RESULTS = {"path": "results"}
SAYS = "classes background (0), lesion (1)"


@pytest.mark.parametrize(
    "references",
    [
        pytest.param("raw", id="the root"),
        pytest.param("raw/labelsTr", id="the labels"),
        pytest.param("raw/labelsTr/", id="with a slash"),
        pytest.param("raw/labelsTr/*.nii.gz", id="a pattern"),
    ],
)
def test_references_and_results(tmp_path: Path, references: str) -> None:
    raw(tmp_path / "raw", "Tr/a", "Tr/b")
    make(tmp_path, "results/a.nii.gz", "results/b.nii.gz")
    listing = listed(tmp_path, LAYOUT | {"references": references}, predictions=RESULTS)
    assert list(listing.images["image_id"]) == ["a", "b"]
    assert set(listing.images["image"]) == {""}
    assert places(listing, "reference", tmp_path) == ["raw/labelsTr/a.nii.gz", "raw/labelsTr/b.nii.gz"]
    assert places(listing, "prediction", tmp_path) == ["results/a.nii.gz", "results/b.nii.gz"]
    assert told(listing) == [f"{tmp_path}/raw/dataset.json: {SAYS}"]


@pytest.mark.parametrize("name", ["set [1]", "a*b", "{site}", "é"])
def test_folders_of_any_name(tmp_path: Path, name: str) -> None:
    raw(tmp_path / name / "raw", "Tr/a")
    make(tmp_path / name, "results/a.nii.gz")
    listing = listed(tmp_path / name, LAYOUT, predictions=RESULTS)
    assert places(listing, "prediction", tmp_path / name) == ["results/a.nii.gz"]


def test_images_for_a_network(tmp_path: Path) -> None:
    raw(tmp_path / "raw", "Tr/a", "Tr/b_0000")
    make(tmp_path, "raw/imagesTs/c_0000.nii.gz")
    listing = listed(tmp_path, LAYOUT)
    assert list(listing.images["image_id"]) == ["a", "b_0000"]
    assert places(listing, "image", tmp_path) == ["raw/imagesTr/a_0000.nii.gz", "raw/imagesTr/b_0000_0000.nii.gz"]
    assert places(listing, "reference", tmp_path) == ["raw/labelsTr/a.nii.gz", "raw/labelsTr/b_0000.nii.gz"]


@pytest.mark.parametrize("ending", [".png", ".nrrd", ".tif"])
def test_other_endings(tmp_path: Path, ending: str) -> None:
    raw(tmp_path / "raw", "Tr/a", file_ending=ending)
    make(tmp_path, f"results/a{ending}", "raw/labelsTr/a.json", "raw/imagesTr/a.json")
    assert places(listed(tmp_path, LAYOUT), "image", tmp_path) == [f"raw/imagesTr/a_0000{ending}"]
    listing = listed(tmp_path, LAYOUT, predictions=RESULTS)
    assert places(listing, "reference", tmp_path) == [f"raw/labelsTr/a{ending}"]
    assert places(listing, "prediction", tmp_path) == [f"results/a{ending}"]


TWO = {"channel_names": {"0": "T1", "1": "FLAIR"}}


def _channels(folder: Path, *files: str, **changed: Any) -> None:
    """Files of imagesTr beside labels of cases a and b."""
    raw(folder, "Tr/a", "Tr/b", **changed)
    for path in (folder / "imagesTr").iterdir():
        path.unlink()
    make(folder / "imagesTr", *files)


@pytest.mark.parametrize("ending", [".nii.gz", ".png", ".mha"])
@pytest.mark.parametrize("named", [TWO, {"channel_names": None, "modality": {}}], ids=["named", "not named"])
def test_the_channels_of_an_image_are_in_a_file_each(tmp_path: Path, ending: str, named: dict[str, Any]) -> None:
    names = [f"{case}_{number}{ending}" for case in "ab" for number in ("0001", "0000")]
    _channels(tmp_path / "raw", *names, file_ending=ending, **named)
    listing = listed(tmp_path, LAYOUT)
    assert list(listing.images["image_id"]) == ["a", "b"]
    assert places(listing, "image", tmp_path) == [f"raw/imagesTr/{case}_{{0000,0001}}{ending}" for case in "ab"]
    said = "2 channels (T1, FLAIR)" if named is TWO else "2 channels"
    assert f"images: {said}, in a file for each" in told(listing)


def test_the_version_of_an_image_changes_with_each_of_its_files(tmp_path: Path) -> None:
    _channels(tmp_path / "raw", "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", **TWO)
    before = listed(tmp_path, LAYOUT).images["image_version"]
    make(tmp_path / "raw/imagesTr", "a_0001.nii.gz.new")
    (tmp_path / "raw/imagesTr/a_0001.nii.gz.new").replace(tmp_path / "raw/imagesTr/a_0001.nii.gz")
    after = listed(tmp_path, LAYOUT).images["image_version"]
    assert (before != after).tolist() == [True, False]


@pytest.mark.parametrize(
    ("files", "named", "words"),
    [
        pytest.param(["a_0000", "a_0001", "b_0000"], TWO, "b_0001.nii.gz is not there: expected 2 channels (T1, FLAIR)",
                     id="the second is missing"),
        pytest.param(["a_0000", "a_0001", "b_0001"], TWO, "b_0000.nii.gz is not there", id="the first"),
        pytest.param(["a_0000", "b_0000"], TWO, "a_0001.nii.gz is not there", id="of every case"),
        pytest.param(["a_0000", "a_0001", "b_0000", "b_0001", "b_0002"], TWO,
                     "b_0002.nii.gz is one too many: expected 2 channels (T1, FLAIR), as dataset.json says",
                     id="a third"),
        pytest.param(["a_0000", "a_0001", "b_0000"], {}, "a_0001.nii.gz is one too many: expected 1 channel (CT)",
                     id="a second of one"),
        pytest.param(["a_0000", "a_0002", "b_0000"], {"channel_names": None, "modality": {}},
                     "a_0001.nii.gz is not there: expected 3 channels, in a file for each; of a there is a_0000.nii.gz",
                     id="a gap where none are named"),
    ],
)  # fmt: skip
def test_channels_that_are_missing_or_too_many(
    tmp_path: Path, files: list[str], named: dict[str, Any], words: str
) -> None:
    """By name; predictions are scored without images all the same."""
    _channels(tmp_path / "raw", *(f"{name}.nii.gz" for name in files), **named)
    make(tmp_path, "results/a.nii.gz", "results/b.nii.gz")
    message = refused(tmp_path, LAYOUT)
    assert message.startswith("dataset.layout: ")
    assert words in message
    assert len(listed(tmp_path, LAYOUT, predictions=RESULTS).images) == 2


def test_files_without_the_number_of_a_channel_are_said(tmp_path: Path) -> None:
    _channels(tmp_path / "raw", *(f"{one}.nii.gz" for one in ("a_0000", "a_0001", "b_0000", "b_0001", "c")), **TWO)
    assert "images: 1 file without the number of a channel left out: c.nii.gz" in told(listed(tmp_path, LAYOUT))


def test_colours_are_in_one_file(tmp_path: Path) -> None:
    """nnU-Net names the channels of a picture, which is one file all the same."""
    raw(tmp_path / "raw", "Tr/a", channel_names={"0": "R", "1": "G", "2": "B"}, file_ending=".png")
    assert places(listed(tmp_path, LAYOUT), "image", tmp_path) == ["raw/imagesTr/a_0000.png"]


@pytest.mark.parametrize(
    ("files", "kind", "taken", "said"),
    [
        pytest.param(["a.nii.gz"], "auto", ["a.nii.gz"], [], id="label maps"),
        pytest.param(["a.npz"], "auto", ["a.npz"], [], id="probabilities alone"),
        pytest.param(
            ["a.nii.gz", "a.npz", "a.pkl"],
            "auto",
            ["a.nii.gz"],
            [
                (
                    "1 file of label maps taken, 1 of probabilities left out; "
                    'predictions.kind = "probabilities" takes these'
                ),
                "1 pickled file not read: a.pkl",
            ],
            id="both: label maps",
        ),
        pytest.param(
            ["a.nii.gz", "a.npz"],
            "probabilities",
            ["a.npz"],
            ['1 file of probabilities taken, 1 of label maps left out; predictions.kind = "labels" takes these'],
            id="both, and probabilities are asked for",
        ),
        pytest.param(
            ["a.nii.gz", "a.npz", "b.npz"],
            "auto",
            ["a.nii.gz"],
            ["1 file of label maps taken, 2 of probabilities left out, 1 of these with nothing else of their case: b"],
            id="a case with one of both alone",
        ),
        pytest.param(["a.nii.gz"], "probabilities", ["a.nii.gz"], [], id="probabilities in files of the usual ending"),
        pytest.param(
            ["a.nii.gz", "dataset.json", "plans.json", "summary.json", "predict_from_raw_data_args.json"],
            "auto",
            ["a.nii.gz"],
            [],
            id="what nnU-Net leaves beside them",
        ),
        pytest.param(
            ["a.nii.gz", "postprocessing.pkl"],
            "auto",
            ["a.nii.gz"],
            ["1 pickled file not read: postprocessing.pkl"],
            id="a pickle is not opened",
        ),
        pytest.param(
            ["a.nii.gz", "notes.txt"],
            "auto",
            ["a.nii.gz"],
            ["1 file of another kind left out: notes.txt"],
            id="what somebody else left there",
        ),
        pytest.param(["a.mha"], "auto", ["a.mha"], [], id="converted to another format"),
        pytest.param(["a_pred.nii.gz"], "auto", ["a_pred.nii.gz"], None, id="called otherwise"),
    ],
)
def test_results(tmp_path: Path, files: list[str], kind: str, taken: list[str], said: list[str] | None) -> None:
    raw(tmp_path / "raw", "Tr/a")
    make(tmp_path / "results", *files)
    if "dataset.json" in files:
        describe(tmp_path / "results", RAW)
    listing = listed(tmp_path, LAYOUT, predictions=RESULTS | {"kind": kind})
    assert places(listing, "prediction", tmp_path) == [f"results/{name}" for name in taken]
    if said is not None:
        assert told(listing)[1:] == [f"predictions: {text}" for text in said]


@pytest.mark.parametrize(
    ("names", "results", "taken"),
    [
        pytest.param(["Tr/a"], ["a"], "labelsTr", id="training alone"),
        pytest.param(["Ts/a"], ["a"], "labelsTs", id="test alone"),
        pytest.param(["Tr/a", "Ts/b"], ["b"], "labelsTs", id="as the predictions are called"),
        pytest.param(["Tr/a", "Ts/b"], ["a"], "labelsTr", id="as the predictions of a fold are called"),
    ],
)
def test_which_labels_of_a_root(tmp_path: Path, names: list[str], results: list[str], taken: str) -> None:
    raw(tmp_path / "raw", *names)
    make(tmp_path / "results", *(f"{name}.nii.gz" for name in results))
    listing = listed(tmp_path, LAYOUT, predictions=RESULTS)
    assert {place.split("/")[1] for place in places(listing, "reference", tmp_path)} == {taken}
    assert any("which is taken" in text for text in told(listing)) is (len(names) > 1)


@pytest.mark.parametrize(
    ("names", "results", "words"),
    [
        pytest.param(["Tr/a", "Ts/b"], ["a", "b"], "called as those of both", id="predictions of both"),
        pytest.param(["Tr/a", "Ts/b"], ["c"], "called as those of neither", id="predictions of neither"),
        pytest.param(
            ["Tr/a", "Ts/b"], [], "labelsTr (1 file) and labelsTs (1 file) may be meant: name", id="a network"
        ),
    ],
)
def test_two_folders_of_labels(tmp_path: Path, names: list[str], results: list[str], words: str) -> None:
    raw(tmp_path / "raw", *names)
    make(tmp_path / "results", *(f"{name}.nii.gz" for name in results))
    message = refused(tmp_path, LAYOUT, **({"predictions": RESULTS} if results else {}))
    assert message.startswith("dataset.references: ")
    assert words in message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param({"classes": ["background", "kidney"]}, ('["background", "kidney"]', '["background", "lesion"]'),
                     id="other names"),
        pytest.param({"classes": ["background", "a", "b"]}, ('["background", "a", "b"]',), id="another number"),
        pytest.param({"label_values": [0, 255]}, ("[0, 255]", "[0, 1]"), id="other values"),
        pytest.param({"ignore_label": 255}, ("255", "2"), id="another ignored label"),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused(tmp_path: Path, said: dict[str, Any], words: tuple[str, ...]) -> None:
    raw(tmp_path / "raw", "Tr/a", labels={"background": 0, "lesion": 1, "ignore": 2})
    message = refused(tmp_path, LAYOUT | said)
    assert message.startswith(f"dataset.{next(iter(said))}: ")
    assert f"in {tmp_path}/raw/dataset.json: leave it out, or correct one of them" in message
    assert all(word in message for word in words)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        pytest.param({}, ((0, 1), None), id="nothing"),
        pytest.param({"classes": ["background", "lesion"], "label_values": [0, 1]}, ((0, 1), None), id="the same"),
        pytest.param({"ignore_label": 255}, ((0, 1), 255), id="what dataset.json says nothing of"),
        pytest.param({"foreground": "any"}, ((), None), id="values have no meaning then"),
    ],
)
def test_what_is_said_and_no_contradiction(tmp_path: Path, said: dict[str, Any], kept: tuple[Any, ...]) -> None:
    raw(tmp_path / "raw", "Tr/a")
    dataset = configured(tmp_path, LAYOUT | said).dataset
    assert (dataset.label_values, dataset.ignore_label) == kept
    assert len(listed(tmp_path, LAYOUT | said).images) == 1


def test_what_dataset_json_says_is_in_the_configuration(tmp_path: Path) -> None:
    raw(tmp_path / "raw", "Tr/a", labels={"background": 0, "organ": [1, 2], "tumour": 2, "ignore": 3})
    dataset = configured(tmp_path, LAYOUT).dataset
    assert dataset.classes == ("background", "label_1", "tumour")
    assert dataset.label_values == (0, 1, 2)
    assert dataset.regions == {"organ": (1, 2)}
    assert dataset.ignore_label == 3


@pytest.mark.parametrize(
    ("dataset", "predictions", "regions"),
    [
        pytest.param({}, {}, ("organ", "tumour"), id="nothing is said"),
        pytest.param({}, {"channels": "regions"}, ("organ", "tumour"), id="channels are said to be of regions"),
        pytest.param({}, {"regions": []}, (), id="a channel for each class"),
        pytest.param({}, {"channels": "argmax"}, (), id="a channel for each class, the largest"),
        pytest.param({}, {"regions": ["tumour"], "regions_class_order": [2]}, ("tumour",), id="other channels"),
        pytest.param({"layout": "files", "images": "raw/imagesTr"}, {}, (), id="names alone"),
    ],
)
def test_channels_of_regions(
    tmp_path: Path, dataset: dict[str, Any], predictions: dict[str, Any], regions: tuple[str, ...]
) -> None:
    labels = {"background": 0, "organ": [1, 2], "tumour": 2, "ignore": 3}
    raw(tmp_path / "raw", "Tr/a", labels=labels, regions_class_order=[1, 2])
    found = configured(tmp_path, LAYOUT | dataset, predictions=RESULTS | predictions).predictions
    assert found.regions == regions
    assert not configured(tmp_path, LAYOUT).predictions.regions, "there are none without predictions"


@pytest.mark.parametrize(
    ("classes", "is_refused"),
    [
        pytest.param(["background", "oedema", "core"], False, id="a name for what has none"),
        pytest.param(["background", "oedema", "other"], True, id="another name for what has one"),
        pytest.param(["background", "core"], True, id="too few"),
    ],
)
def test_values_of_regions_may_be_named(tmp_path: Path, classes: list[str], is_refused: bool) -> None:
    raw(tmp_path / "raw", "Tr/a", labels={"background": 0, "whole": [1, 2], "core": 2})
    if is_refused:
        assert refused(tmp_path, LAYOUT | {"classes": classes}).startswith("dataset.classes: ")
    else:
        assert configured(tmp_path, LAYOUT | {"classes": classes}).dataset.classes == tuple(classes)
        assert len(listed(tmp_path, LAYOUT | {"classes": classes}).images) == 1


def test_more_classes_than_the_default_are_counted_where_keys_name_each(tmp_path: Path) -> None:
    raw(tmp_path / "raw", "Tr/a", labels={"background": 0, "a": 1, "b": 2})
    assert configured(tmp_path, LAYOUT, predictions=RESULTS | {"label_values": [0, 5, 6]}).predictions.label_values


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        pytest.param({"manifest": "m.csv", "references": ""}, 'layout: "nnunet" is of folders', id="a manifest"),
        pytest.param({"images": "raw/imagesTr"}, "they are found by the references", id="images"),
        pytest.param(
            {"references": "elsewhere"}, 'layout: "nnunet" needs a dataset.json in elsewhere', id="no dataset.json"
        ),
        pytest.param({"references": "empty"}, "expected labelsTr or labelsTs with files *.nii.gz", id="no labels"),
        pytest.param(
            {"references": "raw/gt"}, "images of labelsTr are looked for in imagesTr", id="a folder of its own"
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, dataset: dict[str, Any], words: str) -> None:
    raw(tmp_path / "raw", "Tr/a")
    describe(tmp_path / "empty", RAW)
    make(tmp_path, "raw/gt/a.nii.gz", "elsewhere/a.nii.gz", "m.csv")
    assert words in refused(tmp_path, LAYOUT | dataset)


def test_folders_elsewhere(tmp_path: Path) -> None:
    """What is asked of a disk is asked of any file system."""
    memory, root = fsspec.filesystem("memory"), uuid.uuid4().hex
    for name in ("raw/labelsTr/a.nii.gz", "raw/imagesTr/a_0000.nii.gz", "results/a.nii.gz", "results/a.npz"):
        memory.pipe_file(f"/{root}/{name}", name.encode())
    memory.pipe_file(f"/{root}/raw/dataset.json", json.dumps(RAW).encode())
    dataset = LAYOUT | {"references": f"memory://{root}/raw"}
    listing = listed(tmp_path, dataset, predictions={"path": f"memory://{root}/results"})
    assert listing.images["reference"].tolist() == [f"memory:///{root}/raw/labelsTr/a.nii.gz"]
    assert listing.images["prediction"].tolist() == [f"memory:///{root}/results/a.nii.gz"]
    assert listed(tmp_path, dataset).images["image"].tolist() == [f"memory:///{root}/raw/imagesTr/a_0000.nii.gz"]


def test_reports_of_a_set_that_is_gone_are_still_to_be_had(tmp_path: Path) -> None:
    raw(tmp_path / "raw", "Tr/a")
    shutil.rmtree(tmp_path / "raw")
    classes = {"classes": ["background", "lesion"]}
    assert configured(tmp_path, LAYOUT | classes).dataset.classes == ("background", "lesion")
    assert "needs a dataset.json" in refused(tmp_path, LAYOUT | classes)


def test_a_store_may_lie_in_the_root(tmp_path: Path) -> None:
    """Whoever stands in the folder of a data set writes there too; nothing of it is taken for a label map."""
    raw(tmp_path, "Tr/a")
    make(tmp_path, "results/a.nii.gz", "work/0", "results/reports/report.html")
    own = {"store": {"path": "work"}, "report": {"path": "results/reports"}}
    listing = listed(tmp_path, LAYOUT | {"references": "."}, predictions=RESULTS, **own)
    assert places(listing, "prediction", tmp_path) == ["results/a.nii.gz"]


def test_masks_of_evaluation(tmp_path: Path) -> None:
    """They lie elsewhere, and are called as the cases are."""
    raw(tmp_path / "raw", "Tr/a", "Tr/b")
    make(tmp_path, "results/a.nii.gz", "results/b.nii.gz", "regions/a.nii.gz", "regions/b.nii.gz")
    listing = listed(tmp_path, LAYOUT | {"masks": "regions"}, predictions=RESULTS)
    assert places(listing, "mask", tmp_path) == ["regions/a.nii.gz", "regions/b.nii.gz"]


def test_predictions_are_a_pattern(tmp_path: Path) -> None:
    raw(tmp_path / "raw", "Tr/a")
    make(tmp_path, "folds/0/a.nii.gz", "folds/0/a.npz")
    listing = listed(tmp_path, LAYOUT, predictions={"path": "folds/{fold}/{id}.nii.gz"})
    assert list(listing.images["fold"]) == ["0"]


def test_labels_alone_with_a_description_among_the_results(tmp_path: Path) -> None:
    make(tmp_path, "labels/a.nii.gz", "results/a.nii.gz")
    describe(tmp_path / "results", RAW)
    listing = listed(tmp_path, LAYOUT | {"references": "labels"}, predictions=RESULTS)
    assert places(listing, "reference", tmp_path) == ["labels/a.nii.gz"]
