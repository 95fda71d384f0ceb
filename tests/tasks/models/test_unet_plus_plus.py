from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from segscale.tasks.models.model_file import inspect_model
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus, prune, supervised_levels
from segscale.tasks.networks import stride

IMAGES = np.random.default_rng(0).random((2, 16, 24, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_unet_plus_plus(channels=1, outputs=1, filters=(2, 3, 4, 5), normalization="batch")


@pytest.fixture(scope="module")
def published() -> keras.Model:
    return build_unet_plus_plus(channels=1, outputs=1)


def test_published_network_has_the_published_number_of_weights(published: keras.Model) -> None:
    single = build_unet_plus_plus(channels=1, outputs=1, deep_supervision=False)
    assert single.count_params() == 9_041_601
    # Three more 1x1 heads on 32 channels: 3 x (32 weights + 1 bias).
    assert published.count_params() == 9_041_601 + 99


def test_colour_input_adds_weights_in_the_first_convolution_only() -> None:
    colour = build_unet_plus_plus(channels=3, outputs=1, deep_supervision=False)
    assert colour.count_params() == 9_041_601 + 2 * 9 * 32


@pytest.mark.parametrize(("level", "parameters"), [(1, 100_961), (2, 511_105), (3, 2_204_961), (4, 9_041_601)])
def test_pruning_leaves_the_published_number_of_weights(published: keras.Model, level: int, parameters: int) -> None:
    assert prune(published, level).count_params() == parameters


@pytest.mark.parametrize("level", [1, 2, 3])
def test_pruned_network_gives_what_the_full_one_gives_at_that_head(small: keras.Model, level: int) -> None:
    full = small(IMAGES, training=False)[level - 1]
    np.testing.assert_array_equal(prune(small, level)(IMAGES, training=False), full)


def test_pruned_network_keeps_the_heads_asked_for(small: keras.Model) -> None:
    pruned = prune(small, 2, heads=(1, 2))
    assert pruned.output_names == ["head_1", "head_2"]
    assert inspect_model(pruned).heads == ("head_1", "head_2")
    assert not any(layer.name.startswith("X_3") for layer in pruned.layers)


@pytest.mark.parametrize(
    ("level", "heads", "message"),
    [
        pytest.param(4, (), "has no output", id="deeper than the network"),
        pytest.param(0, (), "has no output", id="levels count from 1"),
        pytest.param(1, (1, 2), "up to its own number", id="head beyond the level"),
    ],
)
def test_pruning_refuses_what_is_not_there(
    small: keras.Model, level: int, heads: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prune(small, level, heads)


def test_levels_are_those_of_the_trained_heads(small: keras.Model) -> None:
    assert supervised_levels(small) == (1, 2, 3)
    unsupervised = build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2, 2), deep_supervision=False)
    assert supervised_levels(unsupervised) == (2,)
    with pytest.raises(ValueError, match="head_1"):
        prune(unsupervised, 1)


@pytest.mark.parametrize(
    ("filters", "expected"), [((2, 2), 2), ((2, 2, 2), 4), ((2, 2, 2, 2), 8), ((2, 2, 2, 2, 2), 16)]
)
def test_stride_halves_once_per_depth(filters: tuple[int, ...], expected: int) -> None:
    assert stride(build_unet_plus_plus(channels=1, outputs=1, filters=filters)) == expected


def test_stride_of_a_pruned_network_is_that_of_what_is_left(small: keras.Model) -> None:
    assert [stride(prune(small, level)) for level in (1, 2, 3)] == [2, 4, 8]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 40), (24, 16)])
def test_any_size_divisible_by_the_stride_comes_back(small: keras.Model, height: int, width: int) -> None:
    heads = small(np.zeros((1, height, width, 1), np.float32), training=False)
    assert [tuple(head.shape) for head in heads] == [(1, height, width, 1)] * 3


def test_sigmoid_is_one_probability_and_softmax_sums_to_one() -> None:
    sigmoid = build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2), deep_supervision=False)
    softmax = build_unet_plus_plus(channels=1, outputs=3, filters=(2, 2), deep_supervision=False, activation="softmax")
    probability = np.asarray(sigmoid(IMAGES, training=False))
    assert probability.min() > 0
    assert probability.max() < 1
    np.testing.assert_allclose(np.asarray(softmax(IMAGES, training=False)).sum(axis=-1), 1.0, atol=1e-6)
    assert inspect_model(sigmoid).n_classes == 2
    assert inspect_model(softmax).n_classes == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"outputs": 1, "activation": "softmax"}, "1 everywhere", id="softmax over one channel"),
        pytest.param({"outputs": 2, "activation": "sigmoid"}, "use softmax", id="two sigmoids are not exclusive"),
        pytest.param({"outputs": 1, "activation": "tanh"}, "activation must be", id="unknown activation"),
        pytest.param({"outputs": 1, "filters": (8,)}, "at least two depths", id="no depth"),
        pytest.param({"outputs": 1, "filters": (8, 0)}, "1 or more filters", id="no filter"),
        pytest.param({"outputs": 1, "channels": 0}, "channels must be", id="no channel"),
        pytest.param({"outputs": 1, "normalization": "group"}, "normalization must be", id="unknown normalisation"),
        pytest.param({"outputs": 1, "dropout": 1.0}, "below 1", id="drops everything"),
    ],
)
def test_building_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_unet_plus_plus(**{"channels": 1, **arguments})


def test_heads_stay_float32_under_a_mixed_precision_policy() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("X_0_1_conv_1").compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model.outputs[0].dtype) == "float32"


def test_zero_dropout_and_l2_leave_those_parts_out() -> None:
    model = build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2), dropout=0.0, l2=0.0)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)
    assert model.losses == []
