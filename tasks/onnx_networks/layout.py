"""The layout of an ONNX graph: where its channels lie, which sizes it takes, and what it gives for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from segscale.errors import DataError
from segscale.tasks.model_facts import Layout

LARGEST_STRIDE = 256
TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)

_PLACES_STAY = frozenset(
    {"Add", "BatchNormInference", "Clamp", "Convert", "Divide", "FakeQuantize", "Maximum", "Minimum", "Multiply",
     "Pad", "PRelu", "Relu", "Sqrt", "Subtract"}
)  # fmt: skip
_SPATIAL = frozenset(
    {"AvgPool", "BatchNormInference", "Convolution", "ConvolutionBackpropData", "GroupConvolution",
     "GroupConvolutionBackpropData", "MaxPool"}
)  # fmt: skip
"""These have the channels first, by their definition."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A way to read a graph by which all of its outputs have the size of its input."""

    layout: Layout
    """Of the input."""
    outputs: tuple[Layout, ...]
    """Of each output."""
    channels: int
    stride: int
    fixed_size: tuple[int, int] | None
    """The one size that it takes; None for all multiples of the stride."""

    def shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Of the input, for one image of a size."""
        return shape_of(self.layout, self.channels, height, width)


def find_fit(network: Any, asked: str, name: str) -> Fit:
    """How a graph of OpenVINO with one input is read; `asked` is "", NCHW or NHWC.

    Each layout by which the number of channels is known is tried, with unequal height and width where both are free.
    Where both layouts fit, what the graph does first with its input decides. Raises DataError where none fits, or both
    do and nothing decides.
    """
    dims = [None if dim.is_dynamic else dim.get_length() for dim in network.inputs[0].partial_shape]
    if len(dims) != 4:
        raise DataError(f"{name} takes an input of {len(dims)} axes; expected an image (N, C, H, W) or (N, H, W, C)")
    layouts: tuple[Layout, ...] = ("NCHW", "NHWC")
    fits = [fit for layout in layouts if asked in ("", layout) for fit in _fits(network, layout, dims)]
    if len(fits) > 1:
        done = layout_of_operators(network)
        fits = [fit for fit in fits if fit.layout == done] or fits
    if not fits:
        raise DataError(_no_fit(network, dims, asked, name))
    if len(fits) > 1:
        raise DataError(
            f"{name} takes {_shown(dims)} and can be read in two ways: as NCHW, {fits[0].channels} channels first, or "
            f'as NHWC, {fits[1].channels} channels last; write model.layout = "NCHW" or model.layout = "NHWC"'
        )
    return fits[0]


def shape_of(layout: Layout, channels: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Of one image.

    >>> shape_of("NCHW", 3, 64, 96)
    (1, 3, 64, 96)
    """
    return (1, channels, height, width) if layout == "NCHW" else (1, height, width, channels)


def reshaped(network: Any, shape: Sequence[int]) -> Any:
    """A copy for one shape of input, its shapes worked out; None where an operator cannot have it."""
    copy = network.clone()
    try:
        copy.reshape({copy.inputs[0]: list(shape)})
    except RuntimeError:
        return None
    return copy


def layout_of_operators(network: Any) -> Layout | None:
    """The layout that the first convolution or pooling on the way from the input tells; None where none is met."""
    axes: tuple[int, ...] = (0, 1, 2, 3)
    tensor = network.inputs[0]
    while True:
        users = [user.get_node() for user in tensor.get_target_inputs()]
        if any(user.get_type_name() in _SPATIAL for user in users):
            return "NCHW" if axes == (0, 1, 2, 3) else "NHWC" if axes == TO_NCHW else None
        if len(users) != 1:
            return None
        kind = users[0].get_type_name()
        if kind == "Transpose":
            order = constant(users[0].input_value(1))
            if order is None:
                return None
            axes = tuple(axes[int(axis)] for axis in order.reshape(-1))
        elif kind not in _PLACES_STAY:
            return None
        tensor = users[0].output(0)


def constant(output: Any) -> Any:
    """The values of an output that is a constant, as numpy has them; None of any other."""
    node = output.get_node()
    return node.data if node.get_type_name() == "Constant" else None


def _fits(network: Any, layout: Layout, dims: Sequence[int | None]) -> Iterator[Fit]:
    """The reading by this layout, with the least stride; nothing where it does not fit."""
    channels, sides = (dims[1], dims[2:]) if layout == "NCHW" else (dims[3], dims[1:3])
    height, width = sides
    if channels is None or (height is None) != (width is None):
        return
    fixed = None if height is None or width is None else (height, width)
    stride = 1
    while stride <= LARGEST_STRIDE:
        sizes = fixed or (3 * stride, 5 * stride)
        found = reshaped(network, shape_of(layout, channels, *sizes))
        outputs = None if found is None else [_layout_of(output, sizes, layout) for output in found.outputs]
        if outputs and None not in outputs:
            yield Fit(layout, tuple(one for one in outputs if one), channels, stride, fixed)
            return
        if fixed:
            return
        stride *= 2


def _layout_of(output: Any, sizes: tuple[int, int], preferred: Layout) -> Layout | None:
    """The layout by which an output has these sizes; the one of the input where both do."""
    shape = output.partial_shape
    if shape.is_dynamic or len(shape) != 4 or shape[0].get_length() != 1:
        return None
    dims = list(shape.to_shape())
    fitting = {"NCHW": tuple(dims[2:]) == sizes, "NHWC": tuple(dims[1:3]) == sizes}
    if fitting[preferred]:
        return preferred
    other: Layout = "NHWC" if preferred == "NCHW" else "NCHW"
    return other if fitting[other] else None


def _no_fit(network: Any, dims: Sequence[int | None], asked: str, name: str) -> str:
    takes = _shown(dims)
    if dims[1] is None and dims[3] is None:
        return f"{name} takes {takes}: the number of channels is free; export it with that number fixed"
    if len([dim for dim in dims[1:] if dim is None]) == 1:
        return f"{name} takes {takes}: one side is fixed and the other free; export it with both fixed, or both free"
    gives = ", ".join(f"{output.any_name!r} {output.partial_shape.to_string()}" for output in network.outputs)
    as_asked = f" read as {asked}" if asked else ""
    return (
        f"{name}{as_asked} takes {takes} and gives {gives}: no output (N, classes, H, W) or (N, H, W, classes) of the "
        f"height and width of its input, tried multiples of 1 to {LARGEST_STRIDE}; choose another one by model.output, "
        "or export the network with its last upsampling"
    )


def _shown(dims: Sequence[int | None]) -> str:
    return "(" + ", ".join("free" if dim is None else str(dim) for dim in dims) + ")"
