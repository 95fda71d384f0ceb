from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from segscale.tasks.models.model_file import inspect_model
from segscale.tasks.models.training_metrics import PerSampleDice
from segscale.tasks.normalize import Recipe
from segscale.tasks.training import loop
from segscale.tasks.training.checkpoint import Best, Checkpoint, decode_checkpoint
from segscale.tasks.training.history import Row
from segscale.tasks.training.loop import Training, learning_rate_at, train_network
from segscale.tasks.training.sample import Sample
from segscale.tasks.training.settings import TrainSettings
from segscale.tasks.training.split import Split

UNIT = Recipe(-np.inf, np.inf, 0.0, 255.0)
SMALL = TrainSettings(epochs=2, filters=(2, 3), patch=8, batch_size=2, dropout=0.2, l2=1e-4, seed=3)
TIMES = ("seconds", "waiting_seconds")


def draw_sample(seed: int, height: int = 12, width: int = 10) -> Sample:
    """An image whose bright pixels are the foreground."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 1)).astype(np.uint8)
    return Sample(f"image-{seed}", pixels, UNIT, (pixels[..., 0] > 127).astype(np.uint8))


SAMPLES = tuple(draw_sample(seed) for seed in range(5))
SPLIT = Split(SAMPLES[:3], SAMPLES[3:])


def train(
    settings: TrainSettings, split: Split = SPLIT, start: Checkpoint | None = None
) -> tuple[keras.Model, list[Checkpoint]]:
    states: list[Checkpoint] = []
    return train_network(Training("training", split, settings), states.append, start), states


def without_times(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def assert_same_weights(one: keras.Model, other: keras.Model) -> None:
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.fixture
def few_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the history asks for takes longest to compile; where it is not what is tested, one score is enough."""
    monkeypatch.setattr(loop, "measures", lambda settings: [PerSampleDice(settings.n_classes, name=loop.JUDGE)])


@pytest.fixture(scope="module")
def undisturbed() -> tuple[keras.Model, list[Checkpoint]]:
    return train(SMALL.changed(epochs=3))


@pytest.mark.slow
def test_a_row_for_each_epoch_and_split(undisturbed: tuple[keras.Model, list[Checkpoint]]) -> None:
    rows = undisturbed[1][-1].rows
    assert [(row["epoch"], row["split"]) for row in rows] == [
        (epoch, split) for epoch in (1, 2, 3) for split in ("training", "validation")
    ]
    for row in rows:
        assert row["loss"] == pytest.approx(row["head_1_loss"] * row["head_1_weight"] + row["regularization"], abs=1e-5)
        assert 0 <= row["waiting_seconds"] <= row["seconds"]
    assert [row["n_images"] for row in rows[:2]] == [4, 2]
    assert [row["n_batches"] for row in rows[:2]] == [2, 1]
    assert rows[0]["learning_rate"] > rows[-1]["learning_rate"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_resumed_training_ends_as_an_undisturbed_one(
    undisturbed: tuple[keras.Model, list[Checkpoint]], killed_after: int
) -> None:
    model, states = undisturbed
    # Through the bytes of the file, as after a kill.
    start = decode_checkpoint(states[killed_after - 1].encode())
    resumed, after = train(SMALL.changed(epochs=3), start=start)
    assert [state.epoch for state in after] == list(range(killed_after + 1, 4))
    np.testing.assert_equal(without_times(after[-1].rows), without_times(states[-1].rows))
    assert_same_weights(resumed, model)


@pytest.mark.slow
def test_a_finished_training_is_not_trained_again(undisturbed: tuple[keras.Model, list[Checkpoint]]) -> None:
    model, states = undisturbed
    again, after = train(SMALL.changed(epochs=3), start=states[-1])
    assert after == []
    assert_same_weights(again, model)


@pytest.mark.slow
@pytest.mark.usefixtures("few_measures")
def test_another_seed_gives_other_weights() -> None:
    first, second = (train(SMALL.changed(epochs=1, seed=seed))[0] for seed in (0, 1))
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])


@pytest.mark.slow
@pytest.mark.usefixtures("few_measures")
def test_loss_falls_and_scores_rise_on_an_easy_set() -> None:
    settings = SMALL.changed(epochs=3, steps_per_epoch=12, learning_rate=0.03, dropout=0.0, filters=(4, 4))
    model, states = train(settings)
    first, *_, last = (row for row in states[-1].rows if row["split"] == "validation")
    assert last["loss"] < 0.8 * first["loss"]
    assert last["dice_per_sample"] > first["dice_per_sample"]
    assert inspect_model(model).heads == ("head_1",)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.slow
