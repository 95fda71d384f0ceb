"""Operators that look at the whole image, as `tasks.networks.whole_image` asks it of Keras.

What is listed here looks at a neighbourhood of fixed size. Whatever is not listed counts as looking at the whole image:
predicting an image at its true size is right for every network.
"""

from __future__ import annotations

import re
from typing import Any

from segscale.errors import DataError
from segscale.tasks.engines.openvino_runtime import load_openvino, reason_of
from segscale.tasks.model_facts import Layout
from segscale.tasks.onnx_networks.layout import TO_NCHW, TO_NHWC, constant

_LOCAL = frozenset(
    {
        # At each pixel by itself.
        "Abs", "Add", "BatchNormInference", "Ceiling", "Clamp", "Convert", "Cos", "Divide", "Elu", "Equal", "Erf",
        "Exp", "Floor", "Gelu", "Greater", "GreaterEqual", "HSigmoid", "HSwish", "HardSigmoid", "Less", "LessEqual",
        "Log", "LogicalAnd", "LogicalNot", "LogicalOr", "Maximum", "Minimum", "Mish", "Multiply", "Negative",
        "NotEqual", "PRelu", "Parameter", "Power", "Relu", "Result", "Select", "Selu", "Sigmoid", "Sign", "Sin",
        "SoftPlus", "SoftSign", "Sqrt", "SquaredDifference", "Subtract", "Swish", "Tanh",
        # At a neighbourhood.
        "AvgPool", "Convolution", "ConvolutionBackpropData", "DepthToSpace", "GroupConvolution",
        "GroupConvolutionBackpropData", "Interpolate", "MaxPool", "Pad", "SpaceToDepth",
    }
)  # fmt: skip
_ALONG_AN_AXIS = frozenset({"Concat", "LogSoftmax", "SoftMax", "Softmax", "Split", "VariadicSplit"})
_REDUCTIONS = frozenset({"ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"})


def whole_image_operators(network: Any, layout: Layout, name: str) -> tuple[str, ...]:
    """The operators of a graph that look at the whole image, or may do so, in the order in which they compute.

    Each as ``'name' (Type)``, or as ``Type`` where it has no name.
    `network` has been given a shape: what only computes shapes is then a constant.
    """
    _fold(network, name)
    found, reached = [], set[str]()
    for node in network.get_ordered_ops():
        kind, own = node.get_type_name(), node.get_friendly_name()
        inputs = [node.input_value(place).get_node().get_name() for place in range(node.get_input_size())]
        if kind != "Parameter" and reached.isdisjoint(inputs):
            continue
        reached.add(node.get_name())
        if not _is_local(node, kind, layout):
            # OpenVINO numbers what it names itself, otherwise in each process.
            found.append(kind if re.fullmatch(rf"{kind}_\d+", own) else f"{own!r} ({kind})")
    return tuple(dict.fromkeys(found))


def _is_local(node: Any, kind: str, layout: Layout) -> bool:
    if kind in _LOCAL:
        return True
    rank = node.get_output_partial_shape(0).rank.get_length()
    if rank != 4:
        return False
    # In a graph of NHWC the channels may be first as well, between two transpositions.
    channels = {1} if layout == "NCHW" else {1, 3}
    if kind == "Transpose":
        order = constant(node.input_value(1))
        return order is not None and tuple(map(int, order.reshape(-1))) in (TO_NCHW, TO_NHWC)
    if kind in _REDUCTIONS:
        axes = constant(node.input_value(1))
        return axes is not None and {int(axis) % rank for axis in axes.reshape(-1)} <= channels
    return kind in _ALONG_AN_AXIS and _axis(node, kind, rank) in channels


def _axis(node: Any, kind: str, rank: int) -> int | None:
    if kind in ("Split", "VariadicSplit"):
        axis = constant(node.input_value(1))
        return None if axis is None else int(axis.reshape(-1)[0]) % rank
    return int(node.get_attributes()["axis"]) % rank


def _fold(network: Any, file: str) -> None:
    load_openvino()
    from openvino.passes import ConstantFolding, Manager

    manager = Manager()
    manager.register_pass(ConstantFolding())
    try:
        manager.run_passes(network)
    except (RuntimeError, MemoryError) as error:
        raise DataError(f"{file} cannot be computed by OpenVINO: {reason_of(error)}; export it again") from error
