from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from segscale.tasks.models.losses import DiceCrossEntropy, FocalTversky, Tversky, WeightedDice

Pixels = NDArray[np.float64]
Definition = Callable[[Pixels, Pixels], float]
Network = Literal["sigmoid", "softmax"]

HALF = (0.5, 0.5)
N_CLASSES: dict[Network, int] = {"sigmoid": 2, "softmax": 4}
CLASS_WEIGHTS = {2: (0.3, 0.7), 4: (0.1, 0.2, 0.3, 0.4)}
FOREGROUND = {n: (0.0, *[1 / (n - 1)] * (n - 1)) for n in CLASS_WEIGHTS}
# Every choice once; each with each is the test below, of one input.
FORMS = (("per_sample", "index"), ("batch", "one_hot"))


# The definitions, in float64, over the counted pixels of one image or batch: t and p are (N,) or (N, C).


def dice(t: Pixels, p: Pixels, smooth: float) -> float:
    denominator = t.sum() + p.sum() + smooth
    return float((2 * (t * p).sum() + smooth) / denominator) if denominator else 1.0


def tversky(t: Pixels, p: Pixels, alpha: float, beta: float, smooth: float) -> float:
    true_positive = (t * p).sum()
    denominator = true_positive + alpha * (p * (1 - t)).sum() + beta * ((1 - p) * t).sum() + smooth
    return float((true_positive + smooth) / denominator) if denominator else 1.0


def weighted_dice_loss(t: Pixels, p: Pixels, smooth: float) -> float:
    weights = CLASS_WEIGHTS[t.shape[1]]
    return 1 - sum(weight * dice(t[:, c], p[:, c], smooth) for c, weight in enumerate(weights))


def cross_entropy(t: Pixels, p: Pixels) -> float:
    return float(-np.log(np.maximum((t * p).sum(axis=1), 1e-7)).mean()) if len(t) else 0.0


def focal_tversky_loss(t: Pixels, p: Pixels, weights: tuple[float, ...], smooth: float) -> float:
    return float(sum(w * (1 - tversky(t[:, c], p[:, c], 0.3, 0.7, smooth)) ** 0.75 for c, w in enumerate(weights)))


def tversky_of_foreground(t: Pixels, p: Pixels, smooth: float) -> float:
    return float(np.mean([tversky(t[:, c], p[:, c], 0.3, 0.7, smooth) for c in range(1, t.shape[1])]))


@dataclass(frozen=True)
class Case:
    """A loss beside its definition."""

    make: Callable[..., keras.losses.Loss]
    """From class weights, `reduction_axes` and `reference`."""
    define: Definition


CASES = {
    "weighted_dice": Case(
        lambda weights, **forms: WeightedDice(weights, **forms), lambda t, p: weighted_dice_loss(t, p, 1.0)
    ),
    "weighted_dice_unsmoothed": Case(
        lambda weights, **forms: WeightedDice(weights, smooth=0.0, **forms), lambda t, p: weighted_dice_loss(t, p, 0.0)
    ),
    "dice_cross_entropy": Case(
        lambda weights, **forms: DiceCrossEntropy(weights, **forms),
        lambda t, p: weighted_dice_loss(t, p, 1.0) + cross_entropy(t, p),
    ),
    "tversky": Case(lambda _, **forms: Tversky(**forms), lambda t, p: 1 - tversky_of_foreground(t, p, 1.0)),
    "tversky_negative_unsmoothed": Case(
        lambda _, **forms: Tversky(smooth=0.0, form="negative", **forms), lambda t, p: -tversky_of_foreground(t, p, 0.0)
    ),
    "tversky_all_channels": Case(
        lambda _, **forms: Tversky(0.2, 0.9, smooth=0.0, over="all_channels", **forms),
        lambda t, p: 1 - tversky(t, p, 0.2, 0.9, 0.0),
    ),
    "focal_tversky": Case(
        lambda weights, **forms: FocalTversky(class_weights=weights, **forms),
        lambda t, p: focal_tversky_loss(t, p, CLASS_WEIGHTS[t.shape[1]], 1.0),
    ),
    "focal_tversky_unsmoothed": Case(
        lambda _, **forms: FocalTversky(smooth=0.0, **forms),
        lambda t, p: focal_tversky_loss(t, p, FOREGROUND[t.shape[1]], 0.0),
    ),
}

