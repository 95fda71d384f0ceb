"""Pairs that share voxels, and which of them are matched, against brute force."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.bit_rows import bit_rows
from segscale.tasks.lesions.components import components
from segscale.tasks.lesions.instances import instances_of
from segscale.tasks.lesions.lesion_map import LesionMap
from segscale.tasks.lesions.matching import matched
from segscale.tasks.lesions.overlaps import Overlaps, overlaps
from tests.tasks.lesions.drawn_lesions import masks
from tests.tasks.lesions.lesion_labels import as_labels

Pair = tuple[int, int]


@given(masks(number=2), st.sampled_from((4, 8, 6, 18, 26)))
def test_pairs_share_the_voxels_that_both_labels_have(drawn: tuple[NDArray[np.bool_], ...], neighbours: int) -> None:
    reference, prediction = (components(bit_rows(mask), mask.shape[-1], neighbours) for mask in drawn)
    shared = overlaps(reference, prediction)
    both = zip(as_labels(reference).ravel().tolist(), as_labels(prediction).ravel().tolist(), strict=True)
    expected = sorted(Counter((a - 1, b - 1) for a, b in both if a and b).items())
    found = zip(shared.reference.tolist(), shared.prediction.tolist(), strict=True)
    assert list(zip(found, shared.voxels.tolist(), strict=True)) == expected


def row_of(*labels: int) -> LesionMap:
    """Instances along a row."""
    return instances_of(np.array([[labels]], np.int64))


def matched_labels(reference: LesionMap, prediction: LesionMap, rule: str, threshold: float) -> list[Pair]:
    shared = overlaps(reference, prediction)
    chosen = matched(shared, reference, prediction, rule, threshold)  # type: ignore[arg-type]
    of_both = reference.label[shared.reference[chosen]], prediction.label[shared.prediction[chosen]]
    return list(zip(*(labels.tolist() for labels in of_both), strict=True))


@pytest.mark.parametrize(
    ("reference", "prediction", "rule", "threshold", "expected"),
    [
        ((1, 1, 1, 1), (0, 0, 0, 5), "overlap", 0.5, [(1, 5)]),
        ((1, 1, 1, 1), (4, 0, 0, 5), "overlap", 0.5, [(1, 4), (1, 5)]),
        ((1, 1, 0, 2), (5, 5, 5, 5), "overlap", 0.5, [(1, 5), (2, 5)]),
        ((1, 1, 1, 1), (0, 0, 5, 5), "iou", 0.5, [(1, 5)]),
        ((1, 1, 1, 1), (0, 0, 5, 5), "iou", np.nextafter(0.5, 1), []),
        ((1, 1, 1, 0), (0, 5, 5, 5), "dice", 2 / 3, [(1, 5)]),
        ((1, 1, 1, 0), (0, 5, 5, 5), "iou", 2 / 3, []),
        ((1, 1, 1, 1), (4, 0, 5, 5), "iou", 0.0, [(1, 5)]),
        ((1, 1, 0, 2), (5, 5, 5, 5), "iou", 0.0, [(1, 5)]),
        ((1, 1, 2, 2, 2, 2), (7, 7, 7, 7, 8, 0), "iou", 0.2, [(1, 7), (2, 8)]),
        ((1, 1, 2, 2, 2, 2), (7, 7, 7, 7, 8, 0), "iou", 0.3, [(1, 7)]),
        ((1, 1, 2, 2, 2, 2, 2), (1, 2, 2, 2, 2, 2, 2), "iou", 0.1, [(1, 1), (2, 2)]),
        ((1, 2, 0), (2, 1, 0), "iou", 0.5, [(1, 2), (2, 1)]),
    ],
    ids=[
        "one voxel is enough", "split: both pieces", "merged: both lesions", "a threshold is reached",
        "a threshold is just not reached", "dice reaches what ...", "... iou does not", "split: the larger piece",
        "merged: the larger lesion", "a chain: the largest sum", "a chain: what is below does not count",
        "two and two", "numbers mean nothing",
    ],
)  # fmt: skip
def test_what_is_matched(
    reference: tuple[int, ...], prediction: tuple[int, ...], rule: str, threshold: float, expected: list[Pair]
) -> None:
    assert matched_labels(row_of(*reference), row_of(*prediction), rule, threshold) == expected


def test_nothing_is_matched_with_nothing() -> None:
    none, some = row_of(0, 0, 0), row_of(1, 0, 2)
    for pair in ((none, none), (none, some), (some, none)):
        shared = overlaps(*pair)
        assert isinstance(shared, Overlaps)
        assert len(shared) == 0
        for rule in ("overlap", "iou", "dice"):
            assert matched_labels(*pair, rule, 0.0) == []
