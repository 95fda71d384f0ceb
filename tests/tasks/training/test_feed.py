from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from segscale.tasks.normalize import Recipe, apply_recipe
from segscale.tasks.training.feed import Batch, WaitingClock, training_batches, validation_batches
from segscale.tasks.training.patches import PatchPlan, plan_patches
from segscale.tasks.training.sample import Sample
from segscale.tasks.training.settings import NO_AUGMENTATION, Augmentation

RECIPE = Recipe(-math.inf, math.inf, 0.0, 255.0)
STRONG = Augmentation(degrees=30.0, scaling=0.2, elastic=2.0, warped_share=0.5)


def draw_sample(seed: int, height: int = 20, width: int = 17, channels: int = 1, name: str = "") -> Sample:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    return Sample(name or f"image-{seed}", pixels, RECIPE, (pixels[..., 0] > 200).astype(np.uint8))


@pytest.fixture(scope="module")
def plan() -> PatchPlan:
    return plan_patches([draw_sample(seed) for seed in range(5)], 16, seed=3, foreground_share=0.4)


def feed(plan: PatchPlan, first_step: int = 0, n_steps: int = 6, **more: Any) -> list[Batch]:
    asked = {"augmentation": STRONG, "batch_size": 3, "channels": 2, "threads": 1, **more}
    return list(training_batches(plan, first_step=first_step, n_steps=n_steps, **asked))


def assert_equal_batches(some: list[Batch], others: list[Batch]) -> None:
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.references, other.references)


def test_batches_have_the_shapes_of_a_step(plan: PatchPlan) -> None:
    batches = feed(plan)
    assert len(batches) == 6
    for images, references in batches:
        assert (images.shape, images.dtype.name) == ((3, 16, 16, 2), "float32")
        assert (references.shape, references.dtype.name) == ((3, 16, 16, 1), "uint8")
        np.testing.assert_array_equal(images[..., 0], images[..., 1])


def test_unchanged_patches_are_normalised_pixels(plan: PatchPlan) -> None:
    for images, references in feed(plan, augmentation=NO_AUGMENTATION):
        np.testing.assert_array_equal(references[..., 0] == 1, np.round(images[..., 0] * 255) > 200)
        assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize("threads", [0, 2, 5])
def test_any_number_of_threads_makes_the_same_bits(plan: PatchPlan, threads: int) -> None:
    assert_equal_batches(feed(plan, threads=threads), feed(plan, threads=1))


@given(first_step=st.integers(0, 5), threads=st.integers(0, 2))
@hypothesis_settings(max_examples=12)
def test_a_training_goes_on_where_it_stopped(plan: PatchPlan, first_step: int, threads: int) -> None:
    assert_equal_batches(feed(plan, first_step, 6 - first_step, threads=threads), feed(plan)[first_step:])


def test_steps_and_seeds_differ(plan: PatchPlan) -> None:
    other = plan_patches(plan.samples, plan.side, seed=4, foreground_share=0.4)
    images = [batch.images.tobytes() for batch in (*feed(plan), *feed(other))]
    assert len(set(images)) == 12


def test_every_patch_is_changed_in_its_own_way() -> None:
    """The only sample is as large as the patch, so nothing but the augmentation can differ."""
    batches = feed(plan_patches([draw_sample(0, 16, 16)], 16))
    assert len({image.tobytes() for batch in batches for image in batch.images}) == 18


def test_no_steps_no_batches(plan: PatchPlan) -> None:
    assert feed(plan, n_steps=0) == []


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_an_error_in_a_thread_reaches_the_consumer(threads: int) -> None:
    strange = Sample("broken", np.full((16, 16, 1), "x"), RECIPE, np.zeros((16, 16), np.uint8))
    plan = plan_patches([draw_sample(0), strange], 16)
    with pytest.raises(ValueError, match="could not convert") as error:
        feed(plan, threads=threads)
    assert any("'broken'" in note for note in error.value.__notes__)


