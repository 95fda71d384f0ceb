"""Small networks in ONNX, node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str | None]


def constant(name: str, values: Any, dtype: Any = np.float32) -> Any:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def weights_of(name: str, outputs: int, inputs: int, side: int = 3) -> Any:
    """Of a convolution, random but always the same."""
    return constant(name, np.random.default_rng(outputs).normal(0, 0.5, (outputs, inputs, side, side)))


def model_of(
    nodes: Sequence[Any],
    constants: Sequence[Any],
    takes: Dims = ("n", 1, "h", "w"),
    gives: dict[str, Dims] | None = None,
    kind: int = TensorProto.FLOAT,
    kinds: int = TensorProto.FLOAT,
    domains: Sequence[str] = (),
) -> Any:
    """A model of these nodes, from "image" to its outputs."""
    outputs = gives or {"mask": ("n", 1, "h", "w")}
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("image", kind, takes)],
        [helper.make_tensor_value_info(name, kinds, dims) for name, dims in outputs.items()],
        list(constants),
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def conv(source: str, weights: str, target: str, **attributes: Any) -> Any:
    """A convolution of 3x3 that keeps the size."""
    return helper.make_node("Conv", [source, weights], [target], pads=[1, 1, 1, 1], **attributes)


def plain(end: str = "Sigmoid", outputs: int = 1, takes: Dims = ("n", 1, "h", "w"), **attributes: Any) -> Any:
    """One convolution and an operator behind it; "" for none."""
    channels = takes[1]
    assert isinstance(channels, int)
    nodes = [conv("image", "w", "scores" if end else "mask")]
    if end:
        nodes.append(helper.make_node(end, ["scores"], ["mask"], **attributes))
    gives = {"mask": (takes[0], outputs, *takes[2:])}
    return model_of(nodes, [weights_of("w", outputs, channels)], takes, gives)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    """written(model): the path of a file that holds it."""

    def write(model: Any, name: str = "net.onnx") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


@pytest.fixture
def with_data_beside(tmp_path: Path) -> Callable[..., Path]:
    """with_data_beside(location): a network in a folder of its own, whose weights lie in a file beside it."""

    def write(location: str = "net.onnx.data") -> Path:
        folder = tmp_path / "nets"
        folder.mkdir(exist_ok=True)
        path = folder / "net.onnx"
        onnx.save_model(
            plain(), path, save_as_external_data=True, all_tensors_to_one_file=True, location="net.onnx.data",
            size_threshold=0,
        )  # fmt: skip
        if location != "net.onnx.data":
            model = onnx.load(path, load_external_data=False)
            for tensor in model.graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        entry.value = location
            path.write_bytes(model.SerializeToString())
        return path

    return write
