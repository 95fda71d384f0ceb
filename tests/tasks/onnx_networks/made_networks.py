"""Small networks in ONNX, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
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
    gives: Mapping[str, Dims] | None = None,
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


def nhwc(takes: Any = ("n", "h", "w", 2), outputs: int = 3) -> Any:
    """As exports from Keras are: transposed to channels first and back."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]),
        conv("first", "w", "scores"),
        helper.make_node("Transpose", ["scores"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Softmax", ["last"], ["mask"], axis=-1),
    ]
    return model_of(nodes, [weights_of("w", outputs, takes[3])], takes, {"mask": (*takes[:3], outputs)})


def halving(depth: int = 2) -> Any:
    """Pooled `depth` times and brought back by transposed convolutions."""
    nodes, source = [], "image"
    for place in range(depth):
        nodes.append(helper.make_node("MaxPool", [source], [f"p{place}"], kernel_shape=[2, 2], strides=[2, 2]))
        source = f"p{place}"
    for place in range(depth):
        nodes.append(helper.make_node("ConvTranspose", [source, "up"], [f"u{place}"], strides=[2, 2]))
        source = f"u{place}"
    nodes.append(helper.make_node("Sigmoid", [source], ["mask"]))
    return model_of(nodes, [constant("up", np.full((1, 1, 2, 2), 0.5))])


def two_heads() -> Any:
    nodes = [
        conv("image", "w", "scores"),
        helper.make_node("Sigmoid", ["scores"], ["mask"]),
        helper.make_node("Softmax", ["pairs"], ["edges"], axis=1),
        conv("image", "w2", "pairs"),
    ]
    gives = {"mask": ("n", 1, "h", "w"), "edges": ("n", 2, "h", "w")}
    return model_of(
        [nodes[0], nodes[1], nodes[3], nodes[2]], [weights_of("w", 1, 1), weights_of("w2", 2, 1)], gives=gives
    )


def supervised() -> Any:
    nodes = [conv("image", "w", "a"), conv("a", "w", "b")]
    nodes += [helper.make_node("Sigmoid", [source], [head]) for source, head in (("a", "head_1"), ("b", "head_2"))]
    gives = dict.fromkeys(("head_1", "head_2"), ("n", 1, "h", "w"))
    return model_of(nodes, [weights_of("w", 1, 1)], gives=gives)


def scaled(*steps: tuple[str, Any]) -> Any:
    nodes, source, constants = [], "image", [weights_of("w", 1, 3)]
    for place, (kind, value) in enumerate(steps):
        constants.append(constant(f"c{place}", value))
        nodes.append(helper.make_node(kind, [source, f"c{place}"], [f"s{place}"]))
        source = f"s{place}"
    nodes += [conv(source, "w", "scores"), helper.make_node("Sigmoid", ["scores"], ["mask"])]
    return model_of(nodes, constants, ("n", 3, "h", "w"))


def gated(kind: str) -> Any:
    nodes = [
        conv("image", "w", "scores"),
        helper.make_node(kind, ["scores"], ["mean"]),
        helper.make_node("Mul", ["scores", "mean"], ["gated"]),
        helper.make_node("Sigmoid", ["gated"], ["mask"]),
    ]
    return model_of(nodes, [weights_of("w", 1, 1)])


def either_way() -> Any:
    """Three channels and three classes, first or last, and no operator that tells which."""
    return model_of([helper.make_node("Sigmoid", ["image"], ["mask"])], [], (1, 3, 32, 3), {"mask": (1, 3, 32, 3)})


def argmax() -> Any:
    nodes = [conv("image", "w", "scores"), helper.make_node("ArgMax", ["scores"], ["mask"], axis=1)]
    return model_of(nodes, [weights_of("w", 3, 1)], kinds=TensorProto.INT64)


def of_bytes() -> Any:
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        conv("floats", "w", "scores"),
        helper.make_node("Sigmoid", ["scores"], ["mask"]),
    ]
    return model_of(nodes, [weights_of("w", 1, 1)], kind=TensorProto.UINT8)


def two_inputs() -> Any:
    model = plain()
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, [1]))
    model.graph.node.append(helper.make_node("Mul", ["mask", "age"], ["aged"]))
    model.graph.output[0].name = "aged"
    return model


def smaller() -> Any:
    nodes = [helper.make_node("Conv", ["image", "w"], ["scores"]), helper.make_node("Sigmoid", ["scores"], ["mask"])]
    return model_of(nodes, [weights_of("w", 1, 1)])


def of_operator(kind: str, domain: str = "", training: bool = False) -> Any:
    """A convolution and an operator of this kind behind it; in `training` it is told that it is trained."""
    inputs = ["scores", "ratio", "training"] if training else ["scores"]
    nodes = [conv("image", "w", "scores"), helper.make_node(kind, inputs, ["mask"], domain=domain)]
    told = [constant("ratio", 0.5), constant("training", True, np.bool_)] if training else []
    return model_of(nodes, [weights_of("w", 1, 1), *told], domains=[domain] if domain else [])
