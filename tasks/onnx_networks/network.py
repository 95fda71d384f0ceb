"""A network in ONNX as a graph of OpenVINO: (B, H, W, channels) in, probabilities (B, H, W, outputs) out."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segscale.errors import ArgumentError, DataError
from segscale.tasks.engines.heads import Level, choose_heads, head_levels
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.engines.openvino_runtime import load_openvino, reason_of, serialised
from segscale.tasks.model_facts import Activation, ModelFacts, ModelReading, check_head
from segscale.tasks.onnx_networks.beginning import own_scaling
from segscale.tasks.onnx_networks.ending import activation_of
from segscale.tasks.onnx_networks.layout import TO_NCHW, TO_NHWC, Fit, find_fit, reshaped
from segscale.tasks.onnx_networks.whole_image import whole_image_operators
from segscale.tasks.tried_values import check_image, no_probabilities

_TRIED_SIDE = 32
"""Of the image that a graph is checked with, in pixels; more where its stride is more."""
_FLOATS = ("f16", "f32", "f64", "bf16")


@dataclass(frozen=True, slots=True, eq=False)
class OnnxNetwork:
    """A graph that was read, checked with one image, and turned into what engines compute."""

    model: Any
    """The model of OpenVINO, a result for each head."""
    facts: ModelFacts
    whole_image: tuple[str, ...]
    """Operators that look at the whole image; see `EngineFacts`."""

    @property
    def levels(self) -> tuple[int, ...]:
        """Of a deeply supervised network; none of any other."""
        return head_levels(self.facts.heads)

    def graph(self, level: Level, ensemble: bool) -> OpenVinoGraph:
        """The part that `level` and `ensemble` need. Raises ValueError for a level that is not there."""
        heads = choose_heads(self.facts.heads, level, ensemble)
        copy, facts = self.model.clone(), self.facts
        results = [copy.get_results()[facts.heads.index(name)] for name in heads.computed]
        topology, weights = serialised(load_openvino().Model(results, copy.get_parameters()))
        return OpenVinoGraph(
            topology=topology,
            weights=weights,
            heads=heads,
            outputs=facts.outputs,
            channels=facts.channels,
            stride=facts.stride,
            made_with=f"openvino {importlib.metadata.version('openvino')}",
            rescales=facts.rescales,
            whole_image=self.whole_image,
            fixed_size=facts.fixed_size,
        )


def read_network(path: Path, reading: ModelReading) -> OnnxNetwork:
    """Read an ONNX file, whose external data lies beside it, as far as `reading` asks for.

    Raises DataError, which says what to write, for a graph that OpenVINO cannot compute, that is no segmentation
    network, or that can be read in two ways.
    """
    name = path.name
    whole = _read(path)
    network = _selected(whole, reading.output, name)
    _check_types(network, name)
    fit = find_fit(network, reading.layout, name)
    heads = tuple(_named(output) for output in network.outputs)
    shape = fit.shape(*_tried_sizes(fit))
    shaped = reshaped(network, shape)
    assert shaped is not None, "this size was found to fit"
    endings = [
        activation_of(output, layout, _channels(output, layout), reading.activation, name)
        for output, layout in zip(shaped.outputs, fit.outputs, strict=True)
    ]
    outputs, activation = _common_kind(
        [(_channels(o, layout), end) for o, layout, (end, _) in zip(shaped.outputs, fit.outputs, endings, strict=True)],
        heads, name,
    )  # fmt: skip
    rescales = own_scaling(network)
    parameters = sum(
        int(np.prod(node.get_output_shape(0))) for node in network.get_ops()
        if node.get_type_name() == "Constant" and node.get_output_element_type(0).is_real()
    )  # fmt: skip
    whole_image = whole_image_operators(shaped, fit.layout, name)
    graph = _as_engines_want_it(network, fit, [end if added else "" for end, added in endings])
    _check_with_an_image(graph, fit, outputs, name)
    return OnnxNetwork(
        graph,
        ModelFacts(
            channels=fit.channels,
            n_classes=2 if activation == "sigmoid" else outputs,
            outputs=outputs,
            activation=activation,
            heads=heads,
            stride=fit.stride,
            parameters=parameters,
            rescales=rescales,
            fixed_size=fit.fixed_size,
        ),
        whole_image,
    )


def _read(path: Path) -> Any:
    try:
        return load_openvino().Core().read_model(path)
    except (RuntimeError, MemoryError) as error:
        raise DataError(f"{path.name} cannot be read by OpenVINO: {reason_of(error)}; export it again") from error


def _selected(whole: Any, output: str, name: str) -> Any:
    """The part that gives one output, or all of them, with the one input that it needs."""
    present = {_named(one): one for one in whole.outputs}
    if output and output not in present:
        raise DataError(
            f"{name} has no output {output!r} (model.output); it has {', '.join(_shown(one) for one in whole.outputs)}"
        )
    openvino, ops = load_openvino(), _operators()
    network = whole
    if output:
        result = ops.result(present[output].get_node().input_value(0))
        result.set_friendly_name(output)
        network = openvino.Model([result], _needed(whole, result))
    inputs = [_named(one) for one in network.inputs]
    if len(inputs) != 1:
        raise DataError(f"{name} takes {len(inputs)} inputs ({', '.join(inputs)}); expected one, the image")
    return network


def _needed(whole: Any, result: Any) -> list[Any]:
    """The inputs that lead to a result."""
    met, left = set[str](), [result]
    while left:
        node = left.pop()
        if node.get_name() not in met:
            met.add(node.get_name())
            left += [node.input_value(place).get_node() for place in range(node.get_input_size())]
    return [parameter for parameter in whole.get_parameters() if parameter.get_name() in met]


def _named(tensor: Any) -> str:
    names = sorted(tensor.get_names())
    return names[0] if names else str(tensor.get_node().get_friendly_name())


def _shown(output: Any) -> str:
    return f"{_named(output)!r} {output.get_partial_shape().to_string()}"


def _check_types(network: Any, name: str) -> None:
    image = network.inputs[0].get_element_type().get_type_name()
    if image not in _FLOATS:
        raise DataError(
            f"{name} takes an image of {image}; expected float32: export it without the conversion of types"
        )
    for output in network.outputs:
        kind = output.get_element_type().get_type_name()
        if kind not in _FLOATS:
            raise DataError(
                f"output {_shown(output)} of {name} is {kind}, as class numbers are; expected float32 probabilities or "
                "logits: choose another output by model.output, or export the network without its argmax"
            )


def _tried_sizes(fit: Fit) -> tuple[int, int]:
    if fit.fixed_size:
        return fit.fixed_size
    step = -(-_TRIED_SIDE // fit.stride) * fit.stride
    # Unequal, so that no side is taken for the other one.
    return 2 * step, 3 * step


def _channels(output: Any, layout: str) -> int:
    return int(output.get_shape()[1 if layout == "NCHW" else 3])


def _common_kind(kinds: Sequence[tuple[int, Activation]], heads: Sequence[str], name: str) -> tuple[int, Activation]:
    if len(set(kinds)) != 1:
        shown = ", ".join(f"{head!r} {kind}" for head, kind in zip(heads, kinds, strict=True))
        raise DataError(
            f"the outputs of {name} differ in (classes, activation): {shown}; choose one of them by model.output"
        )
    outputs, activation = kinds[0]
    try:
        check_head(outputs, activation)
    except ArgumentError as error:
        raise DataError(f"output {heads[0]!r} of {name}: {error}") from error
    return outputs, activation


def _as_engines_want_it(network: Any, fit: Fit, added: Sequence[str]) -> Any:
    """The same computation from float32 (B, H, W, C) to float32 (B, H, W, outputs), with the activations added."""
    openvino, ops = load_openvino(), _operators()
    height, width = fit.fixed_size or (-1, -1)
    image = ops.parameter([1, height, width, fit.channels], np.float32, name="image")
    old = network.get_parameters()[0]
    seen = image.output(0)
    if fit.layout == "NCHW":
        seen = ops.transpose(seen, np.array(TO_NCHW)).output(0)
    kind = old.get_output_element_type(0)
    if kind.get_type_name() != "f32":
        seen = ops.convert(seen, kind.to_string()).output(0)
    old.output(0).replace(seen)
    results = []
    for place, (result, layout) in enumerate(zip(network.get_results(), fit.outputs, strict=True)):
        found = result.input_value(0)
        if layout == "NCHW":
            found = ops.transpose(found, np.array(TO_NHWC)).output(0)
        if result.get_output_element_type(0).get_type_name() != "f32":
            found = ops.convert(found, "f32").output(0)
        if added[place]:
            found = (ops.sigmoid(found) if added[place] == "sigmoid" else ops.softmax(found, 3)).output(0)
        end = ops.result(found)
        end.set_friendly_name(f"head_{place:03d}")
        results.append(end)
    graph = openvino.Model(results, [image])
    graph.validate_nodes_and_infer_types()
    return graph


def _check_with_an_image(graph: Any, fit: Fit, outputs: int, name: str) -> None:
    """Noise through the graph: the sizes are those that were worked out, and the values those of probabilities."""
    height, width = _tried_sizes(fit)
    image = check_image(height, width, fit.channels)
    try:
        compiled = load_openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = list(compiled(image).values())
    except (RuntimeError, MemoryError) as error:
        raise DataError(
            f"{name} does not compute an image of {height}x{width} pixels: {reason_of(error)}; export it again"
        ) from error
    for values in found:
        if values.shape != (1, height, width, outputs):
            raise DataError(f"{name} gives {values.shape} for an image of {height}x{width}, expected {outputs} classes")
        if said := no_probabilities(values):
            raise DataError(f"{name} {said}")


def _operators() -> Any:
    load_openvino()
    from openvino import opset13

    return opset13
