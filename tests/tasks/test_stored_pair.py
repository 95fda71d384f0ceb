"""Pairs that are counted as they are stored have the counts, and the refusals, of class indices counted one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from segscale.errors import ContradictionError, DataError
from segscale.tasks.labels import IGNORED, LabelRule, class_indices
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.stored_pair import count_stored

RULES = [
    LabelRule(2),
    LabelRule(2, found=True),
    LabelRule(2, (0, 255)),
    LabelRule(2, (0, 255), ignored=7),
    LabelRule(2, ignored=255, found=True),
    LabelRule(2, ignored=1, found=True),
    LabelRule(2, (0, 7), found=True),
    LabelRule(4),
    LabelRule(4, (9, 0, 255, 1), ignored=2),
    LabelRule(253, ignored=254),
    LabelRule(253, tuple(range(3, 256))),
]
SIDES = st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 30) | st.integers(60, 140))


def one_by_one(
    reference: NDArray[Any], prediction: NDArray[Any], rule: LabelRule, of_predictions: LabelRule
) -> OverlapCounts | None:
    """By the way of every other file; None where it refuses."""
    try:
        indices = class_indices(reference, reference.shape, rule, "r")
        predicted = class_indices(prediction, reference.shape, of_predictions, "p").copy()
    except (DataError, ContradictionError):
        return None
    held = predicted == IGNORED
    if (held & (indices != IGNORED)).any():
        return None
    predicted[held] = 0
    return count_overlap(indices, n_classes=rule.n_classes, label_map=predicted, ignore_index=IGNORED)


@st.composite
def stored(draw: st.DrawFn, size: tuple[int, ...]) -> NDArray[Any]:
    """Rows that hold runs, as masks do, of values that some rule knows."""
    if draw(st.booleans()):
        return draw(arrays.arrays(np.bool_, size))
    values = draw(st.sets(st.sampled_from([0, 1, 2, 3, 7, 9, 254, 255]), min_size=1, max_size=3))
    few = draw(arrays.arrays(np.uint8, size, elements=st.sampled_from(sorted(values)), fill=st.just(min(values))))
    return np.repeat(few, draw(st.sampled_from([1, 9])), axis=2)[:, :, : size[2]]


@given(st.data(), SIDES, st.sampled_from(RULES))
def test_counts_and_refusals_are_those_of_class_indices(data: st.DataObject, size: Any, rule: LabelRule) -> None:
    of_predictions = data.draw(st.sampled_from([one for one in RULES if one.n_classes == rule.n_classes]))
    reference, prediction = data.draw(stored(size)), data.draw(stored(size))
    expected = one_by_one(reference, prediction, rule, of_predictions)
    assert count_stored(reference, prediction, None, rule, of_predictions) == expected


@pytest.mark.parametrize(
    ("labels", "size", "n_classes", "reason"),
    [
        (np.zeros((1, 2, 3), np.uint16), None, 2, "no bytes"),
        (np.zeros((1, 2, 3), np.float32), None, 2, "nor floats"),
        (np.zeros((2, 3), np.uint8), None, 2, "an array without the axis of slices, which could be anything"),
        (np.zeros((4, 2, 3), np.uint8), None, 2, "slices, or planes of classes"),
        (np.zeros((1, 2, 3), np.uint8), (1, 3, 2), 2, "another size than that of its image"),
        (np.zeros((1, 2, 3), np.uint8), None, 254, "more classes than bytes can name with what stands beside them"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_simple(labels: NDArray[Any], size: Any, n_classes: int, reason: str) -> None:
    rule, flat = LabelRule(n_classes), np.zeros((1, 2, 3), np.uint8)
    assert count_stored(labels, labels, size, rule, rule) is None, reason
    # Beside a reference that is simple a prediction has to be so as well.
    if size is None:
        assert count_stored(flat, labels, None, rule, rule) is None, reason


def test_many_pixels_in_one_run_and_a_rest_of_no_whole_word() -> None:
    reference = np.zeros((1, 301, 333), np.uint8)
    prediction = reference.copy()
    reference[0, 100:200, 50:300], prediction[0, 110:210, 55:300] = 255, 255
    rule = LabelRule(2, found=True)
    assert count_stored(reference, prediction, None, rule, rule) == one_by_one(reference, prediction, rule, rule)


def test_volumes_of_the_size_of_their_image_count_in_any_memory_order() -> None:
    generator = np.random.default_rng(5)
    reference, prediction = generator.integers(0, 2, (2, 3, 17, 9), np.uint8)
    turned = np.asfortranarray(prediction)
    rule = LabelRule(2)
    assert count_stored(reference, turned, reference.shape, rule, rule) == one_by_one(reference, prediction, rule, rule)
