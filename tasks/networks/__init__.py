"""Networks as graphs, whatever made them: the part that some outputs need, and the sizes that they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from segscale.errors import ArgumentError

_LARGEST_STRIDE = 256


def select_outputs(model: keras.Model, names: Sequence[str]) -> keras.Model:
    """The subgraph of a model that its named outputs need, in the order of `names`; weights are shared."""
    present = dict(zip(model.output_names, model.outputs, strict=True))
    missing = [name for name in names if name not in present]
    if missing or not names:
        raise ArgumentError(f"model {model.name!r} has no output {missing}; its outputs are {sorted(present)}")
    tensors = [present[name] for name in names]
    return keras.Model(model.input, tensors if len(tensors) > 1 else tensors[0], name=model.name)


def with_policy(model: keras.Model, policy: str) -> keras.Model:
    """A copy, weights included, that computes under a dtype policy but for its outputs, which stay float32.

    Operations that are no layers (`keras.ops` on a tensor) have no policy and compute in the type that they get.
    """
    # By identity: inside a nested model, layers may have the names of layers outside.
    ends = {id(last_layer(model.get_layer(name))) for name in model.output_names}

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Layer):
            config["dtype"] = "float32" if id(layer) in ends else policy
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=copied, recursive=True)
    copy.set_weights(model.get_weights())
    for layer in _layers(copy):
        if isinstance(layer, keras.layers.Normalization):
            # It computes with copies of its weights, made when it was built.
            layer.finalize_state()
    return copy


def _layers(model: keras.Model) -> Iterator[Any]:
    for layer in model.layers:
        yield from _layers(layer) if isinstance(layer, keras.Model) else [layer]


def last_layer(layer: Any) -> Any:
    """The layer that ends an output; a nested model is followed to its own last layer."""
    if isinstance(layer, keras.Sequential):
        return last_layer(layer.layers[-1])
    if isinstance(layer, keras.Model):
        return last_layer(layer.get_layer(layer.output_names[0]))
    return layer


def stride(model: keras.Model) -> int:
    """Smallest power of two such that every height and width divisible by it comes back unchanged.

    Found by tracing shapes, so it holds for any network; 1 for one that takes a fixed size. Raises ValueError where
    nothing up to 256 does.
    """
    fixed = fixed_size(model)
    if fixed:
        if _keeps_size(model, *fixed):
            return 1
        raise ArgumentError(f"model {model.name!r} gives no outputs of the size of its input, {fixed[0]}x{fixed[1]}")
    candidate = 1
    while candidate <= _LARGEST_STRIDE:
        if _keeps_size(model, 3 * candidate, 5 * candidate):
            return candidate
        candidate *= 2
    raise ArgumentError(
        f"model {model.name!r} gives no outputs of the size of its input, tried multiples of 1 to {_LARGEST_STRIDE}"
    )


def fixed_size(model: keras.Model) -> tuple[int, int] | None:
    """The one height and width that a model takes; None for any. One side alone counts as none."""
    height, width = model.inputs[0].shape[1:3]
    return None if height is None or width is None else (int(height), int(width))


def _keeps_size(model: keras.Model, height: int, width: int) -> bool:
    image = keras.KerasTensor((1, height, width, model.inputs[0].shape[-1]))
    try:
        result = model(image)
    except ValueError:
        return False
    return all(tuple(output.shape[1:3]) == (height, width) for output in keras.tree.flatten(result))