# What a network gives and is asked for: indices (3, 4, 5), and probabilities (3, 4, 5, C) before rounding.


def draw_reference(generator: np.random.Generator, n_classes: int) -> NDArray[np.uint8]:
    return generator.integers(0, n_classes, (3, 4, 5)).astype(np.uint8)


def draw_probabilities(generator: np.random.Generator, n_classes: int) -> Pixels:
    scores = generator.random((3, 4, 5, n_classes)) + 0.01
    return np.asarray(scores / scores.sum(axis=-1, keepdims=True), np.float64)


def one_hot(indices: NDArray[np.uint8], n_classes: int) -> Pixels:
    return np.asarray(indices[..., None] == np.arange(n_classes), np.float64)


def draw_inputs(kind: str, n_classes: int) -> tuple[NDArray[np.uint8], Pixels]:
    generator = np.random.default_rng(7)
    reference, probabilities = draw_reference(generator, n_classes), draw_probabilities(generator, n_classes)
    background = np.zeros_like(reference)
    certain = one_hot(draw_reference(generator, n_classes), n_classes)
    with_ignored = np.where(generator.random(reference.shape) < 0.3, 255, reference).astype(np.uint8)
    return {
        "random": (reference, probabilities),
        "ignored": (with_ignored, probabilities),
        "all ignored": (np.full_like(reference, 255), probabilities),
        "empty": (background, probabilities),
        "empty, found empty": (background, one_hot(background, n_classes)),
        "full": (np.full_like(reference, n_classes - 1), probabilities),
        "constant": (reference, np.full_like(probabilities, 1 / n_classes)),
        "certain": (reference, certain),
        "perfect": (reference, one_hot(reference, n_classes)),
    }[kind]


INPUTS = ("random", "ignored", "all ignored", "empty", "empty, found empty", "full", "constant", "certain", "perfect")


def of_network(probabilities: Pixels, network: Network, dtype: Any = np.float32) -> NDArray[Any]:
    return (probabilities[..., 1:] if network == "sigmoid" else probabilities).astype(dtype)


def encoded(reference: NDArray[np.uint8], n_classes: int, encoding: str) -> NDArray[Any]:
    return reference if encoding == "index" else one_hot(reference, n_classes).astype(np.uint8)


def expected(define: Definition, reference: NDArray[np.uint8], prediction: NDArray[Any], axes: str) -> float:
    """The mean of the definition over the images, or the definition of the batch as one image."""
    seen = prediction.astype(np.float64)
    probabilities = np.concatenate([1 - seen, seen], axis=-1) if seen.shape[-1] == 1 else seen
    counted = reference != 255
    images = [
        (one_hot(r[kept], p.shape[-1]), p[kept]) for r, p, kept in zip(reference, probabilities, counted, strict=True)
    ]
    if axes == "batch":
        images = [(np.concatenate([t for t, _ in images]), np.concatenate([p for _, p in images]))]
    return float(np.mean([define(t, p) for t, p in images]))


def values_and_gradient(losses: Callable[[Any], list[Any]], prediction: Any) -> tuple[list[float], Pixels]:
    """Losses of a prediction, and the gradient of their sum, under either backend."""
    tensor = ops.convert_to_tensor(prediction)
    if keras.backend.backend() == "jax":
        import jax

        values = losses(tensor)
        gradient = jax.grad(lambda p: sum(losses(p)))(tensor)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensor)
            values = losses(tensor)
            total = sum(values)
        gradient = tape.gradient(total, tensor)
    return [float(value) for value in values], ops.convert_to_numpy(ops.cast(gradient, "float32")).astype(np.float64)


