"""The ends of a network, made what everything here expects: layers that give probabilities, one for each output."""

from __future__ import annotations

from typing import Any

import keras

from segscale.errors import DataError
from segscale.tasks.model_facts import Activation, Ending, ModelReading
from segscale.tasks.networks import last_layer, select_outputs


def as_read(model: keras.Model, reading: ModelReading) -> keras.Model:
    """The outputs of a model that are read, each ended by a layer that gives probabilities; weights are shared.

    Where the model ends so already, and nothing else is asked for, it is the model itself. A sigmoid or softmax that
    is an operation (`keras.ops`) becomes a layer; to logits comes the activation that `reading` says. Outputs keep
    their names. Raises DataError for an output that is not there, and for an activation on top of another one.
    """
    if reading.output:
        if reading.output not in model.output_names:
            raise DataError(
                f"model {model.name!r} has no output {reading.output!r} (model.output); it has "
                f"{', '.join(map(repr, model.output_names))}"
            )
        model = select_outputs(model, [reading.output])
    ends = [_End.of(tensor, reading.activation) for tensor in model.outputs]
    if all(end.activation is None for end in ends):
        return model
    # The names of outputs are those of what ends them, so what ended them gives up its own.
    taken = {end.renamed for end in ends} - {None}
    copy = _renamed(model, {name for name in taken if name})
    tensors = [end.ended(tensor) for end, tensor in zip(ends, copy.outputs, strict=True)]
    return keras.Model(copy.inputs[0], tensors if len(tensors) > 1 else tensors[0], name=model.name)


class _End:
    """What ends an output, and the activation that takes its place or comes behind it; None where it stays."""

    def __init__(self, operation: Any, activation: str | None, replaces: bool) -> None:
        self.operation, self.activation, self.replaces = operation, activation, replaces

    @classmethod
    def of(cls, tensor: Any, asked: Ending) -> _End:
        operation = tensor._keras_history.operation
        found = operation_activation(operation, len(tensor.shape))
        if found is not None and not isinstance(operation, keras.layers.Layer):
            _refuse_twice(operation, found, asked)
            return cls(operation, found, True)
        layer = last_layer(operation)
        if found is None:
            found = layer_activation(layer)
        if found is not None:
            _refuse_twice(operation, found, asked)
            return cls(operation, None, False)
        if asked == "none":
            # A layer, since what ends a network is found by the name of its layer.
            return cls(operation, None if isinstance(operation, keras.layers.Layer) else "linear", False)
        return cls(operation, asked or None, False)

    @property
    def renamed(self) -> str | None:
        return None if self.activation is None else str(self.operation.name)

    def ended(self, tensor: Any) -> Any:
        before = tensor._keras_history.operation.input if self.replaces else tensor
        return keras.layers.Activation(self.activation, name=self.operation.name, dtype="float32")(before)


def layer_activation(layer: Any) -> Activation | None:
    """The function of a layer that makes probabilities; None where it has none. Softmax: over the channels alone."""
    if isinstance(layer, keras.layers.Softmax):
        if layer.axis not in (-1, 3):
            raise DataError(f"output {layer.name!r} is a softmax over axis {layer.axis}, expected the channels (-1)")
        return "softmax"
    function = getattr(layer, "activation", None)
    if function is keras.activations.sigmoid:
        return "sigmoid"
    return "softmax" if function is keras.activations.softmax else None


def operation_activation(operation: Any, rank: int) -> Activation | None:
    """The same of an operation that is no layer."""
    kind = type(operation).__name__
    if isinstance(operation, keras.layers.Layer) or kind not in ("Sigmoid", "Softmax"):
        return None
    if kind == "Sigmoid":
        return "sigmoid"
    axis = operation.axis
    if not isinstance(axis, int) or axis % rank != rank - 1:
        raise DataError(f"output {operation.name!r} is a softmax over axis {axis}, expected the channels (-1)")
    return "softmax"


def _refuse_twice(operation: Any, found: Activation, asked: Ending) -> None:
    if asked in ("sigmoid", "softmax"):
        raise DataError(
            f"output {operation.name!r} ends in {found}, so its values are probabilities, and model.activation = "
            f"{asked!r} would be put on top of it; leave model.activation out"
        )


def _renamed(model: keras.Model, names: set[str]) -> keras.Model:
    """A copy, weights included, in which what has these names is called otherwise."""

    def copied(operation: Any) -> Any:
        config = operation.get_config()
        if operation.name in names and operation in model.operations:
            config["name"] = f"{operation.name}_before"
        return type(operation).from_config(config)

    copy = keras.models.clone_model(model, clone_function=copied)
    copy.set_weights(model.get_weights())
    return copy
