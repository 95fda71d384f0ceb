"""ONNX files as others write them: the probabilities of their origin to 1e-5, or a refusal that says what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segscale.errors import DataError
from segscale.tasks.engines.openvino import OpenVinoEngine
from segscale.tasks.model_facts import AS_IT_IS, Ending, ModelReading
from segscale.tasks.onnx_networks.header import read_header
from segscale.tasks.onnx_networks.network import OnnxNetwork, read_network
from tests.oracles.independent.exported_networks import (
    DeepLabLike,
    SegFormerLike,
    attention_u_net,
    export,
    u_net,
)

pytestmark = pytest.mark.oracle

LARGEST_DIFFERENCE = 1e-5
UNSCALED = np.array([[-np.inf, np.inf, 0, 1]], np.float32)
PAGE = Path(__file__).parents[3] / "docs" / "networks.md"


def image_for(network: OnnxNetwork) -> Any:
    """(1, H, W, C), of the one size that it takes, or of one that no export was traced with."""
    height, width = network.facts.fixed_size or (48, 80)
    return np.random.default_rng(0).random((1, height, width, network.facts.channels), np.float32)


def probabilities(network: OnnxNetwork, image: Any) -> Any:
    return OpenVinoEngine(network.graph("all", False), threads=1).probabilities(image, UNSCALED)


def by_torch(network: Any, image: Any, activation: Ending) -> Any:
    with torch.no_grad():
        scores = network.eval()(torch.from_numpy(image.transpose(0, 3, 1, 2).copy()))
    found = torch.sigmoid(scores) if activation == "sigmoid" else torch.softmax(scores, 1)
    return found.numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    ("build", "activation", "side", "looks_far"),
    [
        pytest.param(u_net, "softmax", 0, True, id="U-Net, with its instance norm"),
        pytest.param(attention_u_net, "sigmoid", 0, True, id="Attention U-Net"),
        pytest.param(lambda: DeepLabLike(3), "softmax", 0, True, id="DeepLab-like"),
        pytest.param(lambda: DeepLabLike(3), "softmax", 64, True, id="DeepLab-like, of a fixed size"),
        pytest.param(lambda: SegFormerLike(3, True), "softmax", 0, True, id="SegFormer-like"),
        pytest.param(lambda: SegFormerLike(3, True), "softmax", 64, True, id="SegFormer-like, of a fixed size"),
    ],
)
def test_a_network_of_pytorch_gives_its_probabilities(
    tmp_path: Path, build: Callable[[], Any], activation: Ending, side: int, looks_far: bool
) -> None:
    torch.manual_seed(0)
    origin, path = build(), tmp_path / "net.onnx"
    export(origin, path, side)
    assert [file.location for file in read_header(path.read_bytes(), path.name)] == ["net.onnx.data"]
    network = read_network(path, ModelReading(activation=activation))
    assert (network.facts.fixed_size, network.facts.stride) == (((side, side), 1) if side else (None, 4))
    assert bool(network.whole_image) is looks_far
    image = image_for(network)
    expected = by_torch(origin, image, activation)
    assert expected.std() > 0.01
    (found,) = probabilities(network, image)
    assert np.abs(found - expected).max() <= LARGEST_DIFFERENCE


@pytest.mark.parametrize(
    ("build", "reading", "words"),
    [
        pytest.param(u_net, AS_IT_IS, 'write model.activation = "softmax"', id="U-Net, logits"),
        pytest.param(attention_u_net, AS_IT_IS, 'write model.activation = "sigmoid"', id="Attention U-Net, logits"),
        pytest.param(
            lambda: SegFormerLike(3, False), ModelReading(activation="softmax"),
            "export the network with its last upsampling",
            id="SegFormer-like, a quarter of the size",
        ),
    ],
)  # fmt: skip
def test_a_network_of_pytorch_is_refused_with_what_to_write(
    tmp_path: Path, build: Callable[[], Any], reading: ModelReading, words: str
) -> None:
    export(build(), tmp_path / "net.onnx")
    with pytest.raises(DataError, match=re.escape(words)):
        read_network(tmp_path / "net.onnx", reading)


KERAS = """
import sys
import keras
import numpy as np
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus
keras.utils.set_random_seed(0)
model = build_unet_plus_plus(channels=2, outputs=3, filters=(4, 6, 8), activation="softmax", normalization="batch")
image = np.random.default_rng(0).random((1, 48, 80, 2), np.float32)
np.savez(sys.argv[2], image=image, heads=np.stack(model.predict(image, verbose=0)))
signature = [keras.InputSpec(shape=(1, 48, 80, 2), dtype="float32", name="image")]
model.export(sys.argv[1], format="onnx", verbose=False, input_signature=signature)
"""


def test_a_network_of_keras_gives_its_probabilities(tmp_path: Path) -> None:
    """Keras writes ONNX on its PyTorch backend, channels last, for the size that it is told."""
    path, told = tmp_path / "net.onnx", tmp_path / "told.npz"
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    subprocess.run([sys.executable, "-c", KERAS, path, told], check=True, env=environment)
    network, expected = read_network(path, AS_IT_IS), np.load(told)
    assert (network.facts.channels, network.facts.n_classes, network.facts.fixed_size) == (2, 3, (48, 80))
    found = probabilities(network, expected["image"])
    assert np.abs(found - expected["heads"]).max() <= LARGEST_DIFFERENCE


def test_the_export_of_the_page_gives_a_network_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"<!-- example: export -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    names: dict[str, Any] = {}
    exec(compile(code[1], str(PAGE), "exec"), names)
    network = read_network(tmp_path / "unet.onnx", ModelReading(activation="softmax"))
    assert (network.facts.stride, network.facts.n_classes, network.whole_image) == (4, 2, ())
    image = image_for(network)
    (found,) = probabilities(network, image)
    assert np.abs(found - by_torch(names["network"], image, "softmax")).max() <= LARGEST_DIFFERENCE
