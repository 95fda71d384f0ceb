"""The main job with a network in ONNX, of a fixed size, whose weights lie in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIZES = {"a": (45, 70), "b": (64, 33), "c": (20, 24)}


def save_network(path: Path, side: int | str, ending: str) -> None:
    """Brightness as probability, pixel by pixel, in three times the same channel: NCHW, weights beside it."""
    weights = np.full((1, 3, 1, 1), 20 / 3, np.float32)
    bias = np.array([-8], np.float32)
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["scores"])]
    nodes += [helper.make_node(ending, ["scores"], ["mask"])] if ending else []
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("mask" if ending else "scores", TensorProto.FLOAT, ["n", 1, side, side])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path, save_as_external_data=True, location="net.weights", size_threshold=0)


def draw(folder: Path) -> dict[str, float]:
    """Images and references; the Dice of each image, in numpy."""
    expected = {}
    for seed, (name, size) in enumerate(SIZES.items()):
        image: NDArray[np.uint8] = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
        reference, found = image > 128, image >= 102  # sigmoid(20 x - 8) is 0.5 at 0.4, which is 102 of 255
        for kind, content in (("images", image), ("masks", reference.astype(np.uint8))):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(content).save(folder / kind / f"{name}.png")
        # At 102 itself rounding decides.
        found &= image != 102
        expected[name] = float(2 * np.sum(found & reference) / (np.sum(found) + np.sum(reference)))
    return expected


@pytest.fixture
def run(segscale: Any, write_config: Callable[..., Path]) -> Callable[..., Any]:
    def start(**model: str) -> Any:
        config = write_config(
            dataset={"name": '"own"', "images": '"images"', "references": '"masks"', "label_values": "[0, 1]"},
            model={"path": '"net.onnx"', "precision": '"float32"', **model},
            metrics={"bootstrap": "0"},
            cluster={"workers": "1"},
        )
        return segscale("run", config)

    return start


@pytest.mark.slow
def test_a_network_in_onnx_is_predicted_with(run: Callable[..., Any], tmp_path: Path) -> None:
    expected = draw(tmp_path)
    save_network(tmp_path / "net.onnx", 32, "")
    refused = run()
    assert refused.code == 2
    assert 'write model.activation = "sigmoid" if the values are logits' in refused.err
    outcome = run(activation='"sigmoid"')
    assert outcome.code == 0, outcome.err
    assert "the network takes images of 32 x 32 pixels alone" in outcome.err
    report = Path(outcome.out.strip().splitlines()[-1].removeprefix("report: "))
    rows = pd.read_parquet(report / "per_image.parquet").query("class_index == 1").set_index("image_id")
    for name, value in expected.items():
        assert rows.loc[name, "dice"] == pytest.approx(value, abs=0.01)
    record = json.loads((report / "run.json").read_text())
    assert (record["plan"]["engine"], record["plan"]["activation"]) == ("openvino", "sigmoid")
    assert record["engine"]["facts"]["fixed_size"] == [32, 32]
    assert record["model"] == "net"

    # Other weights beside the same file are another network.
    weights = tmp_path / "net.weights"
    changed = bytearray(weights.read_bytes())
    changed[-4:] = np.array([-12], np.float32).tobytes()
    weights.write_bytes(changed)
    other = run(activation='"sigmoid"')
    assert other.code == 0, other.err
    assert other.out.strip().splitlines()[-1] != outcome.out.strip().splitlines()[-1]


@pytest.mark.slow
def test_what_a_network_in_onnx_may_not_be_is_refused_before_anything_starts(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    draw(tmp_path)
    save_network(tmp_path / "net.onnx", "side", "Sigmoid")
    assert "on GPUs not yet" in run(engine='"keras"').err
    weights = tmp_path / "net.weights"
    elsewhere = tmp_path.parent / f"{tmp_path.name}.weights"
    weights.rename(elsewhere)
    assert "where no file is" in run().err
    weights.symlink_to(elsewhere)
    assert "which is a link out of the folder of the network" in run().err
    weights.unlink()
    weights.write_bytes(elsewhere.read_bytes()[:4])
    assert "which has 4: it was cut short" in run().err
