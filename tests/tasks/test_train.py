from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tasks.models.model_file import inspect_model
from tasks.train import EpochRecord, Sample, TrainSettings, cosine_learning_rate, draw_batch, train_model

UNIT = (-np.inf, np.inf, 0.0, 255.0)
SMALL = TrainSettings(epochs=1, filters=(2, 3), patch=8, batch_size=2, dropout=0.2, l2=1e-4)


def draw_sample(seed: int, height: int = 12, width: int = 10, channels: int = 1) -> Sample:
    """An image whose bright pixels are the foreground."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    return Sample(pixels, UNIT, (pixels[..., 0] > 127).astype(np.uint8))


SAMPLES = tuple(draw_sample(seed) for seed in range(3))


def train(settings: TrainSettings) -> tuple[keras.Model, list[EpochRecord]]:
    records: list[EpochRecord] = []
    return train_model(SAMPLES, settings, records.append), records


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_same_seed_gives_the_same_weights(precision: Any) -> None:
    settings = replace(SMALL, steps_per_epoch=2, precision=precision)
    (first, first_records), (second, second_records) = train(settings), train(settings)
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [record.loss for record in first_records] == [record.loss for record in second_records]
    assert {layer.compute_dtype for layer in first.layers} == {"float32"}


@pytest.mark.slow
def test_another_seed_gives_other_weights() -> None:
    (first, _), (second, _) = train(SMALL), train(replace(SMALL, seed=1))
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])


@pytest.mark.slow
def test_loss_falls_on_an_easy_set() -> None:
    settings = replace(SMALL, epochs=3, steps_per_epoch=12, learning_rate=0.03, dropout=0.0, filters=(4, 4))
    model, records = train(settings)
    assert [record.epoch for record in records] == [1, 2, 3]
    assert records[-1].loss < 0.8 * records[0].loss
    assert records[0].learning_rate > records[-1].learning_rate > 0
    assert inspect_model(model).heads == ("head_1",)


@pytest.mark.slow
def test_time_limit_stops_after_the_epoch_that_passes_it() -> None:
    _, records = train(replace(SMALL, epochs=50, max_seconds=1e-9))
    assert len(records) == 1


@pytest.mark.slow
def test_softmax_learns_from_class_indices() -> None:
    settings = replace(SMALL, activation="softmax", n_classes=3, class_weights=(0.2, 0.3, 0.5))
    model, records = train(settings)
    assert inspect_model(model).n_classes == 3
    assert np.isfinite(records[0].loss)


def test_learning_rate_falls_along_a_half_cosine() -> None:
    rates = [cosine_learning_rate(step, 4, 2.0) for step in range(5)]
    np.testing.assert_allclose(rates, [2.0, 1 + np.sqrt(0.5), 1.0, 1 - np.sqrt(0.5), 0.0], atol=1e-12)


@given(step=st.integers(0, 1000), seed=st.integers(0, 1000))
@hypothesis_settings(max_examples=30, deadline=None)
def test_batch_depends_on_the_seed_and_the_step_only(step: int, seed: int) -> None:
    settings = replace(SMALL, seed=seed)
    for one, other in zip(draw_batch(SAMPLES, settings, step), draw_batch(SAMPLES, settings, step), strict=True):
        np.testing.assert_array_equal(one, other)


@given(step=st.integers(0, 1000))
@hypothesis_settings(max_examples=30, deadline=None)
def test_reference_is_turned_and_cropped_with_its_image(step: int) -> None:
    images, references = draw_batch(SAMPLES, SMALL, step)
    assert images.shape == references.shape == (2, 8, 8, 1)
    assert images.dtype == np.float32
    assert references.dtype == np.uint8
    # Gain and shift are monotonic, so foreground stays brighter than background.
    for image, reference in zip(images, references, strict=True):
        assert image[reference == 1].min() > image[reference == 0].max()


def test_every_pass_visits_each_sample_once() -> None:
    marked = [
        Sample(np.full((8, 8, 1), 10 + 80 * mark, np.uint8), UNIT, np.full((8, 8), mark, np.uint8)) for mark in range(3)
    ]
    settings = replace(SMALL, n_classes=3, class_weights=(0.2, 0.3, 0.5), activation="softmax")
    seen = [int(mark) for step in range(3) for mark in draw_batch(marked, settings, step)[1][:, 0, 0, 0]]
    assert sorted(seen[:3]) == sorted(seen[3:]) == [0, 1, 2]


def test_small_image_is_reflected_to_the_patch() -> None:
    images, references = draw_batch([draw_sample(0, height=3, width=5)], SMALL, 0)
    assert images.shape == (2, 8, 8, 1)
    assert set(np.unique(references)) <= {0, 1}


def test_grey_sample_fills_three_channels() -> None:
    images, _ = draw_batch([draw_sample(0), draw_sample(1, channels=3)], replace(SMALL, channels=3), 0)
    assert images.shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        pytest.param(None, "at least one sample", id="no samples"),
        pytest.param(replace(SAMPLES[0], reference=np.zeros((5, 5), np.uint8)), "must be", id="another size"),
        pytest.param(draw_sample(0, channels=3), "3 channels, the network takes 1", id="colours into one channel"),
        pytest.param(replace(SAMPLES[0], reference=np.full((12, 10), 7, np.uint8)), r"\[7\]", id="unknown class"),
        pytest.param(
            replace(SAMPLES[0], reference=np.zeros((12, 10), np.int64)),
            "int64",
            id="not stored as uint8",
        ),
    ],
)
def test_samples_that_do_not_fit_are_refused(sample: Sample | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_model([sample] if sample else [], SMALL, lambda _: None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"patch": 9}, "multiple of 2", id="patch not divisible"),
        pytest.param({"patch": 0}, "multiple of 2", id="no patch"),
        pytest.param({"epochs": 0}, "epochs", id="no epoch"),
        pytest.param({"batch_size": 0}, "batch_size", id="no batch"),
        pytest.param({"n_classes": 3, "class_weights": (0.2, 0.3, 0.5)}, "use softmax", id="sigmoid of three classes"),
        pytest.param({"class_weights": (1.0,)}, "one per class", id="a weight is missing"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