def test_a_training_broken_off_leaves_no_thread(plan: PatchPlan) -> None:
    before = set(threading.enumerate())
    batches = training_batches(plan, STRONG, batch_size=2, channels=1, n_steps=10**6, threads=2)
    next(batches)
    made = set(threading.enumerate()) - before
    assert made
    del batches
    for thread in made:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in made)


@pytest.mark.parametrize("name", ["batch_size", "channels", "first_step", "n_steps", "threads"])
def test_senseless_batches_are_refused(plan: PatchPlan, name: str) -> None:
    asked = {"batch_size": 1, "channels": 1, "n_steps": 1, name: -1}
    with pytest.raises(ValueError, match=rf"{name}.*-1"):
        training_batches(plan, NO_AUGMENTATION, **asked)


def test_validation_takes_whole_images_grouped_by_padded_shape() -> None:
    sizes = {"a": (20, 17), "b": (5, 64), "c": (32, 32), "d": (17, 20), "e": (8, 50), "f": (32, 31)}
    samples = [draw_sample(place, *size, name=name) for place, (name, size) in enumerate(sizes.items())]
    batches = list(validation_batches(samples, 16, 3, 2))
    assert [batch.images.shape for batch in batches] == [(3, 32, 32, 2), (1, 32, 32, 2), (2, 16, 64, 2)]
    images, references = (
        list(itertools.chain.from_iterable(getattr(batch, name) for batch in batches)) for name in Batch._fields
    )
    for place, name in enumerate("acdfbe"):
        sample, (height, width) = samples[list(sizes).index(name)], sizes[name]
        normalised = apply_recipe(sample.pixels, sample.recipe)
        np.testing.assert_array_equal(images[place][:height, :width], np.repeat(normalised, 2, axis=-1))
        np.testing.assert_array_equal(references[place][:height, :width, 0], sample.reference)
        outside = np.ones(references[place].shape[:2], bool)
        outside[:height, :width] = False
        assert (references[place][outside] == 255).all()
        assert np.isin(images[place], normalised).all(), "padded with what the image has"


@pytest.mark.parametrize("threads", [0, 2])
def test_validation_is_the_same_for_any_number_of_threads(threads: int) -> None:
    samples = [draw_sample(seed, 10 + seed, 12, 2) for seed in range(9)]
    batches = list(validation_batches(samples, 4, 2, 2, threads=threads))
    assert_equal_batches(batches, list(validation_batches(samples, 4, 2, 2)))


def test_validation_without_samples_and_with_senseless_sizes() -> None:
    assert list(validation_batches([], 16, 4, 1)) == []
    with pytest.raises(ValueError, match=r"stride, batch_size and channels from 1.*got 0, 4, 1"):
        validation_batches([draw_sample(0)], 0, 4, 1)


def test_waiting_is_added_up_to_the_end() -> None:
    times = iter([0.0, 1.0, 10.0, 12.0, 20.0, 24.0])
    clock = WaitingClock(["a", "b"], now=lambda: next(times))
    assert (list(clock), clock.seconds) == (["a", "b"], 7.0)


PROBE = """
import json, math, sys
sys.modules["jax"] = None
import numpy as np
from segscale.tasks.normalize import Recipe
from segscale.tasks.training.feed import validation_batches
from segscale.tasks.training.sample import Sample
sample = Sample("a", np.zeros((3, 3, 1)), Recipe(-math.inf, math.inf, 0.0, 1.0), np.zeros((3, 3), np.uint8))
assert len(list(validation_batches([sample], 4, 1, 1))) == 1
print(json.dumps([name for name in ("tensorflow", "keras", "grain") if name in sys.modules]))
"""


@pytest.mark.slow
def test_the_feed_loads_no_network_library_and_misses_none() -> None:
    answer = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert (json.loads(answer.stdout), answer.stderr) == (["grain"], "")
