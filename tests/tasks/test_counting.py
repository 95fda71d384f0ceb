import io
import math
from dataclasses import fields

import numpy as np
import pyarrow.parquet as pq
import pytest

from segscale.storage import parts
from segscale.storage.failures import Failure
from segscale.tasks.counting import class_pixels, count_rows, failed_rows
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap

REFERENCE = np.array([[1, 1, 0, 0], [0, 0, 255, 0]], np.uint8)
FOREGROUND = np.array([[0.75, 0.25, 0.5, 0.0], [0.0, 0.0, 1.0, 0.0]], np.float32)


def _two_classes() -> OverlapCounts:
    return count_overlap(REFERENCE, n_classes=2, probabilities=FOREGROUND, ignore_index=255)


def _three_classes() -> OverlapCounts:
    channels = np.stack([1 - FOREGROUND, FOREGROUND, np.zeros_like(FOREGROUND)], axis=-1)
    return count_overlap(REFERENCE, n_classes=3, probabilities=channels, ignore_index=255)


def test_a_part_holds_what_is_counted() -> None:
    # Storage does not know how pixels are counted: it has the numbers and the names of its own.
    assert parts.BINS == BINS
    assert {*parts.COUNTS, *parts.SOFT_SUMS, *parts.HISTOGRAMS} == {field.name for field in fields(OverlapCounts)}


def test_two_classes_by_hand() -> None:
    background, lesion = count_rows("a", "last", _two_classes())
    assert [background["class_index"], lesion["class_index"]] == [0, 1]
    for row in (background, lesion):
        assert (row["image_id"], row["head"], row["status"], row["error"]) == ("a", "last", "ok", "")
        assert (row["n_pixels"], row["n_ignored"]) == (8, 1)
    assert [lesion[name] for name in parts.COUNTS[2:]] == [1, 1, 1, 4, 2]
    assert [background[name] for name in parts.COUNTS[2:]] == [4, 1, 1, 1, 5]
    assert [lesion[name] for name in parts.SOFT_SUMS] == [1.0, 1.5, 0.75**2 + 0.25**2 + 0.5**2]
    assert background["histogram_foreground"] is background["histogram_background"] is None
    assert {k: n for k, n in enumerate(lesion["histogram_foreground"]) if n} == {64: 1, 192: 1}
    assert {k: n for k, n in enumerate(lesion["histogram_background"]) if n} == {0: 4, 128: 1}


def test_of_more_classes_each_has_its_histogram() -> None:
    rows = count_rows("a", "last", _three_classes())
    assert [row["class_index"] for row in rows] == [0, 1, 2]
    assert [sum(row["histogram_foreground"]) for row in rows] == [5, 2, 0]
    assert [sum(row["histogram_background"]) for row in rows] == [2, 5, 7]


def test_label_maps_have_no_histogram_and_no_soft_sums() -> None:
    rows = count_rows("a", "", count_overlap(REFERENCE, n_classes=2, label_map=REFERENCE % 255, ignore_index=255))
    for row in rows:
        assert row["histogram_foreground"] is row["histogram_background"] is None
        assert all(math.isnan(row[name]) for name in parts.SOFT_SUMS)
    assert rows[1]["true_positive"] == 2


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_failed_image_has_no_counts_and_a_reason(n_classes: int) -> None:
    rows = failed_rows("a", "last", n_classes, Failure("predict", "BadProbabilities", "NaN"))
    assert [row["class_index"] for row in rows] == list(range(n_classes))
    for row in rows:
        assert {row[name] for name in (*parts.COUNTS, *parts.HISTOGRAMS)} == {None}
        assert all(math.isnan(row[name]) for name in parts.SOFT_SUMS)
        assert (row["status"], row["stage"], row["error_type"], row["error"]) == (
            "failed",
            "predict",
            "BadProbabilities",
            "NaN",
        )


def test_a_failed_prediction_leaves_the_reference_known() -> None:
    failure = Failure("score", "MissingFile", "prediction: expected a.png")
    rows = failed_rows("a", "", 3, failure, [5, 0, 2])
    assert [row["reference_pixels"] for row in rows] == [5, 0, 2]
    assert {row[name] for row in rows for name in (*parts.COUNTS, *parts.HISTOGRAMS)} == {None}
    assert [row["reference_pixels"] for row in failed_rows("a", "", 3, failure)] == [None] * 3


