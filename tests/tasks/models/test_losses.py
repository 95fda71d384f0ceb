from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.models.losses import WeightedDiceCrossEntropy

HALF = (0.5, 0.5)


def expected_loss(
    reference: NDArray[np.uint8], probabilities: NDArray[np.float64], weights: tuple[float, ...], smooth: float
) -> float:
    """The loss of one image, (H, W) against (H, W, C), straight from the definition."""
    counted = reference != 255
    dice = []
    for index in range(len(weights)):
        t = (reference == index)[counted].astype(float)
        p = probabilities[..., index][counted]
        dice.append((2 * (p * t).sum() + smooth) / (p.sum() + t.sum() + smooth))
    of_reference = np.take_along_axis(probabilities, np.where(counted, reference, 0)[..., None], -1)[..., 0][counted]
    cross_entropy = -np.log(np.maximum(of_reference, 1e-7)).mean() if counted.any() else 0.0
    return float(1 - np.dot(weights, dice) + cross_entropy)


def value(loss: WeightedDiceCrossEntropy, reference: Any, prediction: Any) -> float:
    return float(loss(np.asarray(reference), np.asarray(prediction, np.float32)))


def test_worked_by_hand() -> None:
    # Two pixels, class 1 then 0, p(class 1) = 0.75 and 0.25, smooth 0: both Dice = 2 x .75 / (1 + 1) = .75.
    loss = WeightedDiceCrossEntropy(HALF, smooth=0.0)
    assert value(loss, [[[1, 0]]], [[[[0.75], [0.25]]]]) == pytest.approx(0.25 - np.log(0.75), abs=1e-6)


def test_perfect_prediction_costs_nothing() -> None:
    reference = np.array([[[0, 1], [1, 1]]])
    assert value(WeightedDiceCrossEntropy((0.3, 0.7)), reference, reference[..., None]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n_classes", [2, 4])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_agrees_with_the_definition_image_by_image(n_classes: int, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    smooth = data.draw(st.sampled_from([0.5, 1.0, 10.0]))
    reference = generator.choice([*range(n_classes), 255], size=(3, 4, 5)).astype(np.uint8)
    scores = generator.random((3, 4, 5, n_classes)) + 0.01
    probabilities = (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32).astype(np.float64)
    weights = tuple(np.full(n_classes, 1 / n_classes))
    expected = np.mean([expected_loss(r, p, weights, smooth) for r, p in zip(reference, probabilities, strict=True)])
    loss = WeightedDiceCrossEntropy(weights, smooth)
    assert value(loss, reference, probabilities) == pytest.approx(expected, abs=1e-4)
    assert value(loss, reference[..., None], probabilities) == pytest.approx(expected, abs=1e-4)


def test_one_sigmoid_output_equals_two_softmax_outputs() -> None:
    generator = np.random.default_rng(0)
    reference, foreground = generator.integers(0, 2, (2, 4, 4)), generator.random((2, 4, 4, 1), dtype=np.float32)
    loss = WeightedDiceCrossEntropy((0.3, 0.7))
    both = np.concatenate([1 - foreground, foreground], axis=-1)
    assert value(loss, reference, foreground) == pytest.approx(value(loss, reference, both), abs=1e-6)


def test_batch_summed_divides_once_for_the_whole_batch() -> None:
    reference = np.array([[[1, 1, 1, 1]], [[1, 0, 0, 0]]])
    prediction = np.array([[[1, 1, 1, 1]], [[0, 0, 0, 0]]])[..., None]
    foreground_only = (0.0, 1.0)
    cross_entropy = -np.log(1e-7) / 8
    per_sample = value(WeightedDiceCrossEntropy(foreground_only, smooth=0.0), reference, prediction)
    summed = value(
        WeightedDiceCrossEntropy(foreground_only, smooth=0.0, reduction_axes="batch_summed"), reference, prediction
    )
    assert per_sample - cross_entropy == pytest.approx(1 - (1 + 0) / 2, abs=1e-5)
    assert summed - cross_entropy == pytest.approx(1 - 2 * 4 / (4 + 5), abs=1e-5)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_what_is_predicted_on_ignored_pixels_never_matters(seed: int) -> None:
    generator = np.random.default_rng(seed)
    reference = generator.choice([0, 1, 255], size=(2, 4, 4)).astype(np.uint8)
    first = generator.random((2, 4, 4, 1), dtype=np.float32)
    second = np.where(reference[..., None] == 255, generator.random(first.shape, dtype=np.float32), first)
    loss = WeightedDiceCrossEntropy((0.3, 0.7))
    assert value(loss, reference, first) == value(loss, reference, second)


def test_image_of_ignored_pixels_only_costs_nothing() -> None:
    assert value(WeightedDiceCrossEntropy(HALF), np.full((1, 2, 2), 255), np.full((1, 2, 2, 1), 0.3)) == 0.0


def test_sure_mistake_has_a_finite_loss() -> None:
    assert value(WeightedDiceCrossEntropy(HALF), np.ones((1, 2, 2)), np.zeros((1, 2, 2, 1))) < 20


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        pytest.param((2, 4, 4, 2), (2, 4, 4, 2), id="one-hot reference"),
        pytest.param((2, 4, 4), (2, 4, 8, 1), id="another width"),
        pytest.param((1, 4, 4), (2, 4, 4, 1), id="another batch"),
        pytest.param((4, 4), (1, 4, 4, 1), id="no batch axis"),
        pytest.param((2, 4, 4), (2, 4, 4), id="no class axis"),
        pytest.param((2, 4, 4), (2, 4, 4, 3), id="three classes, two weights"),
    ],
)
def test_shapes_that_do_not_fit_are_named(reference: tuple[int, ...], prediction: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="reference") as caught:
        WeightedDiceCrossEntropy(HALF)(np.zeros(reference, np.uint8), np.zeros(prediction, np.float32))
    assert str(reference) in str(caught.value)
    assert str(prediction) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"class_weights": (1.0, 1.0)}, "sum to 1", id="weights not normalised"),
        pytest.param({"class_weights": (1.0,)}, "two or more", id="one class"),
        pytest.param({"class_weights": (-0.5, 1.5)}, "0 or more", id="negative weight"),
        pytest.param({"class_weights": HALF, "smooth": -1.0}, "smooth", id="negative smooth"),
        pytest.param({"class_weights": HALF, "reduction_axes": "mean"}, "reduction_axes", id="unknown sums"),
    ],
)
def test_settings_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightedDiceCrossEntropy(**arguments)


def test_serialised_loss_comes_back_equal() -> None:
    loss = WeightedDiceCrossEntropy((0.1, 0.2, 0.7), smooth=2.0, reduction_axes="batch_summed")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, WeightedDiceCrossEntropy)
    assert again.get_config() == loss.get_config()
