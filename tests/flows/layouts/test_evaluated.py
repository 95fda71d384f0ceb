"""Layouts from their folders to scores, of files with a geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.flows.folder_pair import evaluate
from tests.flows.layouts.made_dicom import SECRET, seg, series
from tests.flows.layouts.made_sets import RAW, describe

LABELS = {"background": 0, "organ": [1, 2], "tumour": 2, "ignore": 3}
NO_BOOTSTRAP = {"metrics": {"bootstrap": 0}}


def _case(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A reference with an organ, a tumour in it, and slices that nobody annotated; and a prediction of it."""
    reference = np.zeros((20, 16, 6), np.uint8)
    reference[4:12, 2 + number : 12, 1:5] = 1
    reference[6:9, 5:9, 2:4] = 2
    prediction = np.roll(reference, 1, axis=number % 3)
    reference[15:] = 3
    prediction[15:, 4:] = 2
    return reference, prediction


def _dice(reference: NDArray[Any], prediction: NDArray[Any], values: list[int], counted: NDArray[Any]) -> float:
    """As nnU-Net's evaluation has it: 2 TP / (2 TP + FP + FN) where nothing is ignored."""
    one, other = np.isin(reference, values) & counted, np.isin(prediction, values) & counted
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_nnunet_with_regions_and_an_ignored_label(tmp_path: Path) -> None:
    cases = [_case(number) for number in range(4)]
    for folder, place in (("raw/labelsTr", 0), ("results", 1)):
        (tmp_path / folder).mkdir(parents=True)
        for number, pair in enumerate(cases):
            image = nibabel.Nifti1Image(pair[place], np.diag([0.8, 0.8, 5, 1]))
            nibabel.save(image, tmp_path / folder / f"case_{number}.nii.gz")
    for folder in ("raw", "results"):
        describe(tmp_path / folder, RAW, labels=LABELS, regions_class_order=[1, 2])
    (tmp_path / "results/postprocessing.pkl").write_bytes(b"never opened")
    report = evaluate(
        predictions=tmp_path / "results", references=tmp_path / "raw", output=tmp_path / "out", settings=NO_BOOTSTRAP
    )
    per_image = report.table("per_image")
    for name, values in (("organ", [1, 2]), ("tumour", [2])):
        found = per_image[per_image["class_name"] == name]
        expected = [_dice(*pair, values, pair[0] != 3) for pair in cases]
        assert found["dice"].tolist() == pytest.approx(expected), name


def test_two_readers_of_a_series(tmp_path: Path) -> None:
    """Told by UIDs; what the headers say of a patient is in nothing that is written."""
    series(tmp_path / "tree/ct")
    seg(tmp_path / "tree/first/1.dcm")
    seg(tmp_path / "tree/second/2.dcm", SeriesInstanceUID="1.2.3.78")
    report = evaluate(
        predictions=tmp_path / "tree/second",
        references=tmp_path / "tree",
        output=tmp_path / "out",
        settings=NO_BOOTSTRAP,
    )
    per_image = report.table("per_image")
    assert per_image["status"].tolist() == ["ok", "ok"]
    assert per_image["dice"].tolist() == [1.0, 1.0]
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert written
    assert not [path.name for path in written if SECRET.encode() in path.read_bytes()]
    assert SECRET not in per_image.to_csv(), "tables are compressed"