def test_four_classes_without_validation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 1)).astype(np.uint8)
    sample = Sample("four", pixels, UNIT, pixels[..., 0] // 64)
    weights = (0.1, 0.2, 0.3, 0.4)
    settings = SMALL.changed(epochs=1, activation="softmax", n_classes=4, class_weights=weights, patience=1)
    model, states = train(settings, Split((sample,), ()))
    (row,) = states[-1].rows
    assert inspect_model(model).n_classes == 4
    assert states[-1].best is None
    assert {f"dice_pooled_class_{index}" for index in range(4)} <= set(row)
    assert math.isnan(row["best_threshold"])


@pytest.mark.slow
@pytest.mark.usefixtures("few_measures")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_is_repeatable_and_leaves_float32_behind(precision: Any) -> None:
    settings = SMALL.changed(epochs=1, precision=precision)
    (first, _), (second, _) = train(settings), train(settings)
    assert_same_weights(first, second)
    assert {layer.compute_dtype for layer in first.layers} == {"float32"}


@pytest.mark.slow
@pytest.mark.usefixtures("few_measures")
def test_the_best_epoch_is_kept_and_patience_ends_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.5, 0.7, 0.6, 0.65, 0.9])
    measured: list[tuple[np.ndarray[Any, Any], ...]] = []
    validate = loop._validate

    def judged(network: Any, *others: Any) -> Row:
        measured.append(tuple(network.get_weights()))
        return {**validate(network, *others), "dice_per_sample": next(scores)}

    monkeypatch.setattr(loop, "_validate", judged)
    model, states = train(SMALL.changed(epochs=5, patience=2))
    assert [state.epoch for state in states] == [1, 2, 3, 4]
    for kept, best in zip(model.get_weights(), measured[1], strict=True):
        np.testing.assert_array_equal(kept, best)
    again, after = train(SMALL.changed(epochs=5, patience=2), start=states[-1])
    assert after == []
    assert_same_weights(again, model)


@pytest.mark.slow
@pytest.mark.usefixtures("few_measures")
def test_initial_weights_are_those_that_are_given() -> None:
    def all_ones(network: keras.Model) -> None:
        network.set_weights([np.ones_like(weights) for weights in network.get_weights()])

    settings = SMALL.changed(epochs=1, learning_rate=1e-9, normalization="none")
    model = train_network(Training("training", SPLIT, settings, all_ones), lambda _: None)
    for weights in model.get_weights():
        np.testing.assert_allclose(weights, 1.0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("few_measures")
def test_a_loss_that_is_no_number_ends_the_training_after_its_row_is_kept() -> None:
    states: list[Checkpoint] = []
    training = Training("training", SPLIT, SMALL.changed(learning_rate=1e30, normalization="none"))
    with pytest.raises(FloatingPointError, match=r"lower train\.learning_rate"):
        train_network(training, states.append)
    assert not math.isfinite(states[-1].rows[-1]["loss"])
    with pytest.raises(FloatingPointError, match=r"lower train\.learning_rate"):
        train_network(training, states.append, states[-1])


@pytest.mark.parametrize(
    ("split", "settings", "message"),
    [
        pytest.param(Split((), ()), SMALL, "at least one sample", id="no samples"),
        pytest.param(
            Split((replace(SAMPLES[0], reference=np.full((12, 10), 7, np.uint8)),), ()), SMALL, r"\[7\]", id="labels"
        ),
        pytest.param(
            Split((replace(SAMPLES[0], pixels=np.zeros((12, 10, 3), np.uint8)),), ()), SMALL, "3 channels", id="colours"
        ),
        pytest.param(
            Split(SAMPLES[:1], (replace(SAMPLES[1], reference=np.zeros((5, 5), np.uint8)),)),
            SMALL,
            "must be",
            id="a validation sample of another size",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_computed(
    split: Split, settings: TrainSettings, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(settings, split)


@pytest.mark.slow
@pytest.mark.usefixtures("few_measures")
def test_the_checkpoint_of_another_training_is_refused() -> None:
    with pytest.raises(ValueError, match="of training other, this one is training"):
        train(SMALL, start=Checkpoint("other", 1, (), (), (), None))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        pytest.param("cosine", [2.0, 1 + np.sqrt(0.5), 1.0, 1 - np.sqrt(0.5), 0.0], id="along half a cosine"),
        pytest.param("constant", [2.0] * 5, id="as the thread's"),
    ],
)
def test_learning_rate_follows_the_schedule(schedule: Any, expected: list[float]) -> None:
    settings = SMALL.changed(learning_rate=2.0, schedule=schedule)
    rates = [learning_rate_at(step, 4, settings) for step in range(5)]
    np.testing.assert_allclose(rates, expected, atol=1e-12)


def test_an_undefined_score_is_never_the_best() -> None:
    best = Best(1, 0.2, ())
    assert loop._better(best, {"epoch": 2, "dice_per_sample": math.nan}, network=None) is best  # type: ignore[arg-type]