def value_and_gradient(loss: keras.losses.Loss, reference: Any, prediction: Any) -> tuple[float, Pixels]:
    (value,), gradient = values_and_gradient(lambda p: [loss(reference, p)], prediction)
    return value, gradient


def value(loss: keras.losses.Loss, reference: Any, prediction: Any) -> float:
    return float(loss(np.asarray(reference), np.asarray(prediction, np.float32)))


@pytest.mark.parametrize("network", N_CLASSES)
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_definition_and_has_a_finite_gradient(name: str, inputs: str, network: Network) -> None:
    n_classes = N_CLASSES[network]
    reference, probabilities = draw_inputs(inputs, n_classes)
    prediction = of_network(probabilities, network)
    losses = [
        (
            CASES[name].make(CLASS_WEIGHTS[n_classes], reduction_axes=axes, reference=encoding),
            encoded(reference, n_classes, encoding),
        )
        for axes, encoding in FORMS
    ]
    found, gradient = values_and_gradient(lambda p: [loss(t, p) for loss, t in losses], prediction)
    wanted = [expected(CASES[name].define, reference, prediction, axes) for axes, _ in FORMS]
    assert found == pytest.approx(wanted, abs=2e-6)
    # Of both together: what is not finite in one of them is not finite in the sum.
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", CASES)
def test_neither_encoding_nor_activation_changes_the_loss(name: str) -> None:
    reference, probabilities = draw_inputs("ignored", 2)
    for axes in ("per_sample", "batch"):
        found = [
            value(
                CASES[name].make(CLASS_WEIGHTS[2], reduction_axes=axes, reference=encoding),
                encoded(reference, 2, encoding),
                probabilities[..., channels],
            )
            for encoding in ("index", "one_hot")
            for channels in (slice(1, 2), slice(0, 2))
        ]
        wanted = expected(CASES[name].define, reference, probabilities, axes)
        assert found == pytest.approx([wanted] * 4, abs=2e-6), axes


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_half_precision_probabilities_are_summed_in_float32(name: str, dtype: str) -> None:
    # 2 x 272 x 272 pixels: their sum overflows float16, and bfloat16 counts no further than 256.
    generator = np.random.default_rng(1)
    reference = generator.choice([0, 1, 255], size=(2, 272, 272)).astype(np.uint8)
    prediction = ops.cast(generator.random((2, 272, 272, 1)), dtype)
    rounded = ops.convert_to_numpy(ops.cast(prediction, "float32"))
    for axes in ("per_sample", "batch"):
        loss = CASES[name].make((0.3, 0.7), reduction_axes=axes)
        found, gradient = value_and_gradient(loss, reference, prediction)
        assert found == pytest.approx(expected(CASES[name].define, reference, rounded, axes), abs=5e-6), axes
        assert np.isfinite(gradient).all(), axes


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_model_of_mixed_precision_learns(policy: str) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), dtype="float32")
    names = ["dice_cross_entropy", "focal_tversky"]
    # The heads compute in half precision, too: nothing but the loss itself restores float32.
    heads = [keras.layers.Conv2D(1, 1, activation="sigmoid", dtype=policy, name=name)(image) for name in names]
    model = keras.Model(image, heads)
    losses = {name: CASES[name].make(HALF) for name in names}
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=losses)
    images = np.random.default_rng(0).random((2, 8, 8, 1), dtype=np.float32)
    reference = (images[..., 0] > 0.5).astype(np.uint8)
    steps = [model.train_on_batch(images, [reference] * len(names), return_dict=True)["loss"] for _ in range(5)]
    assert np.isfinite(steps).all()
    assert steps[-1] < steps[0]


@pytest.mark.parametrize("name", CASES)
def test_batch_of_one_is_the_same_under_both_reductions(name: str) -> None:
    reference, probabilities = draw_inputs("ignored", 4)
    per_sample, batch = (
        value(CASES[name].make(CLASS_WEIGHTS[4], reduction_axes=axes), reference[:1], probabilities[:1])
        for axes in ("per_sample", "batch")
    )
    assert per_sample == pytest.approx(batch, abs=1e-7)