def test_the_reference_pixels_of_a_sound_image_are_its_reference_sum() -> None:
    rows = count_rows("a", "last", _three_classes())
    assert [row["reference_pixels"] for row in rows] == [row["reference_sum"] for row in rows]


@pytest.mark.parametrize("shape", [(1, 7, 9), (3, 40, 31), (2, 900, 1100)], ids=["image", "volume", "some at a time"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_class_pixels_are_those_of_numpy(shape: tuple[int, ...], n_classes: int) -> None:
    reference = np.random.default_rng(n_classes).choice([*range(n_classes), 255], shape).astype(np.uint8)
    padded = np.pad(reference, [(0, 0), (0, 3), (0, 2)])[:, : shape[1], : shape[2]]
    assert class_pixels(padded, n_classes) == [np.count_nonzero(reference == index) for index in range(n_classes)]


def test_rows_are_exactly_the_columns_of_a_part() -> None:
    rows = [*count_rows("a", "last", _two_classes()), *failed_rows("b", "last", 2, Failure("ingest", "E", "why"))]
    for row in rows:
        assert set(row) == set(parts.SCHEMA.names)
    assert pq.read_table(io.BytesIO(parts.encode_part(rows))).to_pylist()[:2] == rows[:2]


def test_counts_beyond_four_bytes_survive() -> None:
    counts = _two_classes()
    for _ in range(32):
        counts = counts + counts
    rows = count_rows("a", "last", counts)
    assert rows[1]["true_negative"] == 4 * 2**32
    read = pq.read_table(io.BytesIO(parts.encode_part(rows))).to_pylist()
    assert read[1]["n_pixels"] == 8 * 2**32
    assert sum(read[1]["histogram_background"]) == 5 * 2**32


MIXES = {
    "label maps": "lll",
    "probabilities": "ppp",
    "both": "lpl",
    "the prediction failed of two, the image of one": "mflmp",
    "all failed": "fmf",
    "none": "",
}


@pytest.mark.parametrize("kinds", [pytest.param(kinds, id=name) for name, kinds in MIXES.items()])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_part_from_columns_is_that_from_rows(kinds: str, n_classes: int) -> None:
    probable = _two_classes() if n_classes == 2 else _three_classes()
    labels = count_overlap(REFERENCE, n_classes=n_classes, label_map=REFERENCE % 255, ignore_index=255)
    ids = [f"ï{place}" for place in range(len(kinds))]
    counts = {name: np.full((len(kinds), n_classes), 99) for name in parts.COUNTS}
    soft_sums = {name: np.full((len(kinds), n_classes), 99.0) for name in parts.SOFT_SUMS}
    histograms = {
        name: np.full((len(kinds), *getattr(probable, name).shape), 99, np.int64) for name in parts.HISTOGRAMS
    }
    failed: dict[int, parts.FailedImage] = {}
    rows = []
    for place, kind in enumerate(kinds):
        if kind in "mf":
            pixels = list(range(n_classes)) if kind == "m" else None
            failed[place] = parts.FailedImage(Failure("score", "MissingFile", f"why {place}"), pixels)
            rows += failed_rows(ids[place], "head", n_classes, failed[place].failure, pixels)
            continue
        counted = probable if kind == "p" else labels
        rows += count_rows(ids[place], "head", counted)
        for columns in (counts, soft_sums):
            for name, column in columns.items():
                column[place] = getattr(counted, name)
        for name in parts.HISTOGRAMS if kind == "p" else ():
            histograms[name][place] = getattr(counted, name)
    expected = parts.encode_part(rows)
    assert (
        parts.encode_counts(ids, "head", counts, soft_sums=soft_sums, histograms=histograms, failed=failed) == expected
    )
    if "p" not in kinds:
        alone = counts | {name: counts[name][:, :1] for name in ("n_pixels", "n_ignored")}
        assert parts.encode_counts(ids, "head", alone, failed=failed) == expected
