from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from segscale.errors import UnconvertibleError
from segscale.tasks.engines import openvino_conversion
from segscale.tasks.engines.heads import HeadChoice
from segscale.tasks.engines.openvino_conversion import convert
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.engines.openvino_runtime import load_openvino

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are traced by TensorFlow")


def compiled(graph: OpenVinoGraph) -> Any:
    core = load_openvino().Core()
    return core.compile_model(
        core.read_model(graph.topology, graph.weights), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )


def test_a_graph_is_what_the_heads_need(unet: Callable[..., keras.Model]) -> None:
    model = unet(channels=3, outputs=3, activation="softmax", filters=(4, 6, 8, 64))
    small, whole = convert(model, 1, ensemble=False), convert(model, "all", ensemble=True)
    assert small.heads == HeadChoice(("head_1",), ("head_1",))
    assert whole.heads.reported == ("head_1", "head_2", "head_3", "ensemble")
    assert (small.outputs, small.channels, small.stride) == (3, 3, 2)
    assert whole.stride == 8
    assert len(small.weights) < len(whole.weights) / 10
    assert "openvino 2026" in whole.made_with
    assert f"keras {keras.__version__}" in whole.made_with


def test_weights_stay_float32(unet: Callable[..., keras.Model]) -> None:
    model = unet()
    graph = convert(model, 2, ensemble=False)
    parameters = sum(variable.size for variable in map(np.asarray, convertible_weights(model)))
    assert 4 * parameters <= len(graph.weights) < 4.5 * parameters
    assert b"f16" not in graph.topology


def convertible_weights(model: keras.Model) -> list[Any]:
    return [variable for variable in model.variables if not variable.path.startswith(("head_1", "seed"))]


def test_equal_networks_give_equal_bits_whenever_they_are_converted(unet: Callable[..., keras.Model]) -> None:
    first, second = (convert(unet(), 2, ensemble=False) for _ in range(2))
    assert first.weights == second.weights
    image = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(compiled(first)(image)[0], compiled(second)(image)[0])


def test_a_network_trained_in_mixed_precision_is_converted_in_float32(unet: Callable[..., keras.Model]) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = unet()
    finally:
        keras.config.set_dtype_policy(before)
    plain, mixed = convert(unet(), 2, ensemble=False), convert(model, 2, ensemble=False)
    image = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(compiled(mixed)(image)[0], compiled(plain)(image)[0])


def test_a_layer_that_cannot_be_converted_is_named() -> None:
    image = keras.Input((None, None, 1))
    raised = keras.layers.UpSampling2D(2, interpolation="bilinear")(keras.layers.MaxPooling2D(2)(image))
    model = keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(raised), name="smooth")
    with pytest.raises(UnconvertibleError, match=r"model 'smooth' cannot be converted.*UpSampling2D.*use engine keras"):
        convert(model, 4, ensemble=False)


def test_a_graph_that_computes_something_else_is_refused(
    unet: Callable[..., keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = openvino_conversion._trace(unet(normalization="batch"))
    monkeypatch.setattr(openvino_conversion, "_trace", lambda _: other)
    with pytest.raises(UnconvertibleError, match=r"other probabilities.*'head_1' by .*use engine keras"):
        convert(unet(), "all", ensemble=False)


def test_a_level_that_is_not_there_is_refused(unet: Callable[..., keras.Model]) -> None:
    with pytest.raises(ValueError, match="level 4 is not there"):
        convert(unet(), 4, ensemble=False)


def test_nothing_is_reported_to_anyone(
    unet: Callable[..., keras.Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    convert(unet(), 1, ensemble=False)
    assert list(tmp_path.rglob("*")) == [], "OpenVINO keeps an id of the user beside what it reports"
    assert "CI" not in os.environ
