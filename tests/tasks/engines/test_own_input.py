"""Networks with a view of their own of what they are given: the whole image, and stored values. On both engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from segscale.tasks.engines import Engine
from segscale.tasks.engines import keras as keras_engine
from segscale.tasks.engines.flips import FlippedEngine
from segscale.tasks.engines.keras import KerasEngine
from segscale.tasks.engines.openvino import OpenVinoEngine
from segscale.tasks.engines.openvino_conversion import convert
from segscale.tasks.reach import far_difference, sees_far

AS_STORED = np.array([[-np.inf, np.inf, 0, 1]], np.float32)
NETWORKS = ["group normalisation", "layer normalisation", "squeeze and excite", "attention"]


def middle(kind: str, tensor: Any) -> Any:
    match kind:
        case "group normalisation":
            return layers.GroupNormalization(2)(tensor)
        case "layer normalisation":
            return layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False)(tensor)
        case "squeeze and excite":
            weights = layers.GlobalAveragePooling2D(keepdims=True)(tensor)
            return layers.Multiply()([tensor, layers.Dense(4, activation="sigmoid")(weights)])
    return layers.Add()([tensor, layers.MultiHeadAttention(2, 2, attention_axes=(1, 2))(tensor, tensor)])


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> keras.Model:
    """Halves its image, looks at the whole of it, doubles it again; it scales 0 to 255 itself, in a nested model."""
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 1))
    scaled = keras.Sequential([layers.Rescaling(1 / 127.5, -1), layers.Identity()], name="preprocess")(image)
    tensor = layers.MaxPooling2D()(layers.Conv2D(4, 3, padding="same", activation="relu")(scaled))
    tensor = layers.UpSampling2D()(middle(request.param, tensor))
    return keras.Model(image, layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="mask")(tensor))


def engine_of(name: str, network: keras.Model) -> Engine:
    return KerasEngine(network) if name == "keras" else OpenVinoEngine(convert(network, 4, ensemble=False), threads=1)


def pixels_of(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*shape, 1)).astype(np.uint8)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are traced by TensorFlow")
@pytest.mark.parametrize("name", ["keras", "openvino"])
def test_both_engines_say_what_the_network_wants_and_compute_it(network: keras.Model, name: str) -> None:
    engine = engine_of(name, network)
    assert "(Rescaling) multiplies its input by 0.00784 and subtracts 127.5" in engine.facts.rescales
    assert engine.facts.whole_image
    assert engine.facts.stride == 2
    for shape in ((1, 22, 34), (1, 50, 18)):
        pixels = pixels_of(*shape)
        np.testing.assert_allclose(engine.probabilities(pixels, AS_STORED)[0], network(pixels), atol=2e-5)
    if "attention" not in engine.facts.whole_image[0]:
        # What the layers say is what a change far away shows; attention over so many pixels takes a minute.
        assert sees_far(far_difference(engine, pixels, AS_STORED), "float32")


def test_the_mean_over_flips_is_of_the_same_size(network: keras.Model) -> None:
    pixels = pixels_of(1, 22, 34)
    found = FlippedEngine(KerasEngine(network)).probabilities(pixels, AS_STORED)
    turned = [np.flip(network(np.flip(pixels, axes)), axes) for axes in ((), (2,), (1,), (1, 2))]
    np.testing.assert_allclose(found[0], np.mean(turned, axis=0), atol=1e-5)


def test_shapes_that_were_met_long_ago_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_engine, "_COMPILED_SHAPES", 2)
    image = keras.Input((None, None, 1))
    engine = KerasEngine(keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="mask")(image)))
    compiled: Callable[..., Any] = engine._compiled
    first = engine.probabilities(pixels_of(1, 3, 5), AS_STORED)
    engine.probabilities(pixels_of(1, 4, 5), AS_STORED)
    assert engine._compiled is compiled
    engine.probabilities(pixels_of(1, 5, 5), AS_STORED)
    assert engine._compiled is not compiled
    np.testing.assert_array_equal(engine.probabilities(pixels_of(1, 3, 5), AS_STORED), first)
