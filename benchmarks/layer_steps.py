"""A Keras network as the steps it is computed in, for those who compute it with something else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True, slots=True)
class Step:
    """A layer, and the tensors between which it stands."""

    layer: Any
    sources: tuple[int, ...]
    target: int
    """Tensors by their numbers; 0 is the image."""


def steps_of(model: keras.Model) -> tuple[Step, ...]:
    """The layers in the order of computation. Raises ValueError for a network with several inputs or outputs."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(f"expected one input and one output, got {len(model.inputs)} and {len(model.outputs)}")
    numbers = {id(model.inputs[0]): 0}
    steps = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        numbers[id(layer.output)] = len(numbers)
        steps.append(Step(layer, tuple(numbers[id(tensor)] for tensor in sources), numbers[id(layer.output)]))
    if steps[-1].target != numbers[id(model.outputs[0])]:
        raise ValueError(f"expected {steps[-1].layer.name} to give the output")
    return tuple(steps)


def last_uses(steps: Sequence[Step]) -> dict[int, int]:
    """For each tensor the position of the last step that takes it: after it the tensor can go."""
    return {source: position for position, step in enumerate(steps) for source in step.sources}


def flop_per_image(model: keras.Model, side: int) -> int:
    """Two for every multiply-add of the convolutions of one square image."""
    shapes: dict[int, tuple[int | None, ...]] = {0: (1, side, side, model.inputs[0].shape[-1])}
    total = 0
    for step in steps_of(model):
        taken = [shapes[source] for source in step.sources]
        given = step.layer.compute_output_shape(taken if len(taken) > 1 else taken[0])
        shapes[step.target] = tuple(given)
        if isinstance(step.layer, keras.layers.Conv2D):
            total += 2 * math.prod(step.layer.kernel.shape) * _pixels(shapes[step.target])
        elif isinstance(step.layer, keras.layers.Conv2DTranspose):
            # Every pixel that goes in meets every weight.
            total += 2 * math.prod(step.layer.kernel.shape) * _pixels(taken[0])
    return total


def _pixels(shape: tuple[int | None, ...]) -> int:
    _, height, width, _ = shape
    assert height is not None
    assert width is not None
    return height * width
