"""Which layers look at the whole image, held against what changes far away when a pixel does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from segscale.tasks.models.model_file import load_model
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus
from segscale.tasks.networks.whole_image import whole_image_layers

Middle = Callable[[Any], Any]


def network(middle: Middle) -> keras.Model:
    """A small network around a layer; its four channels are positive and none is like another."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 1))
    features = layers.Conv2D(4, 3, padding="same", activation="softplus")(image)
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="mask")(middle(features)))


def squeeze_and_excite(tensor: Any) -> Any:
    weights = layers.GlobalAveragePooling2D(name="squeeze")(tensor)
    weights = layers.Dense(4, activation="sigmoid")(layers.Dense(2, activation="relu")(weights))
    return layers.Multiply()([tensor, layers.Reshape((1, 1, 4))(weights)])


def inside(layer: Any) -> Middle:
    nested: Middle = keras.Sequential([layers.Conv2D(4, 1), keras.Sequential([layer])])
    return nested


WHOLE = [
    pytest.param(layers.GroupNormalization(2), "(GroupNormalization)", id="group normalisation"),
    pytest.param(inside(layers.GroupNormalization(-1)), "(GroupNormalization)", id="instance, nested twice"),
    pytest.param(
        layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False), "(LayerNormalization)", id="layer"
    ),
    pytest.param(squeeze_and_excite, "'squeeze' (GlobalAveragePooling2D)", id="squeeze and excite"),
    pytest.param(
        lambda x: layers.Add()([x, layers.GlobalMaxPooling2D(keepdims=True)(x)]), "(GlobalMaxPooling2D)", id="maximum"
    ),
    pytest.param(
        lambda x: layers.MultiHeadAttention(1, 2, attention_axes=(1, 2), name="attend")(x, x),
        "'attend' (MultiHeadAttention)",
        id="attention",
    ),
    pytest.param(lambda x: x - ops.mean(x, axis=(1, 2), keepdims=True), "(Mean)", id="an operation"),
    pytest.param(lambda x: x / ops.max(x, axis=[1, 2], keepdims=True), "(Max)", id="another"),
    pytest.param(layers.Softmax(axis=(1, 2)), "(Softmax)", id="softmax over places"),
    pytest.param(lambda x: x + layers.AdaptiveAveragePooling2D(1)(x), "(AdaptiveAveragePooling2D)", id="adaptive"),
    pytest.param(lambda x: x + x[:, ::-1, ::-1], "(GetItem)", id="upside down"),
]
LOCAL = [
    pytest.param(lambda x: x, id="convolutions"),
    pytest.param(layers.LayerNormalization(), id="layer normalisation of a pixel"),
    pytest.param(inside(layers.RMSNormalization()), id="the same, nested"),
    pytest.param(layers.Dense(3), id="dense"),
    pytest.param(layers.SpectralNormalization(layers.Conv2D(2, 3, padding="same")), id="of weights"),
    pytest.param(
        lambda x: layers.UpSampling2D(interpolation="bilinear")(layers.MaxPooling2D()(x)), id="down and up again"
    ),
    pytest.param(lambda x: x[..., :2] * ops.sigmoid(x[..., 2:]), id="gate of channels"),
    pytest.param(lambda x: x - ops.mean(x, axis=-1, keepdims=True), id="mean of channels"),
    pytest.param(lambda x: ops.concatenate([x, ops.gelu(x)], axis=3), id="concatenation of channels"),
    pytest.param(lambda x: layers.UpSampling2D()(x[:, ::2, ::2]), id="every second pixel"),
]


def changes_far_away(model: keras.Model) -> bool:
    pixels = np.random.default_rng(0).random((1, 64, 64, 1), np.float32)
    changed = pixels.copy()
    changed[:, -8:, -8:] = 9
    return bool(np.abs(model(pixels) - model(changed))[:, :8, :8].max() > 1e-6)


@pytest.mark.parametrize(("middle", "named"), WHOLE)
def test_layers_that_look_at_the_whole_image(middle: Middle, named: str) -> None:
    model = network(middle)
    found = whole_image_layers(model)
    assert named in found[0]
    assert changes_far_away(model)


@pytest.mark.parametrize("middle", LOCAL)
def test_layers_that_look_at_a_neighbourhood(middle: Middle) -> None:
    model = network(middle)
    assert whole_image_layers(model) == ()
    assert not changes_far_away(model)


def test_what_is_not_known_counts_as_looking_at_the_whole_image() -> None:
    model = network(lambda x: layers.Permute((2, 1, 3))(layers.Permute((2, 1, 3), name="turn")(x)))
    assert whole_image_layers(model)[0] == "'turn' (Permute)"


@pytest.mark.parametrize("middle", [LOCAL[6].values[0], LOCAL[9].values[0]])
def test_keys_of_slices_are_read_from_a_file_too(tmp_path: Path, middle: Middle) -> None:
    network(middle).save(tmp_path / "m.keras")
    assert whole_image_layers(load_model(tmp_path / "m.keras")) == ()


def test_the_network_of_this_package_looks_at_a_neighbourhood() -> None:
    model = build_unet_plus_plus(channels=3, outputs=1, filters=(2, 3, 4), normalization="batch")
    assert whole_image_layers(model) == ()
