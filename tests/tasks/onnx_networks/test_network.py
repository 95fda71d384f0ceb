"""Networks in ONNX as graphs: layout, sizes, endings, and the numbers that engines give for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from segscale.errors import DataError
from segscale.tasks.engines.openvino import OpenVinoEngine
from segscale.tasks.model_facts import AS_IT_IS, ModelReading
from segscale.tasks.onnx_networks.network import OnnxNetwork, read_network
from tests.tasks.onnx_networks.made_networks import (
    argmax,
    either_way,
    gated,
    halving,
    model_of,
    nhwc,
    of_bytes,
    plain,
    scaled,
    smaller,
    supervised,
    two_heads,
    two_inputs,
)

Written = Callable[..., Path]


def _probabilities(network: OnnxNetwork, image: Any, level: Any = "all") -> Any:
    """Of an image (1, H, W, C) of values from 0 to 1, by the engine."""
    engine = OpenVinoEngine(network.graph(level, False), threads=1)
    recipe = np.array([[-np.inf, np.inf, 0, 1]], np.float32)
    return engine.probabilities(image, recipe)


def _image(height: int, width: int, channels: int) -> Any:
    return np.random.default_rng(1).random((1, height, width, channels), np.float32)


@pytest.mark.parametrize(
    ("model", "reading", "expected"),
    [
        pytest.param(plain(), AS_IT_IS, (1, 2, 1, "sigmoid", 1, None), id="NCHW, any size"),
        pytest.param(plain(takes=(1, 3, "h", "w")), AS_IT_IS, (3, 2, 1, "sigmoid", 1, None), id="batch of one"),
        pytest.param(nhwc(), AS_IT_IS, (2, 3, 3, "softmax", 1, None), id="NHWC"),
        pytest.param(halving(), AS_IT_IS, (1, 2, 1, "sigmoid", 4, None), id="a stride of 4"),
        pytest.param(
            plain(takes=("n", 3, 48, 64)), AS_IT_IS, (3, 2, 1, "sigmoid", 1, (48, 64)), id="NCHW of a fixed size"
        ),
        pytest.param(nhwc((1, 48, 64, 2)), AS_IT_IS, (2, 3, 3, "softmax", 1, (48, 64)), id="NHWC of a fixed size"),
        pytest.param(
            plain("Softmax", 3, ("n", 3, 32, 32), axis=1), AS_IT_IS, (3, 3, 3, "softmax", 1, (32, 32)),
            id="as many classes as channels: the convolution has them first",
        ),
        pytest.param(
            plain("", 3), ModelReading(activation="softmax"), (1, 3, 3, "softmax", 1, None), id="logits of classes"
        ),
        pytest.param(plain(""), ModelReading(activation="sigmoid"), (1, 2, 1, "sigmoid", 1, None), id="logits of one"),
        pytest.param(two_heads(), ModelReading(output="edges"), (1, 2, 2, "softmax", 1, None), id="one output of two"),
    ],
)  # fmt: skip
def test_what_a_network_is_is_found_from_its_graph(
    written: Written, model: Any, reading: ModelReading, expected: tuple[Any, ...]
) -> None:
    facts = read_network(written(model), reading).facts
    found = (facts.channels, facts.n_classes, facts.outputs, facts.activation, facts.stride, facts.fixed_size)
    assert found == expected


@pytest.mark.parametrize(
    ("model", "reading", "first"),
    [
        pytest.param(plain(takes=("n", 3, "h", "w")), AS_IT_IS, True, id="NCHW"),
        pytest.param(nhwc(), AS_IT_IS, False, id="NHWC"),
        pytest.param(plain(takes=("n", 3, 24, 40)), AS_IT_IS, True, id="fixed"),
        pytest.param(halving(), AS_IT_IS, True, id="pooled"),
    ],
)
def test_the_engine_gives_what_the_reference_implementation_of_onnx_gives(
    written: Written, model: Any, reading: ModelReading, first: bool
) -> None:
    network = read_network(written(model), reading)
    image = _image(24, 40, network.facts.channels)
    given = image.transpose(0, 3, 1, 2) if first else image
    (expected,) = ReferenceEvaluator(model).run(None, {"image": given})
    (found,) = _probabilities(network, image)
    np.testing.assert_allclose(found, expected.transpose(0, 2, 3, 1) if first else expected, atol=1e-6)


def test_logits_become_the_probabilities_that_were_asked_for(written: Written) -> None:
    model, image = plain("", 3), _image(24, 40, 1)
    (logits,) = ReferenceEvaluator(model).run(None, {"image": image.transpose(0, 3, 1, 2)})
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    (found,) = _probabilities(read_network(written(model), ModelReading(activation="softmax")), image)
    np.testing.assert_allclose(found, (raised / raised.sum(axis=1, keepdims=True)).transpose(0, 2, 3, 1), atol=1e-6)


def test_levels_are_those_of_outputs_that_are_called_heads(written: Written) -> None:
    network = read_network(written(supervised()), AS_IT_IS)
    assert network.levels == (1, 2)
    image = _image(16, 24, 1)
    both = _probabilities(network, image)
    np.testing.assert_array_equal(_probabilities(network, image, 1), both[:1])
    np.testing.assert_array_equal(_probabilities(network, image, 2), both[1:])
    assert np.abs(both[0] - both[1]).max() > 0.01


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        pytest.param([("Div", 255.0)], "by 0.00392", id="to 0 to 1"),
        pytest.param([("Mul", 1 / 127.5), ("Sub", 1.0)], "by 0.00784", id="to -1 to 1"),
        pytest.param(
            [("Sub", np.array([123.7, 116.3, 103.5]).reshape(1, 3, 1, 1))], "takes 123.7 for the mean", id="by channel"
        ),
        pytest.param([("Sub", 0.5), ("Div", 0.25)], "", id="of 0 to 1, as wanted"),
        pytest.param([("Mul", 255.0), ("Sub", 120.0), ("Div", 58.0)], "", id="multiplied out"),
    ],
)
def test_a_network_that_scales_stored_values_itself_says_so(written: Written, steps: Any, words: str) -> None:
    rescales = read_network(written(scaled(*steps)), AS_IT_IS).facts.rescales
    assert words in rescales
    assert bool(rescales) == bool(words)


@pytest.mark.parametrize(
    ("model", "looks_far"),
    [
        pytest.param(plain(), False, id="a convolution"),
        pytest.param(halving(), False, id="pooling of a neighbourhood"),
        pytest.param(nhwc(), False, id="softmax over channels"),
        pytest.param(gated("GlobalAveragePool"), True, id="global pooling"),
        pytest.param(gated("GlobalMaxPool"), True, id="global maximum"),
    ],
)
def test_operators_that_look_at_the_whole_image_are_named(written: Written, model: Any, looks_far: bool) -> None:
    assert bool(read_network(written(model), AS_IT_IS).whole_image) is looks_far


@pytest.mark.parametrize(
    ("model", "reading", "words"),
    [
        pytest.param(plain("", 3), AS_IT_IS, r'model\.activation = "softmax" if .* logits', id="logits or not"),
        pytest.param(plain("Relu"), AS_IT_IS, "ends in Relu, which tells neither logits", id="another function"),
        pytest.param(
            plain(), ModelReading(activation="sigmoid"), "leave model.activation out", id="an activation on top"
        ),
        pytest.param(
            plain("", 3), ModelReading(activation="none"), "are no probabilities of exclusive classes",
            id="logits that are said to be probabilities",
        ),
        pytest.param(plain("Sigmoid", 3), AS_IT_IS, "a sigmoid head has 1 output", id="classes that overlap"),
        pytest.param(plain("Softmax", 3, axis=2), AS_IT_IS, "softmax over axis 2", id="softmax over rows"),
        pytest.param(
            either_way(), AS_IT_IS, 'write model.layout = "NCHW" or model.layout = "NHWC"', id="either layout"
        ),
        pytest.param(plain(), ModelReading(layout="NHWC"), "read as NHWC", id="a layout that it has not"),
        pytest.param(
            plain(takes=("n", 1, "h", 64)), AS_IT_IS, "one side is fixed and the other free", id="one side fixed"
        ),
        pytest.param(two_heads(), AS_IT_IS, "choose one of them by model.output", id="outputs of two kinds"),
        pytest.param(two_heads(), ModelReading(output="lung"), r"no output 'lung' .*'mask' .*'edges'", id="no output"),
        pytest.param(argmax(), AS_IT_IS, "without its argmax", id="class numbers"),
        pytest.param(of_bytes(), AS_IT_IS, "takes an image of u8", id="bytes for an image"),
        pytest.param(two_inputs(), AS_IT_IS, r"takes 2 inputs \(image, age\)", id="two inputs"),
        pytest.param(smaller(), AS_IT_IS, "height and width of its input", id="unpadded"),
        pytest.param(b"\x08\x08 nothing", AS_IT_IS, "cannot be read by OpenVINO", id="damaged"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_in_one_way_is_refused_with_what_to_write(
    written: Written, model: Any, reading: ModelReading, words: str
) -> None:
    with pytest.raises(DataError, match=words) as refusal:
        read_network(written(model), reading)
    assert "\n" not in str(refusal.value)


def test_what_can_be_read_in_two_ways_is_read_as_asked(written: Written) -> None:
    dims = (1, 3, 32, 3)
    model = model_of([helper.make_node("Softmax", ["image"], ["mask"], axis=1)], [], dims, {"mask": dims})
    with pytest.raises(DataError, match="softmax over axis 1 instead of its channels"):
        read_network(written(model), ModelReading(layout="NHWC"))
    facts = read_network(written(model), ModelReading(layout="NCHW")).facts
    assert (facts.channels, facts.outputs, facts.fixed_size) == (3, 3, (32, 3))
