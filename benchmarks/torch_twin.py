"""A Keras network computed by PyTorch with the same weights, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
from layer_steps import Step, last_uses, steps_of
from torch import nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda tensor: tensor,
    "relu": functional.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda tensor: torch.softmax(tensor, dim=1),
}


class TorchTwin(nn.Module):
    """Takes float32 images (B, C, H, W) and gives what the Keras model gives, channels first."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        steps = steps_of(model)
        self._last_uses = last_uses(steps)
        self._tensors = [(step.sources, step.target) for step in steps]
        self.steps = nn.ModuleList(_module(step) for step in steps)
        self.eval()

    def forward(self, image: Any) -> Any:
        tensors = {0: image}
        for position, ((sources, target), module) in enumerate(zip(self._tensors, self.steps, strict=True)):
            tensors[target] = module(*(tensors[source] for source in sources))
            for source in sources:
                if self._last_uses[source] == position:
                    del tensors[source]
        (result,) = tensors.values()
        return result


class _Join(nn.Module):
    def forward(self, *tensors: Any) -> Any:
        return torch.cat(tensors, dim=1)


class _Activate(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._function = ACTIVATIONS[name]

    def forward(self, tensor: Any) -> Any:
        return self._function(tensor)


def _module(step: Step) -> nn.Module:
    layer = step.layer
    if isinstance(layer, keras.layers.Conv2D):
        return nn.Sequential(_convolution(layer), _Activate(layer.activation.__name__))
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return _transposed(layer)
    if isinstance(layer, keras.layers.BatchNormalization):
        return _normalization(layer)
    if isinstance(layer, keras.layers.Activation):
        return _Activate(layer.activation.__name__)
    if isinstance(layer, keras.layers.MaxPooling2D):
        return nn.MaxPool2d(layer.pool_size, layer.strides)
    if isinstance(layer, keras.layers.Concatenate):
        return _Join()
    if isinstance(layer, keras.layers.Dropout):
        return nn.Identity()
    raise ValueError(f"layer {layer.name}: expected one that a UNet++ is made of, got a {type(layer).__name__}")


def _convolution(layer: Any) -> nn.Module:
    assert layer.strides == (1, 1)
    *kernel, taken, given = layer.kernel.shape
    module = nn.Conv2d(taken, given, kernel, padding=layer.padding, bias=layer.use_bias)
    return _with(module, weight=_values(layer.kernel).transpose(3, 2, 0, 1), bias=layer.bias)


def _transposed(layer: Any) -> nn.Module:
    *kernel, given, taken = layer.kernel.shape
    assert tuple(kernel) == layer.strides
    module = nn.ConvTranspose2d(taken, given, kernel, stride=layer.strides, bias=layer.use_bias)
    return _with(module, weight=_values(layer.kernel).transpose(3, 2, 0, 1), bias=layer.bias)


def _normalization(layer: Any) -> nn.Module:
    module = nn.BatchNorm2d(layer.gamma.shape[0], eps=layer.epsilon)
    names = {"weight": layer.gamma, "bias": layer.beta}
    return _with(module, **names, running_mean=layer.moving_mean, running_var=layer.moving_variance)


def _with(module: nn.Module, **values: Any) -> nn.Module:
    with torch.no_grad():
        for name, value in values.items():
            if value is not None:
                getattr(module, name).copy_(torch.from_numpy(_values(value).copy()))
    return module


def _values(variable: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
