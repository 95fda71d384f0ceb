import re
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segscale.errors import ContradictionError, DataError
from segscale.tasks import labels as tasks_labels
from segscale.tasks.labels import IGNORED, LabelRule, class_indices, to_class_indices, write_class_indices

FOUND = LabelRule(2, found=True)
"""Two classes without values, of a set whose files hold 0 and 1, or 0 and full scale."""


@pytest.mark.parametrize(
    ("labels", "rule", "expected"),
    [
        pytest.param([0, 1, 7, 255], LabelRule(2), [0, 1, 1, 1], id="two classes: 0 against anything else"),
        pytest.param([0, -1, 3], LabelRule(2, ignored=-1), [0, IGNORED, 1], id="two classes, some ignored"),
        pytest.param([0, 1, 2], LabelRule(3), [0, 1, 2], id="0 to n - 1"),
        pytest.param([0, 128, 255], LabelRule(2, (0, 255), 128), [0, IGNORED, 1], id="listed and ignored"),
        pytest.param([7, 5, 300], LabelRule(3, (300, 7, 5)), [1, 2, 0], id="position gives the class"),
        pytest.param([0, 255], LabelRule(2, (0, 1), 255), [0, IGNORED], id="ignored value equal to the mark"),
        pytest.param([0, 1], LabelRule(2, (0, 1), 1), [0, IGNORED], id="the ignored value wins"),
        pytest.param([253, 254], LabelRule(255), [253, 254], id="as many classes as fit"),
        pytest.param([], LabelRule(2, (0, 1)), [], id="no pixels"),
        pytest.param([0, 1, 1], FOUND, [0, 1, 1], id="found: 0 and 1"),
        pytest.param([0, 255], FOUND, [0, 1], id="found: 0 and white"),
        pytest.param([0, 0], FOUND, [0, 0], id="found: background alone"),
        pytest.param([255, 255], FOUND, [1, 1], id="found: foreground alone"),
        pytest.param([0, 255, 9], LabelRule(2, ignored=9, found=True), [0, 1, IGNORED], id="found, beside the ignored"),
        pytest.param([0, 7], LabelRule(2, (0, 7), found=True), [0, 1], id="found: 0 and 7"),
    ],
)
@pytest.mark.parametrize("dtype", ["int16", "int64"])
def test_class_indices(labels: list[int], rule: LabelRule, expected: list[int], dtype: str) -> None:
    stored = np.array(labels, dtype).reshape(1, 1, -1)
    found = to_class_indices(stored, rule)
    assert found.dtype == np.uint8
    assert found.shape == stored.shape
    assert found.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param((), [0, 1], id="nothing listed"),
        pytest.param((0, 1), [0, 1], id="1 is listed"),
        pytest.param((0, 255), [0, 1], id="white is listed: a file of one bit has no other"),
        pytest.param((255, 1), [IGNORED, 1], id="1 is listed, 0 is not"),
    ],
)
def test_true_is_full_scale(values: tuple[int, ...], expected: list[int]) -> None:
    labels = np.array([[[False, True]]])
    if IGNORED in expected:
        with pytest.raises(DataError, match="values 0"):
            to_class_indices(labels, LabelRule(2, values))
    else:
        assert to_class_indices(labels, LabelRule(2, values)).ravel().tolist() == expected


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8", "int32", "uint64"])
def test_full_scale_is_that_of_the_type(dtype: str) -> None:
    white = np.iinfo(dtype).max
    assert to_class_indices(np.array([[[0, white]]], dtype), FOUND).ravel().tolist() == [0, 1]


def test_values_that_the_type_cannot_hold_just_do_not_occur() -> None:
    labels = np.array([[[0, 255]]], np.uint8)
    assert to_class_indices(labels, LabelRule(2, (0, 255), -1)).ravel().tolist() == [0, 1]
    assert to_class_indices(labels, LabelRule(3, (0, 300, 255), 70000)).ravel().tolist() == [0, 2]


