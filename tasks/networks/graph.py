"""The graph of a network as Keras keeps it: its calls, in the order in which they compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras


def is_network(operation: Any) -> bool:
    """Whether an operation is a network itself, nested in another one."""
    return isinstance(operation, keras.Function | keras.Sequential)


def calls(network: Any) -> Iterator[Any]:
    """The calls that make up a network, inputs first: each has `operation`, `arguments` and its tensors.

    Keras names them nodes, and has had this attribute since its second version; nothing public has what is called with
    what.
    """
    graph = network._functional if isinstance(network, keras.Sequential) else network
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from graph._nodes_by_depth[depth]


def values_of(call: Any) -> list[Any]:
    """What a call was given, by place and then by name: tensors of the graph, and constants."""
    return [*call.arguments.args, *call.arguments.kwargs.values()]


def named(operation: Any) -> str:
    """An operation in a message, e.g. ``'norm_1' (GroupNormalization)``."""
    return f"{operation.name!r} ({type(operation).__name__})"
