"""What a reference is, and whether it fits a prediction: refused with the fix in the message, never broadcast.

A reference against a prediction of another shape gives numbers that look like scores: index maps (B, H, W, 1) against
a softmax of two channels give 2F / (F + N) whatever is predicted. So each loss and metric announces what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.labels import IGNORED
from segscale.tasks.models.choices import check_choice

Encoding = Literal["index", "one_hot"]
"""index: a class per pixel, (B, H, W) or (B, H, W, 1), 255 ignored. one_hot: (B, H, W, C) of 0 and 1."""

Shape = tuple[int | None, ...]
"""Sizes as a network knows them; None: not known before it runs."""


def encode(reference: Any, prediction: Any, encoding: Encoding) -> tuple[Any, Any, Any]:
    """Reference and prediction as sums need them: one_hot and probabilities (B, H, W, C), counted (B, H, W, 1).

    All three are float32, whatever came in and whatever the precision policy: sums in half precision are useless. The
    prediction is p(class 1), (B, H, W, 1), of a sigmoid, which becomes [1 - p, p], or (B, H, W, C) of a softmax.
    `counted` is 1, or 0 where a pixel counts in nothing: index 255, or a one-hot pixel of no class. There `one_hot` and
    `probabilities` are 0, so plain sums over them leave such pixels out, and so do gradients.

    Raises ValueError where the shapes do not fit. Sizes not known before the network runs are compared when it does,
    and stop it with the backend's error.
    """
    check_encoding(encoding)
    check_shapes(tuple(reference.shape), tuple(prediction.shape), encoding)
    probabilities = ops.cast(prediction, "float32")
    if prediction.shape[-1] == 1:
        probabilities = ops.concatenate([1.0 - probabilities, probabilities], axis=-1)
    if encoding == "index":
        indices = ops.cast(ops.squeeze(reference, -1) if len(reference.shape) == 4 else reference, "int32")
        one_hot = ops.one_hot(indices, probabilities.shape[-1], dtype="float32")
        counted = ops.expand_dims(ops.not_equal(indices, IGNORED), -1)
    else:
        one_hot = ops.cast(reference, "float32")
        counted = ops.any(ops.greater(one_hot, 0.0), axis=-1, keepdims=True)
    if None in (*one_hot.shape, *probabilities.shape):
        # Arithmetic would broadcast what differs; stacking wants equal shapes.
        one_hot, probabilities = ops.unstack(ops.stack([one_hot, probabilities]), 2)
    # Chosen, not multiplied: a NaN on an ignored pixel must not count either.
    return one_hot, ops.where(counted, probabilities, 0.0), ops.cast(counted, "float32")


def check_encoding(encoding: str) -> None:
    """Raise ValueError for what is no `Encoding`."""
    check_choice("reference", encoding, Encoding)


def check_shapes(reference: Shape, prediction: Shape, encoding: Encoding) -> None:
    """Raise ValueError, naming both shapes and the fix, where they do not fit as far as their sizes are known."""
    fix = _find_fix(reference, prediction, encoding)
    if fix:
        raise ArgumentError(
            f"reference {reference}, announced as {encoding!r}, does not fit prediction {prediction}: {fix}"
        )


def check_reference(reference: NDArray[Any], prediction_shape: Shape, n_classes: int, encoding: Encoding) -> None:
    """Raise ValueError where shape or values of a reference do not fit; meant for arrays, before the first step.

    `prediction_shape` is what the network gives, e.g. `model.output_shape`. The values are looked at as `check_values`
    does: hand over a batch that holds some foreground.
    """
    check_encoding(encoding)
    check_shapes(reference.shape, prediction_shape, encoding)
    found = _count_classes(prediction_shape)
    if found != n_classes:
        raise ArgumentError(
            f"reference {reference.shape} has {n_classes} classes, prediction {prediction_shape} tells {found} apart: "
            f"give the network {n_classes} softmax outputs{' or one sigmoid output' if n_classes == 2 else ''}"
        )
    try:
        check_values(np.unique(reference), n_classes, encoding)
    except ValueError as error:
        raise ArgumentError(f"reference {reference.shape} for prediction {prediction_shape}: {error}") from error
    if encoding == "one_hot" and (reference.sum(axis=-1, dtype=np.int64) > 1).any():
        raise ArgumentError(
            f"reference {reference.shape} for prediction {prediction_shape}: pixels belong to several classes; "
            "overlapping classes are not supported: decide for one, or train a network per class"
        )


def check_values(values: NDArray[Any], n_classes: int, encoding: Encoding) -> None:
    """Raise ValueError for values that no reference of `n_classes` holds.

    `values` are those of one reference, or better of all: where nothing but 0 and 255 occurs, these are taken for
    masks of 0 and 255, whose foreground would be ignored, and not for background beside ignored pixels.
    """
    allowed = [*range(n_classes), IGNORED] if encoding == "index" else [0, 1]
    if IGNORED in values and np.isin(values, [0, IGNORED]).all():
        meaning = ", and 255 means ignored" if encoding == "index" else ""
        raise ArgumentError(f"its labels are 0 and 255{meaning}: divide them by 255")
    strange = values[~np.isin(values, allowed)]
    if not strange.size:
        return
    if not np.array_equal(strange, np.round(strange)):
        fix = "a label map must be resized by nearest neighbour, without interpolation"
    else:
        fix = "map the values of the file to class indices"
    raise ArgumentError(f"its values {[value.item() for value in strange[:5]]} are none of {allowed}: {fix}")


def check_model_output(model: keras.Model) -> None:
    """Raise ValueError where an output of a network cannot be the probabilities of exclusive classes.

    Refused are another rank than (B, H, W, outputs), softmax over one channel, which is 1 everywhere, sigmoid over
    several, and a last layer without activation, whose numbers are no probabilities. An activation that is no layer's
    own, as after an average of heads, is not known and passes.
    """
    for output in model.outputs:
        shape = tuple(output.shape)
        fix = _fix_rank(shape)
        activations = {getattr(activation, "__name__", "") for activation in _final_activations(output)}
        if not fix and "softmax" in activations and shape[-1] == 1:
            fix = "softmax over one channel is 1 everywhere; use sigmoid, or an output per class"
        elif not fix and "sigmoid" in activations and shape[-1] != 1:
            fix = "the classes of a sigmoid exclude nothing; use softmax, or one output, p(class 1)"
        elif not fix and "linear" in activations:
            fix = "its last layer has no activation; end with sigmoid or softmax, since losses take probabilities"
        if fix:
            raise ArgumentError(f"output {output._keras_history.operation.name!r} of the network, {shape}: {fix}")


def _find_fix(reference: Shape, prediction: Shape, encoding: Encoding) -> str:
    """What is wrong and how to mend it, the likeliest cause first; empty where all fits."""
    fix = _fix_rank(prediction)
    if fix:
        return fix
    batch, height, width, _ = prediction
    grid, n_classes = prediction[:3], _count_classes(prediction)
    indices = _same(reference, grid) or _same(reference, (*grid, 1))
    one_hot = _same(reference, (*grid, n_classes))
    if one_hot if encoding == "one_hot" else indices:
        return ""
    if encoding == "one_hot" and indices:
        return f'it holds class indices; announce reference="index", or give keras.ops.one_hot(reference, {n_classes})'
    if encoding == "index" and one_hot:
        return 'it is one-hot; announce reference="one_hot", or give np.argmax(reference, axis=-1)'
    if any(_same(reference, (batch, channels, height, width)) for channels in (1, n_classes)):
        return "the reference is channels first; give np.moveaxis(reference, 1, -1)"
    if len(reference) >= 3 and prediction[1] is not None and _same(reference[:3], (batch, *prediction[2:])):
        return (
            "the prediction is channels first; build the network channels last, or give np.moveaxis(prediction, 1, -1)"
        )
    return _fix_sizes(reference, prediction)


def _fix_sizes(reference: Shape, prediction: Shape) -> str:
    grid, n_classes = prediction[:3], _count_classes(prediction)
    if len(reference) == 4 and _same(reference[:3], grid):
        return (
            f"it has {reference[3]} channels, the network tells {n_classes} classes apart; "
            f"give class indices, or one-hot of {n_classes}"
        )
    if len(reference) == 2 or _same(reference, (*grid[1:], 1)) or _same(reference, (*grid[1:], n_classes)):
        return "it has no batch axis; give reference[np.newaxis]"
    if len(reference) not in (3, 4):
        return "it must be class indices (B, H, W) or (B, H, W, 1), or one-hot (B, H, W, C)"
    if not _same(reference[:1], grid[:1]):
        return f"batches of {reference[0]} and {grid[0]} images; give one reference per image"
    return "height and width differ; crop or pad image and reference alike before the network"


def _fix_rank(prediction: Shape) -> str:
    if len(prediction) == 4 and prediction[3]:
        return ""
    return "a prediction must be (B, H, W, 1) of a sigmoid or (B, H, W, C) of a softmax; keep its batch and class axes"


def _count_classes(prediction: Shape) -> int | None:
    """Classes that a prediction tells apart: 2 for the one channel of a sigmoid."""
    return 2 if prediction[3] == 1 else prediction[3]


def _same(first: Shape, second: Shape) -> bool:
    """Whether two shapes are equal as far as both are known."""
    return len(first) == len(second) and all(
        None in sizes or sizes[0] == sizes[1] for sizes in zip(first, second, strict=True)
    )


def _final_activations(output: Any) -> Iterator[Any]:
    """The activation that made an output, looked for through layers that change the type alone, and nested models."""
    layer, node, position = output._keras_history
    if isinstance(layer, keras.Model):
        yield from _final_activations(layer.outputs[position])
    elif isinstance(layer, keras.layers.Softmax):
        yield keras.activations.softmax
    elif isinstance(layer, keras.layers.Identity) or _is_linear(layer):
        yield from _final_activations(layer._inbound_nodes[node].input_tensors[0])
    elif hasattr(layer, "activation"):
        yield layer.activation


def _is_linear(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.linear
