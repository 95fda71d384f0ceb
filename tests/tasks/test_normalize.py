import math
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from segscale.errors import DataError
from segscale.tasks import normalize
from segscale.tasks.normalize import Method, Recipe, apply_recipe, find_recipe

WINDOW = (-1000.0, 400.0)


def image(values: Any, dtype: str = "float32") -> NDArray[Any]:
    """One row of grey pixels, (1, 1, n, 1)."""
    return np.array(values, dtype).reshape(1, 1, -1, 1)


@pytest.mark.parametrize(
    ("pixels", "method", "full_scale", "expected"),
    [
        pytest.param(image([0, 255], "u1"), "unit", 255, Recipe(-math.inf, math.inf, 0, 255), id="8 bits"),
        pytest.param(image([0, 9], "u2"), "unit", 65535, Recipe(-math.inf, math.inf, 0, 65535), id="16 bits, dark"),
        pytest.param(image([0.0, 1.0]), "unit", 1, Recipe(-math.inf, math.inf, 0, 1), id="floats stay"),
        pytest.param(
            image([0, 5], "i2"), "unit", 32767, Recipe(-math.inf, math.inf, 0, 32767), id="signed, not negative"
        ),
        pytest.param(image([-2000, 0], "i2"), "window", 32767, Recipe(-1000, 400, -1000, 1400), id="CT window"),
        pytest.param(image(range(201), "u1"), "percentile", 255, Recipe(1, 199, 1, 198), id="0.5 % of 200 steps is 1"),
        pytest.param(
            image([0] * 999 + [7], "u1"), "percentile", 255, Recipe(0, 7, 0, 7), id="equal quantiles: the whole range"
        ),
        pytest.param(image([5] * 4, "u1"), "percentile", 255, Recipe(5, 5, 5, 1), id="constant image"),
        pytest.param(image([0, 2], "u1"), "zscore", 255, Recipe(-math.inf, math.inf, 1, 1), id="mean 1, deviation 1"),
        pytest.param(
            image([-3, 1, 2, 8], "i4"),
            "zscore",
            1,
            Recipe(-math.inf, math.inf, 2, math.sqrt(15.5)),
            id="population deviation: (25 + 1 + 0 + 36) / 4",
        ),
        pytest.param(
            image([0.0, 0.5, 1.0]), "zscore", 1, Recipe(-math.inf, math.inf, 0.5, math.sqrt(1 / 6)), id="floats"
        ),
        pytest.param(
            image([0.1] * 3), "zscore", 1, Recipe(-math.inf, math.inf, float(np.float32(0.1)), 1), id="constant floats"
        ),
        pytest.param(image([0, 255], "u1"), "none", 255, Recipe(-math.inf, math.inf, 0, 1), id="8 bits as stored"),
        pytest.param(image([-7, 3000], "i2"), "none", 32767, Recipe(-math.inf, math.inf, 0, 1), id="signed as stored"),
        pytest.param(image([-0.5, 2.5]), "none", 1, Recipe(-math.inf, math.inf, 0, 1), id="floats as stored"),
        pytest.param(
            image([0.0, 1e-45]), "zscore", 1, Recipe(-math.inf, math.inf, 2.0**-150, 1), id="deviation 0 in float32"
        ),
    ],
)
def test_recipes(pixels: NDArray[Any], method: Method, full_scale: float, expected: Recipe) -> None:
    assert find_recipe(pixels, method, full_scale=full_scale, window=WINDOW) == expected


@pytest.mark.parametrize(
    ("pixels", "method", "message"),
    [
        pytest.param(image([-5, 9], "i2"), "unit", "values from -5 to 9 .* choose window", id="signed and negative"),
        pytest.param(image([0.0, 1.5]), "unit", "from 0.0 to 1.5 .* expected floats from 0 to 1", id="float above 1"),
        pytest.param(image([-0.5, 1.0]), "unit", "from -0.5 to 1.0", id="float below 0"),
        pytest.param(image([0, np.nan, np.inf]), "unit", "2 of 3 pixel values are NaN or infinite", id="unit of NaN"),
        pytest.param(image([0, np.nan]), "window", "1 of 2 pixel values", id="window of NaN"),
        pytest.param(image([0, -np.inf]), "percentile", "1 of 2 pixel values", id="percentile of infinity"),
        pytest.param(image([0, np.nan]), "zscore", "1 of 2 pixel values", id="zscore of NaN"),
        pytest.param(image([0, np.nan]), "none", "1 of 2 pixel values", id="none of NaN"),
        pytest.param(image([3, -np.inf], "f2"), "none", "1 of 2 pixel values", id="none of infinity"),
        pytest.param(image([]), "zscore", "no pixels", id="no pixels"),
        pytest.param(image([1.0]), "minmax", "expected unit, window, percentile, zscore or none", id="unknown method"),
    ],
)
def test_refused_images(pixels: NDArray[Any], method: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_recipe(pixels, method, full_scale=1.0, window=WINDOW)


@pytest.mark.parametrize("window", [(5.0, 5.0), (9.0, 1.0), (-math.inf, 1.0), (math.nan, 1.0)])
def test_refused_windows(window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected two finite numbers, the lower first"):
        find_recipe(image([1.0]), "window", full_scale=1.0, window=window)


@pytest.mark.parametrize("full_scale", [0.0, -1.0, math.inf, math.nan])
def test_refused_full_scales(full_scale: float) -> None:
    with pytest.raises(ValueError, match=r"full_scale .* expected a positive number"):
        find_recipe(image([1], "u1"), "unit", full_scale=full_scale, window=WINDOW)


@pytest.mark.parametrize("full_scale", [1, 3, 15, 255, 65535])
def test_the_ends_of_the_scale_are_exact(full_scale: int) -> None:
    recipe = find_recipe(image([0, full_scale], "u2"), "unit", full_scale=full_scale, window=WINDOW)
    assert apply_recipe(image([0, full_scale], "u2"), recipe).ravel().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("pixels", "recipe", "expected"),
    [
        pytest.param(
            image([-2000, -1000, -300, 400, 900], "i2"),
            Recipe(-1000, 400, -1000, 1400),
            [0, 0, 0.5, 1, 1],
            id="clipped to the window, then scaled",
        ),
        pytest.param(
            image([0, 2], "u1"), Recipe(-math.inf, math.inf, 1, 1), [-1, 1], id="offset below zero in unsigned"
        ),
        pytest.param(
            image([1], "u1"),
            Recipe(-math.inf, math.inf, 0, 255),
            [float(np.float32(1) / np.float32(255))],
            id="divided, not multiplied by a rounded reciprocal",
        ),
    ],
)
def test_apply(pixels: NDArray[Any], recipe: Recipe, expected: list[float]) -> None:
    found = apply_recipe(pixels, recipe)
    assert found.dtype == np.float32
    assert found.shape == pixels.shape
    assert found.ravel().tolist() == expected


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "f2", "f4"])
def test_none_gives_what_is_stored(dtype: str) -> None:
    pixels = image([0, 1, 2, 100, 127], dtype)
    recipe = find_recipe(pixels, "none", full_scale=255, window=WINDOW)
    assert apply_recipe(pixels, recipe).tolist() == pixels.astype(np.float32).tolist()