# The functions of the question of 18 January 2019 about UNet++ in Keras (the weighted Dice loss falls, the metric
# stands), and of its first answer, word for word, with keras.ops in place of the Keras 2 backend K.


def flatten(tensor: Any) -> Any:
    return ops.reshape(tensor, (-1,))


def thread_dice(y_true: Any, y_pred: Any, channel: int) -> Any:
    smooth = 1.0
    y_true_f = flatten(y_true[..., channel])
    y_pred_f = flatten(y_pred[..., channel])
    intersect = ops.abs(ops.sum(y_true_f * y_pred_f, axis=-1))
    denom = ops.abs(ops.sum(y_true_f, axis=-1)) + ops.abs(ops.sum(y_pred_f, axis=-1))
    return (2 * intersect + smooth) / (denom + smooth)


def thread_dice_loss(y_true: Any, y_pred: Any) -> Any:
    w1, w2 = 0.3, 0.7
    return 1 - (w1 * thread_dice(y_true, y_pred, 0) + w2 * thread_dice(y_true, y_pred, 1))


def thread_dsc(y_true: Any, y_pred: Any) -> Any:
    return thread_dice(y_true, y_pred, 1)


def thread_tversky_index_loss(y_true: Any, y_pred: Any) -> Any:
    alpha, beta = 0.5, 0.5
    y_true_f = flatten(y_true)
    y_pred_f = flatten(y_pred)
    intersection = ops.sum(y_true_f * y_pred_f)
    return -(
        intersection
        / (intersection + alpha * ops.sum(y_pred_f * (1.0 - y_true_f)) + beta * ops.sum((1 - y_pred_f) * y_true_f))
    )


@pytest.mark.parametrize("inputs", ["random", "empty", "full", "constant", "certain", "perfect"])
@pytest.mark.parametrize(
    ("loss", "function"),
    [
        pytest.param(
            WeightedDice((0.3, 0.7), smooth=1.0, reduction_axes="batch", reference="one_hot"),
            thread_dice_loss,
            id="dice_loss",
        ),
        pytest.param(
            WeightedDice((0.0, 1.0), smooth=1.0, reduction_axes="batch", reference="one_hot"),
            lambda y_true, y_pred: 1 - thread_dsc(y_true, y_pred),
            id="dsc",
        ),
        pytest.param(
            Tversky(
                0.5,
                0.5,
                over="all_channels",
                smooth=0.0,
                form="negative",
                reduction_axes="batch",
                reference="one_hot",
            ),
            thread_tversky_index_loss,
            id="tversky_index_loss",
        ),
    ],
)
def test_functions_of_the_thread_are_reproduced(
    loss: keras.losses.Loss, function: Callable[[Any, Any], Any], inputs: str
) -> None:
    reference, probabilities = draw_inputs(inputs, 2)
    y_true, y_pred = one_hot(reference, 2).astype(np.float32), probabilities.astype(np.float32)
    wanted = float(function(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)))
    assert value(loss, y_true, y_pred) == pytest.approx(wanted, abs=1e-6)


def test_worked_by_hand() -> None:
    # Two pixels, class 1 then 0, p(class 1) = .75 and .25: both Dice 2 x .75 / (1 + 1) = .75, TP .75, FP = FN = .25.
    reference, prediction = [[[1, 0]]], [[[[0.75], [0.25]]]]
    index = 0.75 / (0.75 + 0.25 * 0.2 + 0.25 * 0.6)
    assert value(WeightedDice(HALF, smooth=0.0), reference, prediction) == pytest.approx(0.25, abs=1e-6)
    assert value(DiceCrossEntropy(HALF, smooth=0.0), reference, prediction) == pytest.approx(
        0.25 - np.log(0.75), abs=1e-6
    )
    assert value(Tversky(0.2, 0.6, smooth=0.0), reference, prediction) == pytest.approx(1 - index, abs=1e-6)
    assert value(FocalTversky(0.2, 0.6, 2.0, smooth=0.0), reference, prediction) == pytest.approx(
        (1 - index) ** 2, abs=1e-6
    )


