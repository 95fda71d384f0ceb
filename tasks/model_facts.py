"""What a model file holds, and how it is read where it does not say so itself. Nothing here needs its runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segscale.errors import ArgumentError

Activation = Literal["sigmoid", "softmax"]
Ending = Literal["", "none", "sigmoid", "softmax"]
Layout = Literal["NCHW", "NHWC"]

ONNX = ".onnx"
"""How the name of a network in ONNX ends."""


@dataclass(frozen=True, slots=True)
class ModelReading:
    """How a model file is read: what a user says of it. Nothing said leaves it to the file."""

    output: str = ""
    """The one output that is taken; "" for all that there are."""
    activation: Ending = ""
    """What makes probabilities of the values of the network; "none" where they are probabilities, "" for what its last
    operation says."""
    layout: Literal["", "NCHW", "NHWC"] = ""
    """Where an ONNX graph has its channels; "" for what the graph says."""

    def said(self) -> dict[str, str]:
        """What was said, by its key, for records of what decides numbers; empty for nothing."""
        given = {"output": self.output, "activation": self.activation, "layout": self.layout}
        return {name: value for name, value in given.items() if value}


AS_IT_IS = ModelReading()


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a segmentation model takes and gives."""

    channels: int
    """Channels of the input image."""
    n_classes: int
    """Classes told apart; 2 for one sigmoid output."""
    outputs: int
    """Channels of every head: 1 for sigmoid, n_classes for softmax."""
    activation: Activation
    """Function that makes the outputs probabilities."""
    heads: tuple[str, ...]
    """Names of the outputs, shallowest first."""
    stride: int
    """Height and width must be multiples of this."""
    parameters: int
    """Weights, trained or not."""
    rescales: str
    """The layer by which it scales stored values itself, and how; "" where it takes what is scaled before."""
    fixed_size: tuple[int, int] | None = None
    """The one height and width that it takes; None for any."""


def check_head(outputs: int, activation: Activation) -> None:
    """Raise ValueError for outputs that no probabilities of exclusive classes can come from."""
    if activation == "softmax" and outputs < 2:
        raise ArgumentError(
            f"softmax over {outputs} output is 1 everywhere, whatever the image; use sigmoid, or an output per class"
        )
    if activation == "sigmoid" and outputs != 1:
        raise ArgumentError(
            f"a sigmoid head has 1 output, p(class 1), got {outputs}; for exclusive classes use softmax "
            "(overlapping classes are not supported)"
        )


def is_onnx(path: str) -> bool:
    """Whether a path or a URL names a network in ONNX."""
    return path.lower().endswith(ONNX)
