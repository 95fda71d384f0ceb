"""Segments that overlap, each counted by itself in one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pydicom = pytest.importorskip("pydicom")

from segscale.flows.evaluate import run  # noqa: E402  behind the line that skips without it
from segscale.flows.folder_pair import evaluate  # noqa: E402
from segscale.flows.reports.library import diagnose  # noqa: E402
from tests.flows.layouts.made_dicom import SECRET, save, series  # noqa: E402
from tests.flows.layouts.made_sets import configured, listed, places, refused, told  # noqa: E402
from tests.storage.made_files import make  # noqa: E402
from tests.tasks.readers.dicom_made import CROOKED, SERIES, item, segmentation  # noqa: E402

SIZE = (3, 5, 6)
EACH = {"segment": "each", "references": "tree", "layout": "dicom"}
PATTERNS = {"segment": "each", "references": "refs/{id}.dcm"}
PREDICTED: dict[str, dict[str, Any]] = {"predictions": {"path": "preds/{id}.dcm"}}
NO_BOOTSTRAP = {"metrics": {"bootstrap": 0, "group_by": ["structure"], "cluster_by": "case"}}


def _drawn(seed: int) -> NDArray[np.uint8]:
    return (np.random.default_rng(seed).random(SIZE) < 0.4).astype(np.uint8)


def _seg(path: Path, drawn: Mapping[int, NDArray[np.uint8]], kind: str = "BINARY", **elements: Any) -> None:
    """A SEG of masks by their numbers; planes where one is empty have no frame, as most writers leave them out."""
    frames = [
        (number, (*CROOKED[:2], 2.5 * plane), pixels)
        for number, volume in drawn.items()
        for plane, pixels in enumerate(volume)
        if pixels.any()
    ]
    referred = {"ReferencedSeriesSequence": [item(SeriesInstanceUID=SERIES)]} | elements
    save(path, segmentation(frames, kind, PatientName=SECRET, **referred))


def test_a_row_for_each_segment(tmp_path: Path) -> None:
    """By the numbers, never by what a header calls them."""
    _seg(tmp_path / "refs/a.dcm", {1: _drawn(1), 4: _drawn(2)})
    _seg(tmp_path / "refs/b.dcm", {4: _drawn(3)})
    _seg(tmp_path / "preds/a.dcm", {4: _drawn(4), 9: _drawn(5)})
    listing = listed(tmp_path, PATTERNS, metrics={"group_by": ["structure"], "cluster_by": "case"}, **PREDICTED)
    rows = listing.images
    assert list(rows["image_id"]) == ["a/segment-1", "a/segment-4", "b/segment-4"]
    assert list(rows["case"]) == ["a", "a", "b"]
    assert list(rows["structure"]) == ["segment-1", "segment-4", "segment-4"]
    assert places(listing, "reference", tmp_path) == [f"refs/{one}" for one in (
        "a.dcm#segment=1", "a.dcm#segment=4", "b.dcm#segment=4")]  # fmt: skip
    assert places(listing, "prediction", tmp_path) == ["", "preds/a.dcm#segment=4", ""]
    assert told(listing)[-3:] == [
        "references: 3 segments of 2 files, each by itself",
        "predictions: 1 segment of a reference has none: a/segment-1",
        "predictions: 1 segment has no reference: a/segment-9",
    ]
    summary = next(role for role in listing.roles if role.role == "prediction")
    assert (summary.n_paired, summary.absent, summary.unused) == (1, ("a/segment-1", "b/segment-4"), ("a/segment-9",))


def _dice(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_overlapping_segments_are_scored_in_one_run(tmp_path: Path, kind: str) -> None:
    """Against Dice of the masks that were drawn; a segment that the prediction lacks counts as missed."""
    drawn = {number: _drawn(number) for number in (1, 2, 3)}
    found = {number: _drawn(10 + number) for number in (1, 3, 7)}
    series(tmp_path / "tree/ct")
    _seg(tmp_path / "tree/first/1.dcm", drawn)
    scale = {"FRACTIONAL": 200, "BINARY": 1}[kind]
    _seg(tmp_path / "second/2.dcm", {n: mask * np.uint8(scale) for n, mask in found.items()}, kind)
    classes = {"classes": ["background", "structure"]}
    report = evaluate(
        predictions=tmp_path / "second",
        references=tmp_path / "tree",
        output=tmp_path / "out",
        settings=NO_BOOTSTRAP | {"dataset": {"segment": "each"} | classes},
    )
    rows = report.table("per_image")
    per_image = rows[rows["class_index"] == 1].set_index("structure")
    assert per_image["status"].to_dict() == {"segment-1": "ok", "segment-2": "failed", "segment-3": "ok"}
    for number in (1, 3):
        assert per_image["dice"][f"segment-{number}"] == pytest.approx(_dice(drawn[number], found[number]))
    assert bool(per_image["prediction_missing"]["segment-2"])
    assert per_image["reference_pixels"]["segment-2"] == drawn[2].sum()
    assert "expected 2.dcm#segment=2, none" in per_image["error"]["segment-2"]
    assert "image-twice" not in {one.signature for one in diagnose(report.path)}, "segments of an image are no copies"
    assert not any(SECRET.encode() in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert not any(b"drawn 1" in path.read_bytes() for path in (tmp_path / "out").rglob("*.html"))


def test_a_run_again_reads_nothing_anew(tmp_path: Path) -> None:
    """What stands for a segment is remembered by itself: the files are the same, the counts are not."""
    drawn = {1: _drawn(1), 2: _drawn(2)}
    _seg(tmp_path / "refs/a.dcm", drawn)
    _seg(tmp_path / "preds/a.dcm", {1: drawn[1], 2: drawn[1]}, SeriesInstanceUID="1.2.3.78")
    config = configured(tmp_path, PATTERNS, store={"path": "s"}, report={"path": "r"}, metrics={"bootstrap": 0},
                        **PREDICTED)  # fmt: skip
    first, second = run(config), run(config)
    assert first.run_id == second.run_id


@pytest.mark.parametrize(
    ("dataset", "sections", "words"),
    [
        pytest.param({}, {}, "expected the number of a segment", id="a network"),
        pytest.param({}, {"predictions": {"path": "maps/{id}.nii.gz"}}, "this prediction is none", id="label maps"),
        pytest.param({}, {"predictions": {"path": "scans/{id}.dcm"}}, "this prediction is none", id="a scan"),
        pytest.param({"references": "maps/{id}.nii.gz"}, PREDICTED, "this reference is none", id="references"),
        pytest.param({"references": "refs/{case}_{id}.dcm"}, PREDICTED, "a column case", id="a field of that name"),
        pytest.param({"segment": "all"}, PREDICTED, 'expected 1 to 65535, or "each", got "all"', id="another word"),
        pytest.param({"segment": 0}, PREDICTED, 'expected 1 to 65535, or "each", got 0', id="the background"),
        pytest.param({"references": "odd/*"}, PREDICTED, "is called as a segment", id="a taken name"),
    ],
)
def test_what_is_refused(tmp_path: Path, dataset: dict[str, Any], sections: dict[str, Any], words: str) -> None:
    _seg(tmp_path / "refs/a_b.dcm", {1: _drawn(1)})
    for name in ("preds/a_b.dcm", "preds/b.dcm", "odd/a_b.dcm#segment=3"):
        _seg(tmp_path / name, {1: _drawn(2)})
    make(tmp_path, "maps/a_b.nii.gz")
    series(tmp_path / "scans")
    (tmp_path / "scans/0.dcm").rename(tmp_path / "scans/a_b.dcm")
    images = {} if sections else {"images": "scans/{id}.dcm"}
    assert words in refused(tmp_path, PATTERNS | images | dataset, **sections)


def test_a_damaged_file_fails_by_itself(tmp_path: Path) -> None:
    """Nobody knows its segments: it stays one image, which says why; those of a damaged prediction are all missing."""
    for name in ("refs/a.dcm", "refs/b.dcm", "preds/a.dcm", "preds/b.dcm"):
        _seg(tmp_path / name, {1: _drawn(1), 2: _drawn(2)})
    for name in ("refs/a.dcm", "preds/b.dcm"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    listing = listed(tmp_path, PATTERNS, **PREDICTED)
    assert list(listing.images["image_id"]) == ["a", "b/segment-1", "b/segment-2"]
    assert listing.images["structure"].isna().tolist() == [True, False, False]
    assert all(version for version in listing.images["prediction_version"])