def test_batch_divides_once_for_all_images() -> None:
    reference = np.array([[[1, 1, 1, 1]], [[1, 0, 0, 0]]])
    prediction = np.array([[[1, 1, 1, 1]], [[0, 0, 0, 0]]])[..., None]
    foreground_only = (0.0, 1.0)
    per_sample = WeightedDice(foreground_only, smooth=0.0)
    batch = WeightedDice(foreground_only, smooth=0.0, reduction_axes="batch")
    assert value(per_sample, reference, prediction) == pytest.approx(1 - (1 + 0) / 2, abs=1e-6)
    assert value(batch, reference, prediction) == pytest.approx(1 - 2 * 4 / (4 + 5), abs=1e-6)


@pytest.mark.parametrize("name", CASES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_what_is_predicted_on_ignored_pixels_never_matters(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    reference = generator.choice([0, 1, 255], size=(2, 4, 4)).astype(np.uint8)
    first = generator.random((2, 4, 4, 1), dtype=np.float32)
    second = np.where(reference[..., None] == 255, np.float32(np.nan), first)
    loss = CASES[name].make((0.3, 0.7))
    (seen, gradient), (unseen, other) = (value_and_gradient(loss, reference, p) for p in (first, second))
    assert seen == unseen
    np.testing.assert_array_equal(gradient, other)
    assert not gradient[reference == 255].any()


@pytest.mark.parametrize("gamma", [0.5, 0.75, 1.0, 2.0])
def test_focal_gradient_stays_finite_next_to_a_perfect_prediction(gamma: float) -> None:
    reference = np.ones((3, 4, 5), np.uint8)
    loss = FocalTversky(gamma=gamma, smooth=0.0)
    for off in (0.0, 1e-38, 1e-8, 6e-8, 1e-6):
        prediction = np.full((3, 4, 5, 1), 1 - np.float32(off), np.float32)
        found, gradient = value_and_gradient(loss, reference, prediction)
        assert 0 <= found < 1e-2
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("p", [0.0, 1e-38, 1e-30, 1e-18, 1e-10])
def test_gradients_of_an_all_but_empty_prediction_are_finite(name: str, p: float) -> None:
    prediction = np.full((3, 4, 5, 1), p, np.float32)
    for reference in (np.zeros((3, 4, 5), np.uint8), np.eye(4, 5, dtype=np.uint8)[None].repeat(3, axis=0)):
        found, gradient = value_and_gradient(CASES[name].make(HALF), reference, prediction)
        assert np.isfinite(found)
        assert np.isfinite(gradient).all()


def test_sample_weights_weigh_images() -> None:
    reference, probabilities = draw_inputs("random", 2)
    loss = WeightedDice(HALF, reduction=None)
    weights = np.array([0.0, 1.0, 2.0], np.float32)
    weighted = loss(reference, probabilities, sample_weight=weights)
    np.testing.assert_allclose(weighted, weights * np.asarray(loss(reference, probabilities)), rtol=1e-6)


@pytest.mark.parametrize(
    ("axes", "weights", "message"),
    [
        pytest.param("batch", np.ones(3), "per_sample", id="of images, for a loss of the batch"),
        pytest.param("per_sample", np.ones((3, 4, 5)), r"\(3, 4, 5\)", id="of pixels"),
    ],
)
def test_sample_weights_that_would_be_broadcast_are_refused(
    axes: Literal["per_sample", "batch"], weights: NDArray[np.float64], message: str
) -> None:
    reference, probabilities = draw_inputs("random", 2)
    with pytest.raises(ValueError, match=message):
        WeightedDice(HALF, reduction_axes=axes)(reference, probabilities, sample_weight=weights)


def test_weights_of_other_classes_than_predicted_are_refused() -> None:
    with pytest.raises(ValueError, match="class_weights has 2: give a weight per class") as caught:
        WeightedDice(HALF)(np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4, 3), np.float32))
    assert "(2, 4, 4)" in str(caught.value)
    assert "(2, 4, 4, 3)" in str(caught.value)


