"""The ending of an ONNX graph: whether an output is probabilities, and of which kind."""

from __future__ import annotations

from typing import Any

from segscale.errors import DataError
from segscale.tasks.model_facts import Activation, Ending, Layout
from segscale.tasks.onnx_networks.layout import constant

_CHANNELS = {"NCHW": 1, "NHWC": 3}
_MOVES = ("Convert", "Result", "Transpose")
"""What moves axes or changes types alone."""


def activation_of(output: Any, layout: Layout, channels: int, asked: Ending, name: str) -> tuple[Activation, bool]:
    """The function that makes probabilities of an output, and whether it is to be put behind the graph.

    `output` is what the graph gives, of this layout and so many channels. Raises DataError where the graph does not say
    it and the user has not, and where both do.
    """
    found = _found(output, layout, name)
    shown = f"output {output.any_name!r} of {name}"
    if found is None and asked == "":
        raise DataError(
            f"{shown} ends in {_last(output).get_type_name()}, which tells neither logits from probabilities nor which "
            f'function makes them: write model.activation = "{_likely(channels)}" if the values are logits (raw '
            'scores), or model.activation = "none" if they are probabilities already'
        )
    if found is not None and asked in ("sigmoid", "softmax"):
        raise DataError(
            f"{shown} ends in {found}, so its values are probabilities, and model.activation = {asked!r} would be put "
            "on top of it; leave model.activation out"
        )
    if found is not None:
        return found, False
    if asked == "none":
        return _likely(channels), False
    return ("sigmoid" if asked == "sigmoid" else "softmax"), True


def _likely(channels: int) -> Activation:
    return "sigmoid" if channels == 1 else "softmax"


def _last(output: Any) -> Any:
    """The operator that ends an output, behind what moves axes or changes types alone."""
    node = output.get_node()
    while node.get_type_name() in _MOVES:
        node = node.input_value(0).get_node()
    return node


def _found(output: Any, layout: Layout, name: str) -> Activation | None:
    axis, node = _CHANNELS[layout], output.get_node()
    while node.get_type_name() in _MOVES:
        if node.get_type_name() == "Transpose":
            order = constant(node.input_value(1))
            if order is None:
                return None
            axis = int(order.reshape(-1)[axis])
        node = node.input_value(0).get_node()
    if node.get_type_name() == "Sigmoid":
        return "sigmoid"
    if node.get_type_name() not in ("Softmax", "SoftMax"):
        return None
    along = int(node.get_attributes()["axis"]) % 4
    if along != axis:
        raise DataError(
            f"output {output.any_name!r} of {name} ends in a softmax over axis {along} instead of its channels; export "
            "it with a softmax over the channels"
        )
    return "softmax"
