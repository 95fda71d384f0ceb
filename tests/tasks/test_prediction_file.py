from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import ContradictionError, DataError
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.prediction_file import Counting, Kind
from tests.tasks.counted import count_prediction
from tests.tasks.encoded import npy, png, tiff

SIZE = (1, 9, 11)
ASKED = Counting(0.5, LabelRule(2, (0, 255), ignored=128))


def classes(seed: int, n_classes: int = 2) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, n_classes, SIZE, np.uint8)


def same_labels(reference: NDArray[np.uint8], predicted: NDArray[np.uint8], counts: OverlapCounts) -> bool:
    n_classes = counts.n_classes
    return counts == count_overlap(reference, n_classes=n_classes, label_map=predicted, ignore_index=IGNORED)


REFERENCE, PREDICTED = classes(1), classes(2)
HOLED = REFERENCE.copy()
HOLED[0, 2:4] = IGNORED


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["labels", "floats"])
def test_floats_that_are_labels(dtype: str, kind: Any) -> None:
    data = npy((PREDICTED[0] * 255).astype(dtype))
    if kind == "floats":
        with pytest.raises(DataError, match=r'from 0 to 255; .*predictions\.kind = "labels"'):
            count_prediction(REFERENCE, data, "p.npy", ASKED)
    else:
        assert same_labels(REFERENCE, PREDICTED, count_prediction(REFERENCE, data, "p.npy", replace(ASKED, kind=kind)))


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        pytest.param([0.0, 3.0], "floats", "whole numbers up to 3", id="labels among probabilities"),
        pytest.param([0.0, 0.25], "labels", "values like 0.25", id="probabilities among labels"),
    ],
)
def test_what_contradicts_the_files_looked_at(values: list[float], kind: Any, words: str) -> None:
    data = npy(np.resize(np.array(values, np.float32), (9, 11)))
    with pytest.raises(ContradictionError, match=rf"p\.npy: .*{words}.*predictions\.kind"):
        count_prediction(REFERENCE, data, "p.npy", replace(ASKED, kind=kind, kind_found=True))
    with pytest.raises(DataError):
        count_prediction(REFERENCE, data, "p.npy", replace(ASKED, kind=kind))


def test_zeros_and_ones_follow_the_set() -> None:
    data = npy(PREDICTED.astype(np.float32))
    found = replace(ASKED, labels=LabelRule(2, found=True), kind_found=True)
    asked: tuple[tuple[Kind, bool], ...] = (("labels", False), ("floats", True))
    for kind, soft in asked:
        counts = count_prediction(REFERENCE, data, "p.npy", replace(found, kind=kind))
        assert counts.true_positive[1] == np.count_nonzero(REFERENCE & PREDICTED)
        assert bool(counts.n_histograms) is soft


