"""Layers that look at the whole image: what they give at a pixel depends on pixels at any distance, padding included.

What is listed here looks at a neighbourhood of fixed size. Whatever is not listed counts as looking at the whole image:
predicting an image at its true size is right for every network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from segscale.tasks.networks.graph import calls, is_network, named, values_of

_POINTWISE = frozenset(
    {
        # Layers.
        "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "BatchNormalization", "Dense",
        "Dropout", "ELU", "GaussianDropout", "GaussianNoise", "Identity", "InputLayer", "LayerScale", "LeakyReLU",
        "Maximum", "Minimum", "Multiply", "Normalization", "PReLU", "RandomBrightness", "RandomContrast",
        "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "ReLU", "Rescaling", "SpatialDropout2D",
        "StochasticDepth", "Subtract",
        # Operations of `keras.ops`.
        "Abs", "Absolute", "BatchNorm", "Cast", "Clip", "Cos", "Divide", "Elu", "Equal", "Erf", "Exp", "Expm1", "Gelu",
        "Greater", "GreaterEqual", "HardSigmoid", "HardSilu", "HardTanh", "LeakyRelu", "Less", "LessEqual", "Log",
        "Log1p", "LogSigmoid", "LogicalAnd", "LogicalNot", "LogicalOr", "Negative", "NotEqual", "Power", "Reciprocal",
        "Relu", "Relu6", "Rsqrt", "Selu", "Sigmoid", "Sign", "Silu", "Sin", "Softplus", "Softsign", "Sqrt", "Square",
        "Tanh", "TrueDivide", "Where",
    }
)  # fmt: skip
_LOCAL = frozenset(
    {
        # Layers.
        "AveragePooling2D", "Conv2D", "Conv2DTranspose", "Cropping2D", "DepthwiseConv2D", "MaxPooling2D",
        "SeparableConv2D", "UpSampling2D", "ZeroPadding2D",
        # Operations of `keras.ops`.
        "AveragePool", "Conv", "ConvTranspose", "DepthwiseConv", "MaxPool", "SeparableConv",
    }
)  # fmt: skip
_ALONG_AN_AXIS = frozenset(
    {
        # Layers.
        "Concatenate", "LayerNormalization", "RMSNormalization", "Softmax", "UnitNormalization",
        # Operations of `keras.ops`.
        "Amax", "Amin", "Argmax", "Argmin", "Flip", "LogSoftmax", "Logsumexp", "Max", "Mean", "Min", "Norm",
        "Normalize", "Prod", "Split", "Std", "Sum", "Var",
    }
)  # fmt: skip
"""Along the channels they look at one pixel."""


def whole_image_layers(network: keras.Model) -> tuple[str, ...]:
    """The layers and operations that look at the whole image, or may do so, in the order in which they compute.

    Each as ``'name' (Class)``, nested networks included. Empty for a network whose output at a pixel depends on a
    neighbourhood of fixed size alone.
    """
    return tuple(dict.fromkeys(_found(network)))


def _found(network: Any) -> Iterator[str]:
    for call in calls(network):
        if is_network(call.operation):
            yield from _found(call.operation)
        elif not all(_is_local(part, call) for part in _parts(call.operation)):
            yield named(call.operation)


def _parts(operation: Any) -> list[Any]:
    """What computes: a pipeline is its layers, and spectral normalisation is of weights, not of images."""
    if isinstance(operation, keras.layers.Pipeline):
        return list(operation.layers)
    return [operation.layer if isinstance(operation, keras.layers.SpectralNormalization) else operation]


def _is_local(operation: Any, call: Any) -> bool:
    name = type(operation).__name__
    if name in _POINTWISE or name in _LOCAL:
        return True
    # (B, C) has no rows and columns any more: what took them away is named.
    if call.input_tensors and all(len(tensor.shape) <= 2 for tensor in call.input_tensors):
        return True
    if name == "GetItem":
        return _keeps_places(values_of(call)[1])
    if name not in _ALONG_AN_AXIS:
        return False
    rank = len(call.input_tensors[0].shape)
    axis = getattr(operation, "axis", None)
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    return rank == 4 and all(isinstance(one, int) and one % rank == rank - 1 for one in axes)


def _keeps_places(key: Any) -> bool:
    """Whether ``tensor[key]`` of (B, H, W, C) takes all rows and columns, or every nth of them."""
    # A file that was loaded has a list where there was a tuple.
    keys = list(key) if isinstance(key, tuple | list) else [key]
    place = next((place for place, one in enumerate(keys) if one is Ellipsis), None)
    if place is not None:
        keys[place : place + 1] = [slice(None)] * (5 - len(keys))
    return all(
        isinstance(one, slice) and (one.start, one.stop) == (None, None) and (one.step or 1) > 0 for one in keys[:3]
    )