def test_apply_leaves_its_input_alone() -> None:
    pixels = image([0.0, 1.0])
    apply_recipe(pixels, Recipe(0.25, 0.75, 0.25, 0.5))
    assert pixels.ravel().tolist() == [0.0, 1.0]


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_order_of_pixels_never_matters(values: list[int], random: Any) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)
    for method in ("percentile", "zscore"):
        first, second = (
            find_recipe(image(row, "u2"), method, full_scale=65535, window=WINDOW) for row in (values, shuffled)
        )
        assert first == second


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=40))
def test_zscore_agrees_with_numpy(values: list[float]) -> None:
    recipe = find_recipe(image(values), "zscore", full_scale=1, window=WINDOW)
    reference = np.array(values, np.float32).astype(np.float64)
    assert recipe.offset == pytest.approx(reference.mean(), rel=1e-12)
    if reference.std() > 1e-6:
        assert recipe.scale == pytest.approx(reference.std(), rel=1e-9)


def test_moments_of_many_blocks_are_exact() -> None:
    pixels = np.zeros((1, 1100, 2000, 1), np.uint16)
    pixels[0, 0, 0, 0] = 2200
    recipe = find_recipe(pixels, "zscore", full_scale=65535, window=WINDOW)
    assert recipe.offset == 2200 / 2_200_000
    assert recipe.scale == math.sqrt((2_200_000 * 2200**2 - 2200**2) / 2_200_000**2)
    in_floats = find_recipe(pixels.astype(np.int32), "zscore", full_scale=65535, window=WINDOW)
    assert in_floats.offset == recipe.offset
    assert in_floats.scale == pytest.approx(recipe.scale, rel=1e-12)


@given(
    stored=st_numpy.arrays(
        st.sampled_from(["u1", "i1", "u2", "i2", "i4", "f4"]),
        st_numpy.array_shapes(min_dims=4, max_dims=4, max_side=5),
        elements=st.integers(0, 100),
    ),
    slope=st.sampled_from([1.0, 0.3, -0.3, 1e-3, 0.0]),
    intercept=st.sampled_from([0.0, -20.5, 1e6]),
    method=st.sampled_from(["window", "percentile", "zscore", "unit"]),
)
def test_pixels_that_are_made_later_have_the_recipe_of_pixels(
    stored: NDArray[Any], slope: float, intercept: float, method: Method
) -> None:
    def meant(numbers: NDArray[Any]) -> NDArray[np.float32]:
        return (numbers * np.float64(slope) + intercept).astype(np.float32)

    def found(pixels: NDArray[Any], **more: Any) -> Recipe | str:
        try:
            return find_recipe(pixels, method, full_scale=2e6, window=WINDOW, **more)
        except DataError as error:
            return str(error)

    # Three at a time, and cut out of a padded array.
    with patch.object(normalize, "_BLOCK", 3):
        for pixels in (stored, stored[:, :2, :3]):
            assert found(pixels, meant=meant) == found(meant(pixels))


@pytest.mark.parametrize("n_pixels", [2, 3, 199, 200, 201, 1000, 4099])
def test_quantiles_by_counting_are_those_of_numpy(n_pixels: int) -> None:
    """Bit for bit, whichever of two neighbours is nearer."""
    random = np.random.default_rng(n_pixels)
    stored = random.normal(0, 900, n_pixels).astype(np.int16).reshape(1, 1, -1, 1)
    recipe = find_recipe(stored, "percentile", full_scale=1, window=WINDOW, meant=lambda some: some * np.float32(0.37))
    low, high = np.percentile(stored * np.float32(0.37), normalize.PERCENTILES)
    assert (recipe.clip_low, recipe.clip_high) == (low, high)


def test_infinite_numbers_are_found_in_what_is_meant() -> None:
    meant = np.array([0, np.inf], np.float32)
    with pytest.raises(DataError, match="1 of 2 pixel values are NaN or infinite"):
        find_recipe(image([0, 1], "i2"), "window", full_scale=1, window=WINDOW, meant=meant.__getitem__)
