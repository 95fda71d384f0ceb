from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.engines import EngineFacts, check_batch
from segscale.tasks.normalize import Recipe, apply_recipe
from segscale.tasks.reach import SEEN, STRIP, far_difference, sees_far

RECIPE = np.array([[-np.inf, np.inf, 0, 255]], np.float32)


class FilterEngine:
    """Probabilities that a function makes of the brightness (H, W)."""

    def __init__(self, function: Callable[[NDArray[np.float32]], NDArray[np.float32]], stride: int = 1) -> None:
        self.facts = EngineFacts("fake", "cpu", "float32", "1", ("head",), 2, 1, 3, stride)
        self.function = function

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        check_batch(pixels, recipe, self.facts)
        seen = [apply_recipe(image[..., 0], Recipe(*map(float, recipe[0]))) for image in pixels]
        return np.stack([self.function(image) for image in seen])[np.newaxis, ..., np.newaxis]


def box(image: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """The mean of each row over 2 radius + 1 columns, zeros beyond the border."""
    kernel = np.full(2 * radius + 1, 1 / (2 * radius + 1))
    return np.stack([np.convolve(row, kernel, "same") for row in image]).astype(np.float32)


def image_of(values: tuple[int, int], shape: tuple[int, int] = (40, 50)) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(*values, (1, *shape, 3), np.uint8)


@pytest.mark.parametrize("stride", [1, 64])
@pytest.mark.parametrize(
    "values",
    [pytest.param((0, 60), id="dark"), pytest.param((200, 256), id="bright"), pytest.param((0, 256), id="all")],
)
@pytest.mark.parametrize(
    ("function", "far"),
    [
        pytest.param(lambda image: image, False, id="a pixel"),
        pytest.param(lambda image: box(image, 300), False, id="300 pixels around"),
        pytest.param(lambda image: image - image.mean() / 2, True, id="less the mean"),
        pytest.param(lambda image: image / (1 + image.std()), True, id="over the deviation"),
        pytest.param(lambda image: image * np.median(image), True, id="times the median"),
    ],
)
def test_a_change_at_the_other_end_tells(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]], far: bool, values: tuple[int, int], stride: int
) -> None:
    found = far_difference(FilterEngine(function, stride), image_of(values), RECIPE)
    assert sees_far(found, "float32") == far
    if not far:
        assert found == 0.0


@pytest.mark.parametrize("shape", [(1, 1), (7, 3000), (500, 2)])
def test_any_image_makes_a_strip(shape: tuple[int, int]) -> None:
    sizes = []

    def function(image: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(image.shape)
        return image

    assert far_difference(FilterEngine(function, 64), image_of((0, 256), shape), RECIPE) == 0.0
    assert sizes == [(64, STRIP)] * 2


def test_what_is_no_probability_shows_nothing() -> None:
    found = far_difference(FilterEngine(lambda image: image * np.nan), image_of((0, 256)), RECIPE)
    assert np.isnan(found)
    assert not sees_far(found, "float32")


def test_reduced_precisions_are_allowed_their_rounding() -> None:
    assert sees_far(0.005, "float32")
    assert not sees_far(0.005, "bfloat16")
    assert sees_far(0.05, "float16")


def test_the_ends_are_apart() -> None:
    assert SEEN + STRIP // 4 < STRIP // 2