@pytest.mark.parametrize(("name", "encode"), [("p.png", png), ("p.tif", tiff), ("p.npy", npy)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pictures_as_probabilities(name: str, encode: Callable[..., bytes], dtype: str) -> None:
    codes = np.random.default_rng(5).integers(0, np.iinfo(dtype).max, SIZE[1:], dtype, endpoint=True)
    counts = count_prediction(REFERENCE, encode(codes), name, replace(ASKED, kind="probabilities"))
    share = codes.astype(np.float32) / np.float32(np.iinfo(dtype).max)
    assert counts == count_overlap(REFERENCE, n_classes=2, probabilities=share[None], ignore_index=IGNORED)


def test_predictions_have_values_of_their_own() -> None:
    data = png(np.where(PREDICTED[0] == 1, 128, 7).astype(np.uint8))
    own = replace(ASKED, labels=LabelRule(2, (7, 128)))
    assert same_labels(REFERENCE, PREDICTED, count_prediction(REFERENCE, data, "p.png", own))


@pytest.mark.parametrize(("name", "encode"), [("p.png", png), ("p.npy", npy)])
def test_the_ignored_value_may_be_repeated(name: str, encode: Callable[..., bytes]) -> None:
    stored = np.where(HOLED == IGNORED, 128, PREDICTED * 255).astype(np.uint8)
    assert same_labels(HOLED, PREDICTED, count_prediction(HOLED, encode(stored[0]), name, ASKED))
    elsewhere = stored.copy()
    elsewhere[0, 0, :3] = 128
    with pytest.raises(DataError, match=rf"{name}: the prediction holds the ignore_label 128 at 3 pixels"):
        count_prediction(HOLED, encode(elsewhere[0]), name, ASKED)


def test_nan_where_the_reference_is_ignored() -> None:
    probabilities = np.random.default_rng(3).random(SIZE).astype(np.float32)
    holed = np.where(HOLED == IGNORED, np.float32(np.nan), probabilities)
    counts = count_prediction(HOLED, npy(holed), "p.npy", ASKED)
    assert counts == count_overlap(HOLED, n_classes=2, probabilities=probabilities, ignore_index=IGNORED)
    holed[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="1 of 99 probabilities are NaN"):
        count_prediction(HOLED, npy(holed[..., None]), "p.npy", ASKED)


def _stack(n_classes: int, dtype: str, scale: float = 1.0) -> NDArray[Any]:
    scores = np.random.default_rng(4).random((*SIZE, n_classes)) + 0.05
    stack: NDArray[Any] = (scale * scores / scores.sum(axis=-1, keepdims=True)).astype(dtype)
    return stack


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_channels_that_sum_to_one(dtype: str, n_classes: int) -> None:
    stack, reference = _stack(n_classes, dtype), classes(1, n_classes)
    counts = count_prediction(reference, npy(stack), "p.npy", replace(ASKED, labels=LabelRule(n_classes)))
    assert counts == count_overlap(reference, n_classes=n_classes, probabilities=stack.astype(np.float32))


@pytest.mark.parametrize("scale", [1.01, 0.98, 1.4, 0.5])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_channels_that_do_not_sum_to_one(n_classes: int, scale: float) -> None:
    stack, reference = np.clip(_stack(n_classes, "float32", scale), 0, 1), classes(1, n_classes)
    counting = replace(ASKED, labels=LabelRule(n_classes))
    with pytest.raises(DataError, match=rf"p\.npy: its {n_classes} channels sum to .*independent.*argmax"):
        count_prediction(reference, npy(stack), "p.npy", counting)
    counts = count_prediction(reference, npy(stack), "p.npy", replace(counting, channels="argmax"))
    assert same_labels(reference, stack.argmax(axis=-1).astype(np.uint8), counts)


def test_channels_need_not_sum_to_one_where_nothing_counts() -> None:
    stack = _stack(2, "float32")
    stack[HOLED == IGNORED] = 0
    assert count_prediction(HOLED, npy(stack), "p.npy", ASKED).n_ignored == 22


def test_independent_channels_of_two_classes() -> None:
    stack = np.random.default_rng(6).random((*SIZE, 2)).astype(np.float32)
    counts = count_prediction(REFERENCE, npy(stack), "p.npy", replace(ASKED, channels="independent"))
    assert counts == count_overlap(REFERENCE, n_classes=2, probabilities=stack[..., 1])


def test_independent_channels_of_more_classes() -> None:
    reference, chosen = classes(1, 3), classes(2, 3)
    stack = np.full((*SIZE, 3), 0.25, np.float32)
    stack[chosen == 1, 1], stack[chosen == 2, 2] = 0.5, 0.75
    counting = Counting(0.5, LabelRule(3), channels="independent")
    assert same_labels(reference, chosen, count_prediction(reference, npy(stack), "p.npy", counting))
    stack[0, 0, :2, 1:] = 0.6
    with pytest.raises(DataError, match="at 2 pixels two or more foreground channels reach the threshold"):
        count_prediction(reference, npy(stack), "p.npy", counting)


def test_nan_of_a_label_map_where_the_reference_is_ignored() -> None:
    stored = np.where(HOLED == IGNORED, np.nan, PREDICTED * 255.0)
    counting = replace(ASKED, kind="labels", kind_found=True)
    assert same_labels(HOLED, PREDICTED, count_prediction(HOLED, npy(stored), "p.npy", counting))
    stored[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="holds the ignore_label 128 at 1 pixels"):
        count_prediction(HOLED, npy(stored), "p.npy", counting)


def test_integers_of_0_and_1_are_no_shares_of_full_scale() -> None:
    with pytest.raises(DataError, match=r'integers of 0 and 1 alone.*predictions\.kind = "labels"'):
        count_prediction(REFERENCE, png(PREDICTED[0]), "p.png", replace(ASKED, kind="probabilities"))


def test_a_grey_picture_in_three_channels_is_one() -> None:
    grey = np.random.default_rng(8).integers(0, 256, SIZE[1:], np.uint8)
    probabilities = replace(ASKED, kind="probabilities")
    one, three = (count_prediction(REFERENCE, png(values), "p.png", probabilities) for values in (
        grey, np.stack([grey] * 3, axis=-1)
    ))  # fmt: skip
    assert one == three


def test_shares_that_were_cut_off_are_a_distribution() -> None:
    codes = (_stack(3, "float64") * 255).astype(np.uint8)
    reference = classes(1, 3)
    counting = Counting(0.5, LabelRule(3), kind="probabilities")
    assert count_prediction(reference, npy(codes), "p.npy", counting).n_histograms == 3


def test_zeros_and_ones_of_three_classes_are_named_as_labels() -> None:
    with pytest.raises(DataError, match=r'one number a pixel for 3 classes; .*predictions\.kind = "labels"'):
        count_prediction(classes(1, 3), npy(PREDICTED.astype(np.float32)), "p.npy", Counting(0.5, LabelRule(3)))
