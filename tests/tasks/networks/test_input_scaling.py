"""Which networks want stored values. All are built here; two went through a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from segscale.tasks.models.model_file import inspect_model, load_model
from segscale.tasks.networks.input_scaling import own_scaling

Begin = Callable[[Any], Any]


def network(begin: Begin, channels: int = 1) -> keras.Model:
    """A convolution and a sigmoid behind what a network begins with."""
    image = keras.Input((None, None, channels))
    head = layers.Conv2D(1, 1, activation="sigmoid", name="mask")
    return keras.Model(image, head(layers.Conv2D(2, 3, padding="same")(begin(image))))


def nested(*inner: Any) -> Begin:
    """A model of its own around some layers."""

    def begin(tensor: Any) -> Any:
        image = keras.Input(tensor.shape[1:])
        found = image
        for layer in inner:
            found = layer(found)
        return keras.Model(image, found)(tensor)

    return begin


def seen(mean: float) -> Begin:
    """Batch normalisation that was trained on values of this mean."""

    def begin(tensor: Any) -> Any:
        layer = layers.BatchNormalization()
        found = layer(tensor)
        layer.moving_mean.assign([mean])
        return found

    return begin


@pytest.mark.parametrize(
    ("begin", "channels", "words"),
    [
        pytest.param(layers.Rescaling(1 / 256), 1, r"\(Rescaling\) multiplies its input by 0.0039", id="rescaling"),
        pytest.param(layers.Rescaling(1 / 64), 1, "multiplies its input by 0.0156", id="the limit is within"),
        pytest.param(layers.Rescaling(-1 / 255, 1.0), 1, "multiplies its input by -0.00392", id="upside down"),
        pytest.param(
            layers.Normalization(mean=120, variance=900), 1, r"\(Normalization\) takes 120 for the mean", id="mean"
        ),
        pytest.param(
            layers.Normalization(mean=[123.7, 116.8, 103.9], variance=[1, 1, 1]), 3, "takes 123.7 for", id="three means"
        ),
        pytest.param(
            layers.Normalization(mean=-600, variance=9e4), 1, "by 0.00333 and subtracts -600 from it", id="CT"
        ),
        pytest.param(layers.Normalization(mean=0, variance=255**2), 1, "by 0.00392", id="variance alone"),
        pytest.param(nested(layers.Rescaling(1 / 127.5, -1)), 1, "by 0.00784 and subtracts 127.5", id="nested"),
        pytest.param(
            nested(layers.ZeroPadding2D(1), keras.Sequential([layers.Cropping2D(1), layers.Rescaling(1 / 255)])),
            1,
            "by 0.00392",
            id="nested twice, behind padding",
        ),
        pytest.param(layers.Pipeline([layers.RandomFlip(), layers.Rescaling(1 / 255)]), 1, "0.00392", id="pipeline"),
        pytest.param(lambda x: x / 255.0, 1, r"\(TrueDivide\) multiplies its input by 0.00392", id="operator"),
        pytest.param(lambda x: ops.divide(ops.cast(x, "float32"), 65535), 1, "by 1.53e-05", id="16 bits"),
        pytest.param(lambda x: 0.004 * x, 1, "by 0.004", id="number in front"),
        pytest.param(
            lambda x: x[..., ::-1] - np.array([104.0, 117.0, 124.0]), 3, "takes 124 for the mean", id="BGR minus means"
        ),
        pytest.param(lambda x: (x * 0.125) / 20, 1, "by 0.00625", id="two factors"),
        pytest.param(lambda x: layers.Rescaling(1 / 255)(layers.Concatenate()([x, x, x])), 1, "0.00392", id="as RGB"),
        pytest.param(seen(120.0), 1, r"\(BatchNormalization\) takes 120 for the mean", id="trained statistics"),
    ],
)
def test_networks_that_want_stored_values(begin: Begin, channels: int, words: str) -> None:
    model = network(begin, channels)
    found = own_scaling(model)
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found)
    assert inspect_model(model).rescales == found


def scaled(image: Any) -> Any:
    return layers.Rescaling(1 / 255)(image)


@pytest.mark.parametrize(
    ("begin", "channels"),
    [
        pytest.param(lambda x: scaled(ops.repeat(x, 3, axis=-1)), 1, id="repeat: grey for a backbone of colours"),
        pytest.param(lambda x: ops.tile(x, (1, 1, 1, 3)) / 255, 1, id="tile: the same by another name"),
        pytest.param(lambda x: ops.broadcast_to(x, (2, 8, 8, 3)) / 255, 1, id="broadcast_to: the same once more"),
        pytest.param(lambda x: ops.concatenate([x, x, x], axis=-1) / 255, 1, id="concatenate: the same in three parts"),
        pytest.param(
            lambda x: ops.squeeze(ops.stack([x, x], axis=-1), axis=-2) / 255, 1, id="stack, squeeze: a new axis"
        ),
        pytest.param(
            lambda x: ops.mean(scaled(ops.expand_dims(x, 1)), axis=1), 1, id="expand_dims: an axis of one slice"
        ),
        pytest.param(lambda x: ops.divide(ops.flip(x, axis=-1), 255.0), 3, id="flip: BGR"),
        pytest.param(lambda x: ops.roll(x, 1, axis=-1) / 255, 3, id="roll: channels in a circle"),
        pytest.param(
            lambda x: ops.concatenate(ops.split(x, 3, axis=-1)[::-1], axis=-1) / 255, 3, id="split: BGR by hand"
        ),
        pytest.param(lambda x: ops.stack(ops.unstack(x, axis=-1), axis=-1) / 255, 3, id="unstack: channel by channel"),
        pytest.param(lambda x: ops.take(x, [2, 1, 0], axis=-1) / 255, 3, id="take: BGR by numbers"),
        pytest.param(lambda x: ops.transpose(x, (0, 2, 1, 3)) / 255, 1, id="transpose: rows for columns"),
        pytest.param(lambda x: ops.swapaxes(x, 1, 2) / 255, 1, id="swapaxes: the same"),
        pytest.param(lambda x: ops.moveaxis(x, 1, 2) / 255, 1, id="moveaxis: the same"),
        pytest.param(lambda x: scaled(layers.Permute((2, 1, 3))(x)), 1, id="permute: the same, as a layer"),
        pytest.param(lambda x: ops.rot90(x, 1, (1, 2)) / 255, 1, id="rot90: turned"),
        pytest.param(lambda x: ops.reshape(x, (-1, 8, 8, 1)) / 255, 1, id="reshape: another shape, the same values"),
        pytest.param(lambda x: ops.cast(x, "float16") / 255, 1, id="cast: another type"),
        pytest.param(lambda x: ops.convert_to_tensor(x) / 255, 1, id="convert_to_tensor: nothing at all"),
        pytest.param(lambda x: ops.stop_gradient(x) / 255, 1, id="stop_gradient: for trainings alone"),
        pytest.param(lambda x: scaled(layers.ReLU()(x)), 1, id="ReLU: stored values are not negative"),
        pytest.param(lambda x: scaled(layers.Activation("relu")(x)), 1, id="relu as an activation"),
        pytest.param(lambda x: scaled(ops.relu(x)), 1, id="relu as an operation"),
        pytest.param(lambda x: scaled(keras.activations.relu(x)), 1, id="relu as a function"),
        pytest.param(lambda x: ops.minimum(x, 255.0) / 255, 1, id="minimum: cut above"),
        pytest.param(lambda x: ops.minimum(255.0, x) / 255, 1, id="minimum, the limit in front"),
        pytest.param(lambda x: ops.maximum(x, 0.0) / 255, 1, id="maximum: cut below"),
        pytest.param(lambda x: ops.clip(x, 0, 255) / 255, 1, id="clip: cut at both ends"),
        pytest.param(lambda x: scaled(ops.max_pool(x, 2)), 1, id="max_pool: fewer of the values"),
        pytest.param(lambda x: scaled(layers.AveragePooling2D(2)(x)), 1, id="pooling: means of the values"),
        pytest.param(lambda x: scaled(ops.average_pool(x, 2)), 1, id="average_pool: the same"),
        pytest.param(lambda x: scaled(layers.UpSampling2D()(x)), 1, id="upsampling: more of the values"),
        pytest.param(lambda x: scaled(layers.Resizing(16, 16)(x)), 1, id="resizing: between the values"),
        pytest.param(lambda x: scaled(ops.image.resize(x, (16, 16))), 1, id="resize: the same"),
        pytest.param(lambda x: ops.image.crop_images(x, 1, 1, 1, 1) / 255, 1, id="crop_images: fewer values"),
        pytest.param(lambda x: ops.image.pad_images(x, 1, 1, 1, 1) / 255, 1, id="pad_images: a border"),
        pytest.param(lambda x: ops.mean(x, axis=-1, keepdims=True) / 255, 3, id="mean: grey of colours"),
        pytest.param(lambda x: ops.image.rgb_to_grayscale(x) / 255, 3, id="rgb_to_grayscale: weights of sum 1"),
        pytest.param(
            lambda x: scaled(ops.repeat(ops.maximum(layers.ReLU()(x), 1.0), 3, axis=-1)), 1, id="three in a row"
        ),
        pytest.param(nested(layers.ReLU(), layers.Rescaling(1 / 255)), 1, id="relu within a nested network"),
    ],
)
def test_the_input_is_followed_through_what_leaves_its_scale(begin: Begin, channels: int) -> None:
    image = keras.Input((8, 8, channels), batch_size=2)
    assert "multiplies its input by 0.00392" in own_scaling(keras.Model(image, begin(image)))


@pytest.mark.parametrize(
    ("begin", "channels"),
    [
        pytest.param(lambda x: x, 1, id="nothing"),
        pytest.param(layers.Rescaling(2.0, -1.0), 1, id="0 to 1 as -1 to 1"),
        pytest.param(layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.052, 0.05, 0.051]), 3, id="ImageNet"),
        pytest.param(
            nested(layers.Rescaling(255.0), layers.Normalization(mean=120, variance=900)), 1, id="multiplied out"
        ),
        pytest.param(
            lambda x: layers.Rescaling(1 / 255)(layers.Conv2D(2, 3, padding="same")(x)), 1, id="behind a convolution"
        ),
        pytest.param(lambda x: layers.Conv2D(2, 3, padding="same")(x) / 255.0, 1, id="an operator behind one"),
        pytest.param(lambda x: 1.0 / (x + 1.0), 1, id="a quotient"),
        pytest.param(seen(0.4), 1, id="statistics of 0 to 1"),
        pytest.param(lambda x: layers.Rescaling(1 / 255)(ops.sigmoid(x)), 1, id="behind what bends the values"),
        pytest.param(lambda x: layers.Activation("tanh")(x) / 255.0, 1, id="behind an activation that bends them"),
        pytest.param(lambda x: ops.repeat(layers.Conv2D(1, 3)(x), 3, axis=-1) / 255.0, 1, id="repeated features"),
        pytest.param(lambda x: ops.relu(layers.Dense(2)(x)) / 255.0, 1, id="cut features"),
        pytest.param(
            lambda x: layers.Concatenate()([x, layers.Conv2D(1, 1)(x)]) / 255.0, 1, id="the input beside features"
        ),
        pytest.param(lambda x: ops.maximum(x, layers.Conv2D(1, 1)(x)) / 255.0, 1, id="the larger of it and a feature"),
        pytest.param(lambda x: ops.maximum(x, -x) / 255.0, 1, id="two inputs that differ"),
        pytest.param(lambda x: x / (255.0 * ops.mean(x, axis=-1, keepdims=True)), 1, id="by its own mean"),
        pytest.param(lambda x: ops.tile(x * 255.0, (1, 1, 1, 3)) / 255.0, 1, id="multiplied out behind a copy"),
        pytest.param(lambda x: ops.clip(x, 0, 1) * 2.0 - 1.0, 1, id="cut to 0 to 1"),
        pytest.param(
            # The last channel is the first one, times 4: 4/255 is more than the limit.
            lambda x: ops.flip(x * np.array([4.0, 1, 1]), axis=-1) / np.array([1.0, 1, 255]),
            3,
            id="which channel is which is unknown",
        ),
        pytest.param(
            lambda x: ops.pad(x * np.arange(1.0, 4.0), ((0, 0), (0, 0), (0, 0), (0, 1))) * np.arange(1.0, 5.0),
            3,
            id="one channel more than factors",
        ),
    ],
)
def test_networks_that_want_what_is_scaled_before(begin: Begin, channels: int) -> None:
    assert own_scaling(network(begin, channels)) == ""


@pytest.mark.parametrize(
    ("begin", "words"),
    [(lambda x: (x - 128) / 64.0, "takes 128 for the mean"), (nested(layers.Rescaling(1 / 255)), "by 0.00392")],
)
def test_a_file_says_the_same(tmp_path: Path, begin: Begin, words: str) -> None:
    network(begin).save(tmp_path / "m.keras")
    assert words in own_scaling(load_model(tmp_path / "m.keras"))


def test_statistics_that_were_adapted_are_seen() -> None:
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).uniform(50, 150, (2, 8, 8, 1)))
    assert "for the mean of its input" in own_scaling(network(layer))
