"""summary.json of nnU-Net's two versions, and what is no such file."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from segscale.errors import ArgumentError
from segscale.tasks.metrics.nnunet_cases import names_of, read_summary

NAN = float("nan")


def second(*counts: tuple[int, int, int, int], **document: Any) -> dict[str, Any]:
    """As nnunetv2 writes it, of label 1: TP, FP, FN, TN of each case."""
    cases = [
        {
            "prediction_file": f"out/case_{number}.nii.gz",
            "reference_file": f"gt/case_{number}.nii.gz",
            "metrics": {"1": {"TP": tp, "FP": fp, "FN": fn, "TN": tn, "Dice": NAN, "IoU": NAN}},
        }
        for number, (tp, fp, fn, tn) in enumerate(counts)
    ]
    mean = {"1": {"Dice": 0.5, "IoU": 0.25}}
    return {"metric_per_case": cases, "mean": mean, "foreground_mean": mean["1"], **document}


def first(*cases: tuple[float | None, int, int], **results: Any) -> dict[str, Any]:
    """As nnU-Net 1 writes it, of labels 0 and 1: Dice, predicted and reference voxels of each case."""
    listed = [
        {
            "test": f"out/case_{number}.nii.gz",
            "reference": f"gt/case_{number}.nii.gz",
            "0": {"Dice": 1.0, "Total Positives Test": 9, "Total Positives Reference": 9},
            "1": {"Dice": dice, "Total Positives Test": n_pred, "Total Positives Reference": n_ref},
        }
        for number, (dice, n_pred, n_ref) in enumerate(cases)
    ]
    mean = {"0": {"Dice": 1.0, "Jaccard": 1.0}, "1": {"Dice": 0.5, "Jaccard": 0.25}}
    return {"author": "Fabian", "results": {"all": listed, "mean": mean, **results}}


def test_the_second_version() -> None:
    found = read_summary(second((3, 1, 2, 4), (0, 0, 0, 10)))
    assert (found.layout, found.knows_negatives) == ("version 2", True)
    assert found.cases.to_dict("list") == {
        "prediction_file": ["out/case_0.nii.gz", "out/case_1.nii.gz"],
        "reference_file": ["gt/case_0.nii.gz", "gt/case_1.nii.gz"],
    }
    counts = found.counts[(1,)]
    assert [counts.true_positive.tolist(), counts.false_positive.tolist()] == [[3, 0], [1, 0]]
    assert [counts.false_negative.tolist(), counts.true_negative.tolist()] == [[2, 0], [4, 10]]
    assert counts.reference_sum.tolist() == [5, 0]
    assert found.means == {(1,): {"dice": 0.5, "iou": 0.25}}
    assert found.foreground_mean == {"dice": 0.5, "iou": 0.25}


def test_the_first_version_has_the_counts_that_its_dice_is_made_of() -> None:
    found = read_summary(first((6 / 9, 4, 5), (0.0, 7, 0), (NAN, 0, 0), (None, 0, 0)))
    assert (found.layout, found.knows_negatives, found.foreground_mean) == ("version 1", False, {})
    assert list(found.counts) == [(1,)]
    counts = found.counts[(1,)]
    assert counts.true_positive.tolist() == [3, 0, 0, 0]
    assert counts.false_positive.tolist() == [1, 7, 0, 0]
    assert counts.false_negative.tolist() == [2, 0, 0, 0]
    assert found.means == {(1,): {"dice": 0.5, "iou": 0.25}}


@pytest.mark.parametrize(
    ("key", "labels"),
    [
        pytest.param("2", (2,), id="a label"),
        pytest.param("(1, 2, 3)", (1, 2, 3), id="a region"),
        pytest.param("(3, 1)", (1, 3), id="its values in any order"),
        pytest.param("(1,)", (1,), id="a region of one label"),
    ],
)
def test_labels_and_regions(key: str, labels: tuple[int, ...]) -> None:
    document = second((3, 1, 2, 4))
    document["metric_per_case"][0]["metrics"] = {key: document["metric_per_case"][0]["metrics"]["1"]}
    document["mean"] = {key: document["mean"]["1"]}
    assert list(read_summary(document).counts) == [labels]


def test_a_region_is_named_as_nnunet_names_it() -> None:
    assert [names_of((2,)), names_of((1, 2, 3))] == ["2", "(1, 2, 3)"]


def test_an_undefined_mean_may_be_null() -> None:
    document = second((0, 0, 0, 4), mean={"1": {"Dice": None, "IoU": NAN}})
    assert all(np.isnan(value) for value in read_summary(document).means[(1,)].values())


def changed(document: dict[str, Any], value: Any, *place: Any) -> dict[str, Any]:
    """The document with another value there; `...` leaves the key out."""
    found = copy.deepcopy(document)
    inner: Any = found
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return found


SECOND, FIRST = second((3, 1, 2, 4), (1, 1, 1, 1)), first((6 / 9, 4, 5))
COUNTS = ("metric_per_case", 1, "metrics", "1")
OF_FIRST = ("results", "all", 0, "1")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param([], "expected nnU-Net's summary.json, .* got an empty list", id="a list"),
        pytest.param({"dice": 1}, "got an object with dice", id="another file"),
        pytest.param({}, "got an empty object", id="nothing in it"),
        pytest.param(None, "got nothing", id="null"),
        pytest.param(7, "got 7", id="a number"),
        pytest.param(second(), "metric_per_case: expected a list of cases, got an empty list", id="no case"),
        pytest.param({"metric_per_case": {"a": 1}}, "expected a list of cases, got an object with a", id="no list"),
        pytest.param({"metric_per_case": [3]}, "case 1: expected names with values, got 3", id="a case that is none"),
        pytest.param(
            changed(SECOND, "2", *COUNTS, "TP"), "case 2, label 1, TP: expected a number, got '2'", id="a text"
        ),
        pytest.param(changed(SECOND, ..., *COUNTS, "FN"), "label 1, FN: expected a number, got none", id="no count"),
        pytest.param(changed(SECOND, 1.5, *COUNTS, "FP"), "expected a number of voxels, got 1.5", id="half a voxel"),
        pytest.param(changed(SECOND, -1, *COUNTS, "TN"), "expected a number of voxels, got -1", id="below zero"),
        pytest.param(changed(SECOND, NAN, *COUNTS, "TN"), "expected a number of voxels, got nan", id="undefined"),
        pytest.param(changed(SECOND, 10**30, *COUNTS, "TN"), "expected a number of voxels", id="more than there are"),
        pytest.param(changed(SECOND, True, *COUNTS, "TN"), "expected a number, got True", id="a truth value"),
        pytest.param(
            changed(SECOND, {"2": {}}, *COUNTS[:3]), "case 2: expected the labels of .*case 1, 1, got 2", id="labels"
        ),
        pytest.param(changed(SECOND, ..., "mean"), "mean: expected names with values, got nothing", id="no mean"),
        pytest.param(changed(SECOND, ..., "mean", "1"), "mean, label 1: expected names", id="no mean of a label"),
        pytest.param(
            changed(SECOND, "0.5", "mean", "1", "Dice"), "mean, label 1, Dice: expected a number", id="a mean as text"
        ),
        pytest.param(
            changed(changed(SECOND, "", "metric_per_case", 0, "prediction_file"), ..., "metric_per_case", 0,
                    "reference_file"),
            "case 1: expected prediction_file or reference_file, the path of a file, got neither",
            id="no file",
        ),
        pytest.param(
            {"metric_per_case": [{"metrics": {"lesion": {}}, "prediction_file": "a"}]},
            r"expected label values such as 1, or \(1, 2\) of a region, got 'lesion'",
            id="a label by name",
        ),
        pytest.param(
            {"metric_per_case": [{"metrics": {"0": {}}, "prediction_file": "a"}]},
            "expected a label beside the background, got 0",
            id="the background alone",
        ),
        pytest.param(
            {"metric_per_case": [{"metrics": {"1": {}, "(1,)": {}}, "prediction_file": "a"}]},
            "expected each label once",
            id="a label twice",
        ),
        pytest.param(
            changed(FIRST, 0.66, *OF_FIRST, "Dice"), "Dice: expected 2 TP / .* got 0.66", id="a rounded Dice"
        ),
        pytest.param(changed(FIRST, NAN, *OF_FIRST, "Dice"), "Dice: expected 2 TP", id="undefined where it cannot be"),
        pytest.param(changed(FIRST, 2.0, *OF_FIRST, "Dice"), "Dice: expected 2 TP", id="more found than there is"),
        pytest.param(changed(FIRST, ..., "results", "mean"), "mean: expected names", id="version 1 without a mean"),
    ],
)  # fmt: skip
def test_what_is_no_summary_is_refused_in_words(document: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        read_summary(document)
