"""Networks that scale their input themselves, as those of `keras.applications` do: they want the stored values.

Given 0 to 1 such a network sees an image that is almost black, and finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from segscale.tasks.input_view import InputView
from segscale.tasks.networks.graph import calls, is_network, named, values_of

_VALUES_STAY = frozenset(
    {
        "ActivityRegularization", "AlphaDropout", "Average", "AveragePool", "AveragePooling2D", "Cast", "CenterCrop",
        "Clip", "ConvertToTensor", "Copy", "CropImages", "Cropping2D", "Dropout", "GaussianDropout", "GaussianNoise",
        "Identity", "InputLayer", "MaxPool", "MaxPooling2D", "Maximum", "Minimum", "PadImages", "ReLU",
        "RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip", "RandomRotation", "RandomTranslation",
        "RandomZoom", "Relu", "Resize", "Resizing", "SpatialDropout2D", "StopGradient", "UpSampling2D",
        "ZeroPadding2D",
    }
)  # fmt: skip
"""What predicts with the values that it gets, at most resampled or cut to a range."""

_CHANNELS_MOVE = frozenset(
    {
        "Append", "BroadcastTo", "Concatenate", "ExpandDims", "Flip", "GetItem", "Hstack", "Mean", "Moveaxis", "Pad",
        "Permute", "RGBToGrayscale", "Repeat", "Reshape", "Roll", "Rot90", "Slice", "Split", "Squeeze", "Stack",
        "Swapaxes", "Take", "Tile", "Transpose", "Unstack", "Vstack",
    }
)  # fmt: skip
"""The same, but a channel may be another one behind it, or another axis: which is not followed."""


def own_scaling(network: keras.Model) -> str:
    """The layer at the beginning of a network that scales stored values, and what it does to them; "" where none does.

    The input is followed through what leaves values as they are, into nested networks, and through factors and
    shifts, which are multiplied out: Rescaling(255) before Normalization(mean=120) is for 0 to 1. What comes after
    anything else, a convolution say, is the network's own affair.
    """
    found, _ = _follow(network, [InputView(np.ones(1), np.zeros(1)) for _ in network.inputs])
    return found


def _follow(network: Any, inputs: Sequence[InputView | None]) -> tuple[str, list[InputView | None]]:
    """What was found, and what the outputs are of the input; None for what is not the input any more."""
    known = {id(tensor): view for tensor, view in zip(network.inputs, inputs, strict=True)}
    for call in calls(network):
        views = [known.get(id(tensor)) for tensor in call.input_tensors]
        if not any(views):
            continue
        found, outputs = _follow(call.operation, views) if is_network(call.operation) else _after(call, views)
        if found:
            return found, []
        known |= {id(tensor): view for tensor, view in zip(call.output_tensors, outputs, strict=True)}
    return "", [known.get(id(tensor)) for tensor in network.outputs]


def _after(call: Any, views: Sequence[InputView | None]) -> tuple[str, list[InputView | None]]:
    """The same of a single operation."""
    operation, view = call.operation, _common(views)
    changed: list[InputView | None] = [None for _ in call.output_tensors]
    if view is None:
        return "", changed
    for layer in operation.layers if isinstance(operation, keras.layers.Pipeline) else [operation]:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Its factors are trained, some to almost nothing; the mean that it has seen is the input's.
            return _said(layer, InputView(view.factor, view.shift - _numbers(layer.moving_mean))), changed
        if _is_unchanging(layer, view):
            continue
        affine = _affine(layer, values_of(call))
        if affine is None:
            return "", changed
        view = view.then(*affine)
        if found := _said(layer, view):
            return found, changed
    return "", [view for _ in call.output_tensors]


def _said(layer: Any, view: InputView) -> str:
    words = view.words()
    return f"{named(layer)} {words}" if words else ""


def _common(views: Iterable[InputView | None]) -> InputView | None:
    """The view of several tensors that are one, as of a grey image that is given three times."""
    first, *others = views
    if first is None:
        return None
    if not others:
        return first
    same = all(
        view is not None and view.is_of_all_channels and (view.factor, view.shift) == (first.factor, first.shift)
        for view in others
    )
    return first if same and first.is_of_all_channels else None


def _is_unchanging(layer: Any, view: InputView) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return layer.activation in (keras.activations.linear, keras.activations.relu)
    name = type(layer).__name__
    return name in _VALUES_STAY or (name in _CHANNELS_MOVE and view.is_of_all_channels)


def _affine(operation: Any, values: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Factor and shift of an operation, each (1,) or (C,); None where it is something else."""
    one, none = np.ones(1), np.zeros(1)
    if isinstance(operation, keras.layers.Rescaling):
        return _numbers(operation.scale), _numbers(operation.offset)
    if isinstance(operation, keras.layers.Normalization):
        mean, deviation = _numbers(operation.mean), np.sqrt(_numbers(operation.variance))
        deviation = np.maximum(deviation, keras.backend.epsilon())
        return (deviation, mean) if operation.invert else (1 / deviation, -mean / deviation)
    name = type(operation).__name__
    if name == "Negative":
        return -one, none
    if len(values) != 2 or isinstance(operation, keras.layers.Layer):
        return None
    places = [place for place, value in enumerate(values) if isinstance(value, keras.KerasTensor)]
    constant = _constant(values[1 - places[0]]) if len(places) == 1 else None
    if constant is None:
        return None
    first = places == [0]
    match name:
        case "Multiply":
            return constant, none
        case "TrueDivide" | "Divide" if first and constant.all():
            return 1 / constant, none
        case "Add":
            return one, constant
        case "Subtract":
            return (one, -constant) if first else (-one, constant)
    return None


def _constant(value: Any) -> NDArray[np.float64] | None:
    """A number, or one for each channel; None for anything else."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return array.reshape(-1) if array.size and array.size == (array.shape[-1] if array.ndim else 1) else None


def _numbers(value: Any) -> NDArray[np.float64]:
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64).reshape(-1)
