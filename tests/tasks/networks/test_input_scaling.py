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
        pytest.param(lambda x: layers.Rescaling(1 / 255)(layers.Activation("relu")(x)), 1, id="behind an activation"),
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
