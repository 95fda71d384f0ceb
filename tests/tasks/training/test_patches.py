from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.normalize import Recipe
from segscale.tasks.training.patches import cut_patch, draw_position, plan_patches
from segscale.tasks.training.sample import Sample

RECIPE = Recipe(-math.inf, math.inf, 0.0, 1.0)

sides = st.integers(1, 24)
seeds = st.integers(0, 2**31)
numbers = st.integers(0, 10**9)


def make_sample(reference: Any) -> Sample:
    """An image whose pixels tell their place, so that a patch tells where it was cut."""
    height, width = reference.shape
    pixels = np.arange(height * width, dtype=np.int32).reshape(height, width, 1)
    return Sample("image", pixels, RECIPE, reference.astype(np.uint8))


def marked(height: int, width: int, *marks: tuple[int, int, int]) -> Sample:
    reference = np.zeros((height, width))
    for row, column, class_index in marks:
        reference[row, column] = class_index
    return make_sample(reference)


@given(height=sides, width=sides, side=sides, seed=seeds, number=numbers)
def test_patch_lies_inside_or_covers_the_image(height: int, width: int, side: int, seed: int, number: int) -> None:
    plan = plan_patches([marked(height, width)], side, seed=seed)
    position = draw_position(plan, number)
    for start, size in ((position.top, height), (position.left, width)):
        assert start >= 0 if size >= side else start == -((side - size) // 2)
        assert start + side <= size or size < side
    pixels, reference = cut_patch(plan, position)
    assert (pixels.shape, reference.shape) == ((side, side, 1), (side, side))
    if min(height, width) >= side:
        window = (slice(position.top, position.top + side), slice(position.left, position.left + side))
        np.testing.assert_array_equal(pixels, plan.samples[0].pixels[window])


@given(height=sides, width=sides, side=sides, seed=seeds, data=st.data())
def test_chosen_pixel_is_in_the_patch(height: int, width: int, side: int, seed: int, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    plan = plan_patches([marked(height, width, (row, column, 3))], side, seed=seed, foreground_share=1.0)
    position = draw_position(plan, data.draw(numbers))
    assert 0 <= row - position.top < side
    assert 0 <= column - position.left < side
    assert 3 in cut_patch(plan, position)[1]


@given(n_samples=st.integers(1, 40), seed=seeds, first_pass=st.integers(0, 1000))
def test_every_pass_visits_each_sample_once(n_samples: int, seed: int, first_pass: int) -> None:
    plan = plan_patches([marked(2, 2)] * n_samples, 2, seed=seed)
    first = first_pass * n_samples
    visited = [draw_position(plan, number).sample for number in range(first, first + n_samples)]
    assert sorted(visited) == list(range(n_samples))


def test_passes_have_orders_of_their_own_and_seeds_too() -> None:
    orders = {
        tuple(draw_position(plan, number).sample for number in range(start, start + 30))
        for plan in (plan_patches([marked(2, 2)] * 30, 2, seed=seed) for seed in (0, 1))
        for start in (0, 30, 60)
    }
    assert len(orders) == 6


@given(seed=seeds, number=numbers)
def test_position_depends_on_nothing_but_plan_and_number(seed: int, number: int) -> None:
    samples = [marked(9, 7, (1, 1, 1)), marked(12, 30, (3, 20, 2))]
    one, other = (plan_patches(samples, 5, seed=seed, foreground_share=0.5) for _ in range(2))
    draw_position(other, number + 1)
    assert draw_position(one, number) == draw_position(other, number)


def test_uniform_patches_start_everywhere() -> None:
    plan = plan_patches([marked(6, 5)], 3)
    starts = Counter((place.top, place.left) for place in (draw_position(plan, number) for number in range(1200)))
    assert set(starts) == {(top, left) for top in range(4) for left in range(3)}
    assert max(abs(count - 100) for count in starts.values()) < 4 * math.sqrt(100)


def test_a_foreground_pixel_lies_everywhere_in_its_patches() -> None:
    plan = plan_patches([marked(30, 30, (15, 14, 1))], 4, foreground_share=1.0)
    inside = Counter((15 - place.top, 14 - place.left) for place in (draw_position(plan, n) for n in range(1600)))
    assert set(inside) == {(row, column) for row in range(4) for column in range(4)}
    assert max(abs(count - 100) for count in inside.values()) < 4 * math.sqrt(100)


def test_foreground_classes_and_their_holders_are_drawn_evenly() -> None:
    """Class 1 fills half of two images, class 2 is one pixel of a third among many empty ones."""
    half = np.zeros((20, 20))
    half[:10] = 1
    samples = [make_sample(half), make_sample(half), marked(20, 20, (7, 7, 2)), *[marked(20, 20)] * 17]
    plan = plan_patches(samples, 4, foreground_share=1.0)
    drawn = Counter(draw_position(plan, number).sample for number in range(2000))
    assert set(drawn) == {0, 1, 2}
    for sample, share in ((0, 0.25), (1, 0.25), (2, 0.5)):
        assert drawn[sample] == pytest.approx(2000 * share, abs=4 * math.sqrt(2000 * share * (1 - share)))


@pytest.mark.parametrize("share", [0.25, 1 / 3, 0.9])
def test_foreground_share_is_kept(share: float) -> None:
    """One image of 10,000 has the only foreground, so all patches of it but a handful are balanced ones."""
    plan = plan_patches([marked(2, 2)] * 9999 + [marked(2, 2, (0, 0, 1))], 2, foreground_share=share)
    drawn = sum(draw_position(plan, number).sample == 9999 for number in range(1500))
    assert drawn == pytest.approx(1500 * share, abs=4 * math.sqrt(1500 * share * (1 - share)) + 1)


def test_ignored_pixels_are_no_foreground() -> None:
    plan = plan_patches([marked(4, 4, (0, 0, 255)), marked(4, 4, (0, 0, 1))], 2, foreground_share=1.0)
    assert {draw_position(plan, number).sample for number in range(20)} == {1}


@pytest.mark.parametrize(
    ("image", "patch"),
    [
        pytest.param([[5]], [[5, 5, 5]] * 3, id="one pixel"),
        pytest.param([[1, 2, 3]], [[1, 2, 3, 2]] * 4, id="one row is repeated, columns are mirrored"),
        pytest.param([[1, 2], [3, 4]], [[4, 3, 4, 3, 4], [2, 1, 2, 1, 2]] * 2 + [[4, 3, 4, 3, 4]], id="back and forth"),
    ],
)
def test_small_images_are_mirrored_around_the_middle(image: list[list[int]], patch: list[list[int]]) -> None:
    reference = np.array(image, np.uint8)
    plan = plan_patches([Sample("small", reference[..., np.newaxis], RECIPE, reference)], len(patch))
    pixels, cut = cut_patch(plan, draw_position(plan, 0))
    assert (pixels[..., 0].tolist(), cut.tolist()) == (patch, patch)


@pytest.mark.parametrize(
    ("samples", "asked", "said"),
    [
        pytest.param([], {}, "at least one sample", id="no samples"),
        pytest.param([marked(2, 2)], {"side": 0}, "got 0, 0 and 0.0", id="side"),
        pytest.param([marked(2, 2)], {"seed": -1}, "seed of 0 or more", id="seed"),
        pytest.param([marked(2, 2, (0, 0, 1))], {"foreground_share": 1.1}, "and 1.1", id="share"),
        pytest.param(
            [marked(2, 2), marked(2, 2, (0, 0, 255))],
            {"foreground_share": 0.1},
            "none of 2 samples holds foreground",
            id="nothing to balance",
        ),
    ],
)
def test_impossible_plans_are_refused(samples: list[Sample], asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_patches(samples, **{"side": 2, **asked})
