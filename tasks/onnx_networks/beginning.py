"""The beginning of an ONNX graph: whether it scales stored values itself, as `tasks.networks.input_scaling` asks it of
Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.input_view import InputView
from segscale.tasks.onnx_networks.layout import constant

_VALUES_STAY = frozenset(
    {"AvgPool", "Clamp", "Convert", "Interpolate", "MaxPool", "Maximum", "Minimum", "Pad", "Relu", "Transpose"}
)


def own_scaling(network: Any) -> str:
    """The operator at the beginning that scales stored values, and what it does to them; "" where none does.

    The input is followed as long as one operator takes it, through what leaves its values as they are, and through
    factors and shifts, which are multiplied out.
    """
    view, tensor = InputView(np.ones(1), np.zeros(1)), network.inputs[0]
    while True:
        users = [user.get_node() for user in tensor.get_target_inputs()]
        if len(users) != 1:
            return ""
        node = users[0]
        changed = _after(node, tensor, view)
        if changed is None:
            return ""
        view = changed
        if words := view.words():
            return f"{node.get_friendly_name()!r} ({node.get_type_name()}) {words}"
        tensor = node.output(0)


def _after(node: Any, tensor: Any, view: InputView) -> InputView | None:
    kind = node.get_type_name()
    if kind == "BatchNormInference":
        mean = constant(node.input_value(3))
        # Its factors are trained, some to almost nothing; the mean that it has seen is the input's.
        return None if mean is None else InputView(view.factor, view.shift - np.asarray(mean, np.float64).reshape(-1))
    if kind in _VALUES_STAY:
        return view
    if node.get_input_size() != 2:
        return None
    first = node.input_value(0).get_node() is tensor.get_node() or node.input_value(0) == tensor
    value = _numbers(constant(node.input_value(1 if first else 0)))
    return None if value is None else _affine(kind, view, value, first)


def _affine(kind: str, view: InputView, value: NDArray[np.float64], first: bool) -> InputView | None:
    one, none = np.ones(1), np.zeros(1)
    match kind:
        case "Multiply":
            return view.then(value, none)
        case "Divide" if first and value.all():
            return view.then(1 / value, none)
        case "Add":
            return view.then(one, value)
        case "Subtract":
            return view.then(one, -value) if first else view.then(-one, value)
    return None


def _numbers(value: Any) -> NDArray[np.float64] | None:
    """A number, or one for each channel; None for anything else."""
    if value is None:
        return None
    array = np.asarray(value, np.float64)
    return array.reshape(-1) if array.size and array.size == max(array.shape, default=1) else None
