"""What a dataset.json says, and what in it cannot be meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ListingError
from segscale.storage.dataset_json import Case, DatasetJson, Labels, dataset_json_of, read_dataset_json

NNUNET: dict[str, Any] = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "lesion": 1},
    "file_ending": ".nii.gz",
}


def _write(folder: Path, document: object, **changed: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    whole = document | changed if isinstance(document, dict) else document
    (folder / "dataset.json").write_text(json.dumps(whole))
    return folder


def _read(folder: Path, labels: object, **changed: Any) -> DatasetJson:
    found = read_dataset_json(str(_write(folder, NNUNET, labels=labels, **changed)))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"background": 0, "lesion": 1}, Labels(("background", "lesion"), (0, 1)), id="nnU-Net"),
        pytest.param({"0": "background", "1": "lesion"}, Labels(("background", "lesion"), (0, 1)), id="Decathlon"),
        pytest.param({"b": 2, "air": 0, "a": 1}, Labels(("air", "a", "b"), (0, 1, 2)), id="in the order of the values"),
        pytest.param({"0": 0, "1": 1}, Labels(("0", "1"), (0, 1)), id="names that are numbers"),
        pytest.param({"background": [0], "lesion": [1]}, Labels(("background", "lesion"), (0, 1)), id="lists of one"),
        pytest.param(
            {"background": 0, "lesion": 1, "ignore": 2},
            Labels(("background", "lesion"), (0, 1), ignored=2),
            id="what is ignored is no class",
        ),
        pytest.param(
            {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3},
            Labels(
                ("background", "label_1", "label_2", "enhancing"),
                (0, 1, 2, 3),
                {"whole": (1, 2, 3), "core": (2, 3)},
                unnamed=(1, 2),
            ),
            id="regions; a region of one value is its class, other values have no name",
        ),
        pytest.param(
            {"background": 0, "all": [1, 4], "ignore": 5},
            Labels(("background", "label_1", "label_4"), (0, 1, 4), {"all": (1, 4)}, 5, (1, 4)),
            id="gaps",
        ),
    ],
)
def test_labels(tmp_path: Path, labels: dict[str, Any], expected: Labels) -> None:
    assert _read(tmp_path, labels).labels == expected


def test_labels_in_words(tmp_path: Path) -> None:
    labels = _read(tmp_path, {"background": 0, "all": [1, 2], "core": 2, "ignore": 3}).labels
    assert str(labels) == "classes background (0), label_1 (1), core (2); regions all [1, 2]; 3 is ignored"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"labels": []}, "expected names with their values", id="a list"),
        pytest.param({"labels": {}}, "expected names with their values", id="none"),
        pytest.param({"labels": {"background": 0, "a": 1.5}}, 'got {"a": 1.5}', id="no integer"),
        pytest.param({"labels": {"background": 0, "a": True}}, 'got {"a": true}', id="true is no value"),
        pytest.param({"labels": {"background": 0, "a": []}}, 'got {"a": []}', id="a region of nothing"),
        pytest.param({"labels": {"background": 0, "a": 1, "b": 1}}, "a and b are both 1", id="one value twice"),
        pytest.param({"labels": {"0": "a", "1": "a"}}, "two values are called a", id="one name twice"),
        pytest.param({"labels": {"a": 1, "b": 2}}, "expected a background of the value 0", id="no background"),
        pytest.param({"labels": {"background": 0, "a": [0, 1]}}, "holds the background", id="background in a region"),
        pytest.param(
            {"labels": {"background": 0, "a": [1, 2], "ignore": 2}},
            "holds what is called ignore",
            id="ignored in a region",
        ),
        pytest.param({"labels": {"background": 0, "a": 1, "ignore": 1}}, "ignore is 1, as a", id="ignored is a class"),
        pytest.param(
            {"labels": {"background": 0, "a": 1, "ignore": [2, 3]}}, "ignore: expected one value", id="two ignored"
        ),
        pytest.param(
            {"labels": {"background": 0, "label_1": [1, 2], "b": 2}}, "label_1 is a class and a region", id="one name"
        ),
        pytest.param(
            {"labels": {"background": 0, "a": [1, 2], "b": 2}, "regions_class_order": [1, 3]},
            "regions_class_order: expected values that labels name, [1, 2], got [1, 3]",
            id="results with other values than references",
        ),
        pytest.param(
            {"labels": {"background": 0, "a": [1, 2], "b": 2, "ignore": 3}, "regions_class_order": [1]},
            "regions_class_order: expected a value for each of a, b, got [1]",
            id="a channel that writes nothing",
        ),
        pytest.param({"file_ending": "png"}, "file_ending: expected an ending", id="an ending without its dot"),
        pytest.param({"training": {"a": "b"}}, "training: expected a list", id="no list of pairs"),
        pytest.param({"training": [{"image": "a"}]}, 'got {"image": "a"}', id="no label"),
        pytest.param(
            {"training": [{"image": "../a", "label": "b"}]}, "../a: expected a path below", id="out of the folder"
        ),
        pytest.param({"training": [{"image": "a", "label": "/b"}]}, "/b: expected a path below", id="absolute"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ListingError) as caught:
        read_dataset_json(str(_write(tmp_path, NNUNET, **changed)))
    assert str(caught.value).startswith(f"{tmp_path}/dataset.json: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("order", [[1, 2], [2, 1], None])
def test_the_order_of_regions_names_values_of_the_references(tmp_path: Path, order: list[int] | None) -> None:
    labels = _read(tmp_path, {"background": 0, "a": [1, 2], "b": 2}, regions_class_order=order).labels
    assert labels.values == (0, 1, 2)


@pytest.mark.parametrize(
    ("labels", "order", "written"),
    [
        pytest.param(
            {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3},
            [1, 2, 3],
            [("whole", 1), ("core", 2), ("enhancing", 3)],
            id="a channel for each label of one value or several",
        ),
        pytest.param(
            {"background": 0, "b": 2, "a": [1, 2], "ignore": 3},
            [2, 1],
            [("b", 2), ("a", 1)],
            id="in the order of labels, not of values; nothing for what is ignored",
        ),
        pytest.param({"background": 0, "a": [1, 2], "b": 2}, None, [], id="nobody says what channels write"),
        pytest.param({"background": 0, "a": 1, "b": 2}, [1, 2], [], id="without regions channels are classes"),
        pytest.param({"background": 0, "a": 1, "b": 2}, [1], [], id="and nobody asks for their order"),
    ],
)
def test_what_channels_write(
    tmp_path: Path, labels: dict[str, Any], order: list[int] | None, written: list[tuple[str, int]]
) -> None:
    assert list(_read(tmp_path, labels, regions_class_order=order).written.items()) == written


OF_REGIONS = NNUNET | {"labels": {"background": 0, "a": [1, 2], "b": 2}}


@pytest.mark.parametrize(
    ("own", "theirs", "expected"),
    [
        pytest.param([1, 2], [1, 2], [("a", 1), ("b", 2)], id="a copy"),
        pytest.param(None, [2, 1], [("a", 2), ("b", 1)], id="results alone say it"),
        pytest.param([1, 2], None, [("a", 1), ("b", 2)], id="results do not say it"),
        pytest.param([1, 2], [2, 1], None, id="another order of results"),
    ],
)
def test_what_channels_write_is_said_beside_results(
    tmp_path: Path, own: list[int] | None, theirs: list[int] | None, expected: list[tuple[str, int]] | None
) -> None:
    raw = _write(tmp_path / "raw", OF_REGIONS, regions_class_order=own)
    results = _write(tmp_path / "results", OF_REGIONS, regions_class_order=theirs)
    if expected is None:
        with pytest.raises(ListingError, match="give other meanings to channels of regions"):
            dataset_json_of(str(raw), str(results))
        return
    found = dataset_json_of(str(raw), str(results))
    assert found is not None
    assert found.folder == str(raw)
    assert list(found.written.items()) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(NNUNET, (("CT",), ".nii.gz", True), id="second version"),
        pytest.param(
            {"modality": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "a"}},
            (("T1", "T2"), ".nii.gz", False),
            id="first version, or Decathlon",
        ),
        pytest.param(NNUNET | {"file_ending": ".png"}, (("CT",), ".png", True), id="another ending"),
    ],
)
def test_channels_and_endings(tmp_path: Path, document: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = read_dataset_json(str(_write(tmp_path, document)))
    assert found is not None
    assert (found.channels, found.file_ending, found.is_nnunet) == expected


def test_pairs(tmp_path: Path) -> None:
    pair = {"image": "./imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    assert _read(tmp_path, NNUNET["labels"], training=[pair]).training == (
        Case("imagesTr/a.nii.gz", "labelsTr/a.nii.gz"),
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[1, 2]", id="a list"),
        pytest.param('{"labels": {"background": 0}}', id="labels alone, as other programs have them"),
        pytest.param('{"training": []}', id="no labels"),
    ],
)
def test_files_of_other_programs_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    assert read_dataset_json(str(tmp_path)) is None


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(ListingError, match="expected JSON, this is none"):
        read_dataset_json(str(tmp_path))


@pytest.mark.parametrize(
    ("places", "references", "found"),
    [
        pytest.param(["raw"], "raw", "raw", id="in the folder"),
        pytest.param(["raw"], "raw/labelsTr", "raw", id="beside it"),
        pytest.param(["raw"], "raw/labelsTr/*.png", "raw", id="beside the folder of a pattern"),
        pytest.param(["results"], "raw/labelsTr", "results", id="among the predictions"),
        pytest.param(["raw", "results"], "raw/labelsTr", "raw", id="in both, alike"),
        pytest.param(["raw/labelsTr", "raw"], "raw/labelsTr", "raw/labelsTr", id="the nearest"),
        pytest.param([], "raw/labelsTr", None, id="nowhere"),
    ],
)
def test_where_it_is_looked_for(tmp_path: Path, places: list[str], references: str, found: str | None) -> None:
    (tmp_path / "raw/labelsTr").mkdir(parents=True)
    for place in places:
        _write(tmp_path / place, NNUNET)
    one = dataset_json_of(f"{tmp_path}/{references}", f"{tmp_path}/results")
    assert (one and one.folder) == (found and f"{tmp_path}/{found}")


def test_what_lies_where_the_command_was_given_is_of_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, NNUNET)
    monkeypatch.chdir(tmp_path)
    assert dataset_json_of("/labelsTr") is None
    assert dataset_json_of("memory://labelsTr") is None
    assert dataset_json_of("labelsTr") is not None


def test_predictions_of_another_data_set_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "raw", NNUNET)
    _write(tmp_path / "results", NNUNET, labels={"background": 0, "kidney": 1})
    with pytest.raises(
        ListingError, match=r"raw/dataset\.json and .*results/dataset\.json give other meanings"
    ) as caught:
        dataset_json_of(f"{tmp_path}/raw", f"{tmp_path}/results")
    assert "lesion (1)" in str(caught.value)
    assert "kidney (1)" in str(caught.value)
