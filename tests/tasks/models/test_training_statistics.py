from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.models.losses import DiceCrossEntropy
from segscale.tasks.models.training_metrics import PerSampleDice
from segscale.tasks.models.training_statistics import (
    ForegroundShares,
    ImageCounts,
    OperatingPoint,
    SmoothedDiceByReference,
    SparseCategoricalAccuracy,
)

Labels = NDArray[np.uint8]
Probabilities = NDArray[np.float64]
Values = dict[str, float]


# The definitions, in float64: labels (B, H, W) with 255 ignored, probabilities (B, H, W, C).


def decided(probabilities: Probabilities, threshold: float) -> NDArray[np.int64]:
    if probabilities.shape[-1] == 2:
        return np.asarray(probabilities[..., 1] >= threshold, np.int64)
    return np.asarray(probabilities.argmax(axis=-1), np.int64)


def count_images(labels: Labels, probabilities: Probabilities) -> Values:
    counted = labels != 255
    no_reference = ~((labels > 0) & counted).any(axis=(1, 2))
    no_prediction = ~((decided(probabilities, 0.5) > 0) & counted).any(axis=(1, 2))
    return {
        "n_images": len(labels),
        "n_reference_empty": no_reference.sum(),
        "n_prediction_empty": no_prediction.sum(),
        "n_both_empty": (no_reference & no_prediction).sum(),
    }


def smoothed_dice(labels: Labels, probabilities: Probabilities, smooth: float) -> Values:
    found: dict[bool, list[float]] = {True: [], False: []}
    for label, p in zip(labels, probabilities, strict=True):
        counted = label != 255
        by_class = []
        for index in range(1, p.shape[-1]):
            t, q = (label == index)[counted], p[..., index][counted]
            both = t.sum() + q.sum() + smooth
            by_class.append((2 * (t * q).sum() + smooth) / both if both else 1.0)
        found[bool(((label > 0) & counted).any())].append(float(np.mean(by_class)))
    names = {False: "smoothed_dice_reference_empty", True: "smoothed_dice_reference_present"}
    return {names[key]: float(np.mean(dice)) if dice else math.nan for key, dice in found.items()}


def shares(labels: Labels, probabilities: Probabilities) -> Values:
    counted = labels != 255
    p = probabilities[..., 1:].sum(axis=-1)[counted]
    if not p.size:
        return dict.fromkeys(("predicted_share", "reference_share", "probability_mean", "probability_std"), math.nan)
    return {
        "predicted_share": (decided(probabilities, 0.5) > 0)[counted].mean(),
        "reference_share": (labels > 0)[counted].mean(),
        "probability_mean": p.mean(),
        "probability_std": p.std(),
    }


def accuracy(labels: Labels, probabilities: Probabilities) -> Values:
    counted = labels != 255
    correct = (decided(probabilities, 0.5) == labels)[counted]
    return {"sparse_categorical_accuracy": correct.mean() if correct.size else math.nan}


STATISTICS: dict[str, tuple[Any, Any]] = {
    "counts": (ImageCounts, count_images),
    "smoothed": (SmoothedDiceByReference, lambda labels, p: smoothed_dice(labels, p, smooth=1.0)),
    "unsmoothed": (
        lambda n: SmoothedDiceByReference(n, smooth=0.0),
        lambda labels, p: smoothed_dice(labels, p, smooth=0.0),
    ),
    "shares": (ForegroundShares, shares),
    "accuracy": (SparseCategoricalAccuracy, accuracy),
}


def draw(kind: str, n_classes: int, n_images: int = 7) -> tuple[Labels, Probabilities]:
    """Labels with some 255, where the even images have no foreground, and float32 probabilities of every class."""
    generator = np.random.default_rng(5)
    shape = (n_images, 5, 6)
    labels = generator.integers(0, n_classes, shape).astype(np.uint8)
    labels[::2] = 0
    scores = generator.random((*shape, n_classes)) + 0.01
    scores[:3, ..., 0] += n_classes
    if kind == "certain":
        scores = (labels[..., None] == np.arange(n_classes)).astype(np.float64)
    if kind == "constant":
        scores[:] = 1.0
    if kind == "all_foreground":
        labels[:], scores[..., 1] = 1, 1e9
    labels[generator.random(shape) < 0.1] = 255
    if kind == "ignored":
        labels[:] = 255
    scores[labels == 255] = 1.0
    return labels, (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32).astype(np.float64)


