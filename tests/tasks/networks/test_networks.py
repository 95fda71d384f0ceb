from __future__ import annotations

import keras
import numpy as np
import pytest

from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus
from segscale.tasks.networks import select_outputs, stride, with_policy


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build_unet_plus_plus(channels=1, outputs=1, filters=(2, 3, 4), normalization="batch")


def test_a_selection_is_a_real_subgraph(model: keras.Model) -> None:
    part = select_outputs(model, ["head_1"])
    assert part.output_names == ["head_1"]
    assert part.count_params() < model.count_params()
    assert part.get_layer("X_0_1_conv_1") is model.get_layer("X_0_1_conv_1")
    assert (stride(part), stride(model)) == (2, 4)


def test_outputs_come_in_the_order_asked_for(model: keras.Model) -> None:
    assert select_outputs(model, ["head_2", "head_1"]).output_names == ["head_2", "head_1"]


def test_an_output_that_is_not_there_is_refused(model: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"no output \['head_9'\]; its outputs are \['head_1', 'head_2'\]"):
        select_outputs(model, ["head_9"])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_copy_under_a_policy_keeps_weights_and_float32_outputs(model: keras.Model, policy: str) -> None:
    copy = with_policy(model, policy)
    assert copy.output_names == model.output_names
    assert {tensor.dtype for tensor in copy.outputs} == {"float32"}
    assert copy.get_layer("X_0_0_conv_1").dtype_policy.name == policy
    for ours, theirs in zip(copy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert copy.get_layer("X_0_0_conv_1") is not model.get_layer("X_0_0_conv_1")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_operations_that_are_no_layers_are_copied(policy: str) -> None:
    image = keras.Input((None, None, 1))
    tensor = keras.ops.relu(keras.layers.Conv2D(2, 3, padding="same")(image) * 2.0)
    model = keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(tensor))
    pixels = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    copy = with_policy(model, policy)
    np.testing.assert_allclose(copy(pixels), model(pixels), atol=1e-5 if policy == "float32" else 0.02)


def test_an_output_that_ends_in_a_nested_model_stays_float32() -> None:
    inner = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(2, 1, name="outer_conv"), keras.layers.Softmax()]
    )
    image = keras.Input((None, None, 1))
    copy = with_policy(keras.Model(image, inner(keras.layers.Conv2D(1, 1, name="softmax")(image))), "mixed_bfloat16")
    assert copy.outputs[0].dtype == "float32"
    assert copy.get_layer("softmax").dtype_policy.name == "mixed_bfloat16"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_copy_keeps_the_statistics_that_a_layer_was_adapted_to(policy: str) -> None:
    layer = keras.layers.Normalization()
    layer.adapt(np.random.default_rng(0).uniform(100, 200, (2, 8, 8, 1)))
    inner = keras.Sequential([keras.Input((None, None, 1)), layer])
    image = keras.Input((None, None, 1))
    model = keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(inner(image)))
    pixels = np.random.default_rng(1).uniform(100, 200, (1, 8, 8, 1)).astype(np.float32)
    expected = model(pixels)
    np.testing.assert_allclose(with_policy(model, policy)(pixels), expected, atol=1e-6 if policy == "float32" else 0.02)
    assert np.std(expected) > 0.01