@pytest.mark.parametrize(
    ("labels", "rule", "message"),
    [
        pytest.param(
            [0, 64, 128, 128, 255],
            LabelRule(2, (0, 255)),
            "m.png: label values 128 (2 pixels), 64 (1 pixels) are no class; expected 0, 255",
            id="a mask resized with interpolation, most frequent value first",
        ),
        pytest.param(
            [9, 8, 7, 6, 5, 4, 4],
            LabelRule(2, (0, 1)),
            "4 (2 pixels), 5 (1 pixels), 6 (1 pixels), 7 (1 pixels), 8 (1 pixels) and 1 more values",
            id="five are named",
        ),
        pytest.param([0, 3], LabelRule(3), "3 (1 pixels) are no class; expected 0, 1, 2", id="beyond the classes"),
        pytest.param([-1], LabelRule(3), "-1 (1 pixels)", id="negative"),
        pytest.param([0, -1], LabelRule(3), "ignore_label = -1", id="the usual mark of what is not counted is named"),
        pytest.param([0], LabelRule(2, (0,)), "label_values [0]: expected 2 different values", id="too few values"),
        pytest.param([0], LabelRule(2, (4, 4)), "label_values [4, 4]: expected 2 different values", id="a value twice"),
        pytest.param([0], LabelRule(256), "256 classes; expected 2 to 255", id="255 is the mark of the ignored"),
        pytest.param([0], LabelRule(1), "1 classes; expected 2 to 255", id="one class"),
    ],
)
def test_refused_labels(labels: list[int], rule: LabelRule, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        to_class_indices(np.array([[labels]], np.int32), rule, "m.png")


@pytest.mark.parametrize(
    ("labels", "rule", "words"),
    [
        pytest.param([0, 2], FOUND, "0, 2", id="one value, but not the set's"),
        pytest.param([0, 1, 2], FOUND, "dataset.label_values = [0, 1, 2]", id="classes"),
        pytest.param([0, 1, 255], FOUND, "dataset.ignore_label = 255", id="white beside a class may be ignored"),
        pytest.param([0, -1], FOUND, "dataset.ignore_label = -1", id="white in int8, or ignored"),
        pytest.param([0, 1], LabelRule(2, (0, 7), found=True), "hold 0 and 7 alone", id="1 where others hold 7"),
        pytest.param([0, 254, 255], FOUND, "JPEG", id="what JPEG leaves"),
    ],
)
def test_a_file_of_another_kind_is_no_bad_file(labels: list[int], rule: LabelRule, words: str) -> None:
    with pytest.raises(ContradictionError, match=re.escape(words)) as caught:
        to_class_indices(np.array([[labels]], np.int16), rule, "m.png")
    assert str(caught.value).startswith("m.png: expected 0 and one other value")
    assert not isinstance(caught.value, DataError)


@given(
    hnp.arrays(np.int16, (2, 3, 4), elements=st.sampled_from([0, 1, 2, 255, -1])),
    st.sampled_from([None, -1, 2]),
)
def test_two_values_or_none(labels: NDArray[Any], ignored: int | None) -> None:
    counted = labels if ignored is None else labels[labels != ignored]
    others = set(np.unique(counted).tolist()) - {0}
    rule = LabelRule(2, ignored=ignored, found=True)
    if len(others) <= 1 and others <= {1, 255}:
        found = to_class_indices(labels, rule)
        assert np.array_equal(found == 1, (labels != 0) & (labels != (ignored if ignored is not None else 0)))
    else:
        with pytest.raises(ContradictionError):
            to_class_indices(labels, rule)


@pytest.mark.parametrize("place", [0, -1], ids=["planes first", "planes last"])
@pytest.mark.parametrize("white", [True, 1, 255, 1.0], ids=repr)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_hot_planes(n_classes: int, white: Any, place: int) -> None:
    truth = np.random.default_rng(1).integers(0, n_classes, (1, 6, 7))
    planes = np.stack(
        [np.where(truth == index, white, 0).astype(type(white)) for index in range(n_classes)], axis=place
    )
    assert np.array_equal(class_indices(planes, truth.shape, LabelRule(n_classes), "m.npy"), truth)


@pytest.mark.parametrize(
    "planes",
    [
        pytest.param(np.zeros((3, 6, 7), np.uint8), id="no class is set"),
        pytest.param(np.ones((3, 6, 7), np.uint8), id="all classes are set"),
        pytest.param(np.eye(3, dtype=np.uint8)[np.zeros((6, 7), int)] * [1, 2, 3] + [0, 0, 1], id="no marks"),
    ],
)
def test_planes_that_are_not_one_hot(planes: NDArray[Any]) -> None:
    with pytest.raises(DataError, match=r"m\.npy: a stack of 3 planes.*one-hot"):
        class_indices(planes, (1, 6, 7), LabelRule(3), "m.npy")


def test_planes_of_two_values_are_refused() -> None:
    planes = np.eye(2, dtype=np.uint8)[np.arange(42).reshape(6, 7) % 2] * np.array([1, 2], np.uint8)
    with pytest.raises(DataError, match="not by one value"):
        class_indices(planes, (1, 6, 7), LabelRule(2), "m.npy")


def test_a_negative_value_is_never_a_class_by_itself() -> None:
    labels = np.array([[[0, 3, 7, -1]]], np.int16)
    with pytest.raises(DataError, match=r"m\.png: label values -1 \(1 pixels\) are no class; .*ignore_label = -1"):
        to_class_indices(labels, LabelRule(2), "m.png")
    assert to_class_indices(labels, LabelRule(2, ignored=-1)).ravel().tolist() == [0, 1, 1, IGNORED]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        pytest.param([100, 200], "the two classes (dataset.label_values = [100, 200])", id="none of them 0"),
        pytest.param([1, 2], "[1, 2]", id="0 is not among them"),
        pytest.param([0, 4095], "save it anew", id="a file that should be as the others"),
    ],
)
def test_only_what_was_found_is_named(labels: list[int], words: str) -> None:
    with pytest.raises(ContradictionError, match=re.escape(words)):
        to_class_indices(np.array([[labels]], np.int32), FOUND, "m.png")