def measure(metric: Any, labels: Labels, probabilities: Probabilities, cuts: tuple[int, ...] = (3, 6)) -> Values:
    """The results after the batches between the cuts; of two classes, p(class 1) is given."""
    given_as = probabilities[..., 1:] if probabilities.shape[-1] == 2 else probabilities
    for first, last in pairwise((0, *cuts, len(labels))):
        metric.update_state(labels[first:last], np.float32(given_as[first:last]))
    result = metric.result()
    named = result if isinstance(result, dict) else {metric.name: result}
    return {name: float(value) for name, value in named.items()}


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("inputs", ["random", "certain", "constant", "all_foreground", "ignored"])
@pytest.mark.parametrize("name", STATISTICS)
def test_agrees_with_the_definition(name: str, inputs: str, n_classes: int) -> None:
    make, define = STATISTICS[name]
    drawn = draw(inputs, n_classes)
    assert measure(make(n_classes), *drawn) == pytest.approx(define(*drawn), rel=1e-6, abs=1e-7, nan_ok=True)


@settings(max_examples=5, deadline=None)
@given(cuts=st.sets(st.integers(1, 6)))
def test_results_do_not_depend_on_the_cuts(cuts: set[int]) -> None:
    drawn = draw("random", 2)
    for make in (*(make for make, _ in STATISTICS.values()), lambda _: OperatingPoint()):
        at_once, in_parts = (measure(make(2), *drawn, cuts=places) for places in ((), tuple(sorted(cuts))))
        assert in_parts == pytest.approx(at_once, rel=1e-6)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.3, 1 / 3, 0.9999, 1.0])
def test_constant_prediction_has_no_spread(p: float) -> None:
    labels, _ = draw("random", 2)
    found = measure(ForegroundShares(), labels, np.full((*labels.shape, 2), p))
    assert found["probability_std"] == 0
    assert found["probability_mean"] == np.float32(p)


def test_spread_of_a_nearly_constant_prediction_is_not_lost_in_rounding() -> None:
    labels = np.zeros((6, 64, 64), np.uint8)
    p = 0.9 + 1e-4 * np.random.default_rng(0).standard_normal((6, 64, 64, 2))
    p = p.astype(np.float32).astype(np.float64)
    p[0, 0, 0] = 1.0
    assert measure(ForegroundShares(), labels, p, cuts=(4,))["probability_std"] == pytest.approx(
        p[..., 1].std(), rel=1e-4
    )


# The operating point.


@pytest.mark.parametrize("inputs", ["random", "constant", "all_foreground"])
def test_operating_point_is_the_best_of_the_scores_at_its_thresholds(inputs: str) -> None:
    labels, probabilities = draw(inputs, 2)
    # In steps, so that some probabilities equal a threshold.
    probabilities = np.floor(probabilities * 32) / 32
    steps = [k / 16 for k in range(1, 16)]
    scores = [measure(PerSampleDice(threshold=t, name="dice"), labels, probabilities)["dice"] for t in steps]
    best = np.nanmax(scores)
    nearest = min((t for t, score in zip(steps, scores, strict=True) if score == best), key=lambda t: abs(t - 0.5))
    found = measure(OperatingPoint(), labels, probabilities)
    assert found == pytest.approx({"best_threshold": nearest, "dice_per_sample_at_best": best}, rel=1e-6)


@pytest.mark.parametrize(
    ("p_of_lesion", "p_of_rest", "best"),
    [
        pytest.param(1.0, 0.0, 0.5, id="all thresholds are equal"),
        pytest.param(0.3, 0.0, 0.25, id="all up to 4/16 are"),
        pytest.param(0.9, 0.82, 14 / 16, id="between the two there is 14/16 only"),
        pytest.param(0.5, 0.45, 0.5, id="p at the threshold is foreground"),
    ],
)
def test_best_threshold_by_hand(p_of_lesion: float, p_of_rest: float, best: float) -> None:
    labels = np.array([[[1, 0, 0, 0]]] * 7, np.uint8)
    p = np.where(labels == 1, p_of_lesion, p_of_rest)
    found = measure(OperatingPoint(), labels, np.stack([1 - p, p], axis=-1))
    assert found == {"best_threshold": best, "dice_per_sample_at_best": 1.0}


def test_lower_one_of_two_thresholds_equally_near_to_half() -> None:
    labels = np.array([[[1, 0, 0, 0]], [[1, 0, 0, 0]]], np.uint8)
    # At 1/4 the first image is right and the second all foreground, at 1/2 neither, at 3/4 the second alone.
    p = np.array([[[0.3, 0.1, 0.1, 0.1]], [[0.9, 0.6, 0.6, 0.6]]])
    found = measure(OperatingPoint(3), labels, np.stack([1 - p, p], axis=-1), cuts=())
    dice_at = {0.25: (1 + 2 / 5) / 2, 0.5: (0 + 2 / 5) / 2, 0.75: (0 + 1) / 2}
    assert found == pytest.approx({"best_threshold": 0.25, "dice_per_sample_at_best": dice_at[0.25]})
    mirrored = np.array([[[0.9, 0.1, 0.1, 0.1]], [[0.3, 0.1, 0.1, 0.1]]])
    mirrored_labels = np.array([[[1, 0, 0, 0]], [[0, 0, 0, 0]]], np.uint8)
    # At 1/4 the first is right and the second wrong; from 1/2 on the second is undefined and left out.
    found = measure(OperatingPoint(3), mirrored_labels, np.stack([1 - mirrored, mirrored], axis=-1), cuts=())
    assert found == {"best_threshold": 0.5, "dice_per_sample_at_best": 1.0}