@pytest.mark.parametrize("name", CASES)
def test_reference_of_another_encoding_is_refused(name: str) -> None:
    reference, probabilities = draw_inputs("random", 2)
    with pytest.raises(ValueError, match='announce reference="one_hot"'):
        CASES[name].make(HALF)(one_hot(reference, 2), probabilities)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: WeightedDice((1.0, 1.0)), "sum to 1", id="weights not normalised"),
        pytest.param(lambda: WeightedDice((1.0,)), "two or more", id="one class"),
        pytest.param(lambda: WeightedDice((-0.5, 1.5)), "0 or more", id="negative weight"),
        pytest.param(lambda: DiceCrossEntropy(HALF, smooth=-1.0), "smooth", id="negative smooth"),
        pytest.param(lambda: Tversky(reduction_axes="mean"), "reduction_axes", id="unknown sums"),  # type: ignore[arg-type]
        pytest.param(lambda: Tversky(reference="labels"), "reference must be", id="unknown encoding"),  # type: ignore[arg-type]
        pytest.param(lambda: Tversky(alpha=-0.1), "alpha and beta", id="negative alpha"),
        pytest.param(lambda: Tversky(0.0, 0.0), "alpha and beta", id="nothing weighs"),
        pytest.param(lambda: Tversky(over="channels"), "over", id="unknown over"),  # type: ignore[arg-type]
        pytest.param(lambda: Tversky(form="log"), "form", id="unknown form"),  # type: ignore[arg-type]
        pytest.param(
            lambda: Tversky(class_weights=HALF, over="all_channels"), "no class_weights", id="weights of none"
        ),
        pytest.param(lambda: FocalTversky(gamma=0.0), "gamma", id="gamma 0"),
    ],
)
def test_settings_are_checked(make: Callable[[], keras.losses.Loss], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(WeightedDice((0.1, 0.2, 0.7), 2.0, "batch", "one_hot", "first"), id="weighted_dice"),
        pytest.param(DiceCrossEntropy((0.4, 0.6), 0.5, "batch", "one_hot", "second"), id="dice_cross_entropy"),
        pytest.param(Tversky(0.1, 0.2, HALF, 2.0, "batch", "one_hot", "classes", "negative"), id="tversky"),
        pytest.param(Tversky(over="all_channels"), id="tversky_all_channels"),
        pytest.param(FocalTversky(0.1, 0.2, 0.5, HALF, 2.0, "batch", "one_hot"), id="focal_tversky"),
    ],
)
def test_serialised_loss_comes_back_equal(loss: keras.losses.Loss) -> None:
    # As JSON, which turns tuples into lists: what a model file holds.
    again = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_compiled_model_comes_back_with_its_losses(tmp_path: Path) -> None:
    image = keras.Input((4, 5, 1))
    names = ["weighted_dice", "dice_cross_entropy", "tversky", "focal_tversky"]
    heads = [keras.layers.Conv2D(4, 1, activation="softmax", name=name)(image) for name in names]
    model = keras.Model(image, heads)
    losses = {name: CASES[name].make(CLASS_WEIGHTS[4], reduction_axes="batch") for name in names}
    model.compile(optimizer="sgd", loss=losses)
    reference, _ = draw_inputs("ignored", 4)
    images = np.random.default_rng(0).random((3, 4, 5, 1), dtype=np.float32)
    references = [reference] * len(heads)
    before = model.evaluate(images, references, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert {name: loss.get_config() for name, loss in again.loss.items()} == {
        name: loss.get_config() for name, loss in losses.items()
    }
    assert again.evaluate(images, references, verbose=0, return_dict=True) == pytest.approx(before, abs=1e-6)