RULES = [
    FOUND, LabelRule(2), LabelRule(2, ignored=9), LabelRule(2, ignored=0), LabelRule(2, (0, 255)),
    LabelRule(2, (255, 1)), LabelRule(2, (0, 7), 7), LabelRule(2, (0, 7), found=True), LabelRule(3),
    LabelRule(2, ignored=1, found=True), LabelRule(3, (0, 300, 255), 70000), LabelRule(7, ignored=255),
    LabelRule(254), LabelRule(255), LabelRule(255, ignored=255),
]  # fmt: skip


@given(data=st.data(), rule=st.sampled_from(RULES))
def test_bytes_are_looked_up_as_other_integers_are_compared(data: st.DataObject, rule: LabelRule) -> None:
    values = data.draw(st.lists(st.sampled_from((0, 1, 2, 6, 7, 9, 127, 253, 254, 255)), min_size=1, max_size=3))
    labels = data.draw(hnp.arrays(np.uint8, (1, 3, 4), elements=st.sampled_from(values)))

    def found(stored: NDArray[Any]) -> Any:
        try:
            return to_class_indices(stored, rule, "m.png").tolist()
        except (DataError, ContradictionError) as error:
            return type(error), str(error)

    def compared(stored: NDArray[Any]) -> Any:
        with patch.object(tasks_labels, "_indices_of_bytes", return_value=None):
            return found(stored)

    assert found(labels) == found(np.asfortranarray(labels)) == compared(labels)
    # Wider ones are looked up as well where they fit.
    for wider in (labels.astype(np.uint16), labels.astype(np.int64), labels.astype(np.int16) - 1):
        assert found(wider) == compared(wider)
    if not rule.values:
        assert found(labels > 0) == found((labels > 0).astype(np.uint8))


def test_class_indices_may_be_written_into() -> None:
    labels = np.zeros((1, 2, 2), np.uint8)
    to_class_indices(labels, LabelRule(2))[...] = 1
    assert not labels.any()


def _outcome(work: Any) -> Any:
    try:
        return work().tolist()
    except (DataError, ContradictionError) as error:
        return type(error), str(error)


@given(
    labels=hnp.arrays(st.sampled_from((np.uint8, np.int16, np.bool_)), (4, 2, 3), elements=st.sampled_from((0, 1)))
    | hnp.arrays(st.sampled_from((np.uint8, np.int16)), (4, 2, 3), elements=st.sampled_from((0, 1, 2, 7, 255)))
    | hnp.arrays(np.int16, (4, 2, 3), elements=st.sampled_from((0, -1)))
    | hnp.arrays(np.uint8, (2, 4, 2, 3), elements=st.sampled_from((0, 1))),
    rule=st.sampled_from(
        (
            LabelRule(2),
            LabelRule(2, found=True),
            LabelRule(2, (0, 255), 7),
            LabelRule(3),
            LabelRule(2, (0, 7), found=True),
        )
    ),
)
def test_planes_at_a_time_are_what_they_are_together(labels: NDArray[Any], rule: LabelRule) -> None:
    """With what is said of them: a value of the last plane may contradict the first."""

    def at_a_time() -> NDArray[np.uint8]:
        target = np.full((4, 2, 3), 99, np.uint8)
        write_class_indices(target, labels, target.shape, rule, "r.nii", planes_bytes=1)
        return target

    assert _outcome(at_a_time) == _outcome(lambda: class_indices(labels, (4, 2, 3), rule, "r.nii"))