def test_without_anything_to_find_or_found_there_is_no_operating_point() -> None:
    labels = np.zeros((7, 2, 2), np.uint8)
    found = measure(OperatingPoint(), labels, np.zeros((7, 2, 2, 2)))
    assert np.isnan(list(found.values())).all()


def test_probabilities_that_are_none_do_not_reach_other_images() -> None:
    labels, probabilities = draw("random", 2)
    probabilities[3] = np.nan
    probabilities[4] = 7.0
    alone = measure(OperatingPoint(1), labels[:3], probabilities[:3], cuts=())
    assert alone == measure(PerSampleDice(name="dice_per_sample_at_best"), labels[:3], probabilities[:3], ()) | {
        "best_threshold": 0.5
    }
    metric = OperatingPoint(1)
    assert measure(metric, labels, probabilities) == pytest.approx(
        {"best_threshold": 0.5, **measure(PerSampleDice(name="dice_per_sample_at_best"), labels, probabilities)}
    )


# What all have in common.

ALL: list[Any] = [
    ImageCounts(4, 0.25, "one_hot", "counts"),
    SmoothedDiceByReference(4, 0.5, "one_hot", "smoothed"),
    ForegroundShares(4, 0.25, "one_hot", "shares"),
    OperatingPoint(3, "one_hot", "point"),
    SparseCategoricalAccuracy(4, "one_hot", "accuracy"),
]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_comes_back_from_its_configuration(metric: Any) -> None:
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    assert len(set(metric.get_config())) >= 3


@pytest.mark.parametrize("name", STATISTICS)
def test_reset_forgets_all(name: str) -> None:
    metric = STATISTICS[name][0](2)
    first = measure(metric, *draw("random", 2))
    metric.reset_state()
    assert measure(metric, *draw("random", 2)) == first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: ImageCounts(threshold=0.0), "threshold must lie above 0", id="threshold that all reach"),
        pytest.param(lambda: ForegroundShares(threshold=2.0), "threshold must lie above 0", id="threshold none reach"),
        pytest.param(lambda: SmoothedDiceByReference(smooth=-1.0), "smooth must be", id="negative smoothing"),
        pytest.param(lambda: OperatingPoint(10), "one less than a power of two", id="thresholds not exact in float32"),
        pytest.param(lambda: SparseCategoricalAccuracy(1), "n_classes must be 2 or more", id="one class"),
    ],
)
def test_options_that_mean_nothing_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_operating_point_is_of_two_classes() -> None:
    with pytest.raises(ValueError, match="tells 4 classes apart, the metric 2"):
        measure(OperatingPoint(), *draw("random", 4))


def check_statistics_of_a_training(folder: Path, jit_compile: bool) -> None:
    """Statistics of a validation in compiled steps, and again after saving, are those of the predictions."""
    labels, _ = draw("random", 2)
    images = np.random.default_rng(1).random((*labels.shape, 1), dtype=np.float32)
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 1))
    model = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(image))
    metrics = [make(2) for name, (make, _) in STATISTICS.items() if name != "unsmoothed"]
    model.compile(keras.optimizers.SGD(0.5), DiceCrossEntropy([0.5, 0.5]), metrics=metrics, jit_compile=jit_compile)
    model.fit(images, labels, batch_size=3, epochs=2, verbose=0)
    model.save(folder / "model.keras")
    p = np.float64(model.predict(images, batch_size=7, verbose=0))
    wanted: Values = {}
    for name in ("counts", "smoothed", "shares", "accuracy"):
        wanted |= STATISTICS[name][1](labels, np.concatenate([1 - p, p], axis=-1))
    for one in (model, keras.saving.load_model(folder / "model.keras")):
        logs = one.evaluate(images, labels, batch_size=3, verbose=0, return_dict=True)
        found = {name: float(value) for key, value in logs.items() for name, value in _flat(key, value)}
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)


def _flat(key: str, value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else [(key, value)]


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_statistics_of_a_training_are_those_of_its_predictions(tmp_path: Path, jit_compile: bool) -> None:
    check_statistics_of_a_training(tmp_path, jit_compile)
