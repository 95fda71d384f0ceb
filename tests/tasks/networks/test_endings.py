"""Networks that end otherwise than in a layer of probabilities, read as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from segscale.errors import DataError
from segscale.tasks.engines.keras import KerasEngine
from segscale.tasks.engines.openvino import OpenVinoEngine
from segscale.tasks.engines.openvino_conversion import convert
from segscale.tasks.model_facts import AS_IT_IS, Ending, ModelReading
from segscale.tasks.models.model_file import inspect_model, load_model
from segscale.tasks.networks.endings import as_read

Build = Callable[[Any], Any]
IMAGE = np.random.default_rng(0).random((2, 16, 24, 1), np.float32)
RECIPE = np.tile(np.array([-np.inf, np.inf, 0, 1], np.float32), (2, 1))


def network(end: Build, outputs: int = 1, side: int | None = None) -> keras.Model:
    """A convolution, and what ends it."""
    keras.utils.set_random_seed(1)
    image = keras.Input((side and 16, side and 24, 1), name="image")
    return keras.Model(image, end(layers.Conv2D(outputs, 3, padding="same", name="scores")(image)), name="net")


def logits(model: keras.Model) -> Any:
    """Of the convolution, by Keras."""
    return keras.Model(model.input, model.get_layer("scores").output)(IMAGE, training=False)


ENDS: list[Any] = [
    pytest.param(lambda tensor: ops.sigmoid(tensor), 1, "", ops.sigmoid, id="the operation sigmoid"),
    pytest.param(lambda tensor: ops.softmax(tensor), 3, "", ops.softmax, id="the operation softmax"),
    pytest.param(lambda tensor: tensor, 1, "sigmoid", ops.sigmoid, id="logits, one output"),
    pytest.param(lambda tensor: tensor, 3, "softmax", ops.softmax, id="logits of classes"),
    pytest.param(lambda tensor: tensor * 1.0, 3, "softmax", ops.softmax, id="logits, by an operation"),
]


@pytest.mark.parametrize(("end", "outputs", "activation", "function"), ENDS)
def test_engines_give_the_probabilities_of_the_network(
    tmp_path: Path, end: Build, outputs: int, activation: Ending, function: Any
) -> None:
    model = network(end, outputs)
    model.save(tmp_path / "net.keras")
    expected = np.asarray(function(logits(model)))
    read = load_model(tmp_path / "net.keras", ModelReading(activation=activation))
    assert read.output_names == model.output_names
    (by_keras,) = KerasEngine(read).probabilities(IMAGE, RECIPE)
    np.testing.assert_allclose(by_keras, expected, atol=1e-6)
    (by_openvino,) = OpenVinoEngine(convert(read, 4, False), threads=1).probabilities(IMAGE, RECIPE)
    np.testing.assert_allclose(by_openvino, expected, atol=1e-5)
    assert inspect_model(read).outputs == outputs


@pytest.mark.parametrize(
    ("activation", "name"), [("sigmoid", "a layer with an activation"), ("softmax", "a layer of its own")]
)
def test_a_network_that_ends_as_expected_is_left_as_it_is(activation: str, name: str) -> None:
    outputs = 1 if activation == "sigmoid" else 3
    end: Any = layers.Conv2D(outputs, 1, activation=activation) if "with" in name else layers.Softmax()
    model = network(end, outputs)
    assert as_read(model, AS_IT_IS) is model


def test_probabilities_that_nothing_tells_are_taken_by_word(tmp_path: Path) -> None:
    """The mean of two sigmoids ends in no activation."""
    model = network(lambda tensor: layers.Average(name="mean")([ops.sigmoid(tensor), ops.sigmoid(2 * tensor)]))
    model.save(tmp_path / "net.keras")
    with pytest.raises(DataError, match=r'write model\.activation = "sigmoid" if .* or model\.activation = "none"'):
        load_model(tmp_path / "net.keras")
    read = load_model(tmp_path / "net.keras", ModelReading(activation="none"))
    (found,) = KerasEngine(read).probabilities(IMAGE, RECIPE)
    np.testing.assert_allclose(found, np.asarray(model(IMAGE, training=False)), atol=1e-6)
    assert inspect_model(read, "none").activation == "sigmoid"


@pytest.mark.parametrize(
    ("end", "outputs", "reading", "words"),
    [
        pytest.param(ops.sigmoid, 1, ModelReading(activation="sigmoid"), "leave model.activation out", id="twice"),
        pytest.param(
            layers.Softmax(), 3, ModelReading(activation="softmax"), "leave model.activation out", id="twice, a layer"
        ),
        pytest.param(
            lambda tensor: ops.softmax(tensor, axis=1), 3, AS_IT_IS, "softmax over axis 1", id="softmax over rows"
        ),
        pytest.param(
            lambda tensor: tensor, 3, ModelReading(activation="none"), "no probabilities of exclusive classes",
            id="no probabilities",
        ),
        pytest.param(
            lambda tensor: tensor + 1, 1, AS_IT_IS, "it ends in Add; write model.activation", id="an operation"
        ),
        pytest.param(
            ops.sigmoid, 1, ModelReading(output="lung"), "has no output 'lung'", id="an output that is not there"
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_what_to_write(
    tmp_path: Path, end: Build, outputs: int, reading: ModelReading, words: str
) -> None:
    network(end, outputs).save(tmp_path / "net.keras")
    with pytest.raises(DataError, match=words):
        load_model(tmp_path / "net.keras", reading)


def test_one_of_several_outputs_is_chosen_by_its_name(tmp_path: Path) -> None:
    image = keras.Input((None, None, 1))
    mask = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="mask")(image)
    grade = layers.Dense(4, activation="softmax", name="grade")(layers.GlobalMaxPooling2D()(mask))
    keras.Model(image, [mask, grade]).save(tmp_path / "net.keras")
    with pytest.raises(DataError, match=r"output 'grade' .* must be \(B, H, W, outputs\)"):
        load_model(tmp_path / "net.keras")
    read = load_model(tmp_path / "net.keras", ModelReading(output="mask"))
    assert inspect_model(read).heads == ("mask",)


def test_levels_keep_their_names_under_an_activation() -> None:
    image = keras.Input((None, None, 1))
    heads = [layers.Conv2D(1, 3, padding="same", name=f"head_{number}")(image) for number in (1, 2)]
    read = as_read(keras.Model(image, heads), ModelReading(activation="sigmoid"))
    assert KerasEngine(read, level=2).facts.heads == ("head_2",)


def test_a_network_of_a_fixed_size_takes_that_size_alone() -> None:
    model = network(ops.sigmoid, side=16)
    read = as_read(model, AS_IT_IS)
    assert inspect_model(read).fixed_size == (16, 24)
    expected = np.asarray(model(IMAGE, training=False))
    for engine in (KerasEngine(read), OpenVinoEngine(convert(read, 4, False), threads=1)):
        assert (engine.facts.fixed_size, engine.facts.stride) == ((16, 24), 1)
        (found,) = engine.probabilities(IMAGE, RECIPE)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        with pytest.raises(ValueError, match=r"height and width must be \(16, 24\)"):
            engine.probabilities(IMAGE[:, :8], RECIPE)
