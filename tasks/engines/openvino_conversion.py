"""Conversion of a Keras network to an OpenVINO graph. Needs TensorFlow, which the engine itself does not."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import keras
import numpy as np

from segscale.errors import UnconvertibleError
from segscale.tasks.engines.heads import Level, choose_heads
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.engines.openvino_runtime import load_openvino, serialised, unreported
from segscale.tasks.networks import fixed_size, select_outputs, stride, with_policy
from segscale.tasks.networks.input_scaling import own_scaling
from segscale.tasks.networks.whole_image import whole_image_layers

CONVERTERS = ("openvino", "keras", "tensorflow")
"""The libraries that a converted graph depends on."""

_LARGEST_DIFFERENCE = 1e-3
"""Between the probabilities of a network and of its graph; rounding alone stays a hundred times below."""


def convert(model: keras.Model, level: Level, ensemble: bool) -> OpenVinoGraph:
    """The part of `model` that `level` and `ensemble` need, as a graph for images of any size.

    Keras must run on TensorFlow. Raises ValueError for a level that is not there, and UnconvertibleError for a network
    that cannot be converted, or whose graph gives other numbers than the network.
    """
    assert keras.backend.backend() == "tensorflow", "a graph is traced by TensorFlow"
    heads = choose_heads(model.output_names, level, ensemble)
    # A network that was trained in mixed precision holds casts, which would stay in the graph.
    network = with_policy(select_outputs(model, heads.computed), "float32")
    graph = _trace(network)
    multiple = stride(network)
    _check_agreement(network, graph, multiple)
    topology, weights = serialised(graph)
    return OpenVinoGraph(
        topology=topology,
        weights=weights,
        heads=heads,
        outputs=int(network.outputs[0].shape[-1]),
        channels=int(network.inputs[0].shape[-1]),
        stride=multiple,
        rescales=own_scaling(network),
        whole_image=whole_image_layers(network),
        fixed_size=fixed_size(network),
        made_with=", ".join(f"{name} {importlib.metadata.version(name)}" for name in CONVERTERS),
    )


def _trace(network: keras.Model) -> Any:
    import tensorflow as tf

    def heads(image: Any) -> dict[str, Any]:
        found = network(image, training=False)
        found = found if isinstance(found, list | tuple) else [found]
        # OpenVINO sorts outputs by their names.
        return {f"output_{place:03d}": head for place, head in enumerate(found)}

    sides = fixed_size(network) or (None, None)
    image = tf.TensorSpec((None, *sides, network.inputs[0].shape[-1]), tf.float32, name="image")
    try:
        with unreported():
            concrete = tf.function(heads, autograph=False).get_concrete_function(image)
            return load_openvino().convert_model(concrete)
    except Exception as error:  # Keras, TensorFlow and OpenVINO each raise their own, and OpenVINO plain Exception.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnconvertibleError(
            f"model {network.name!r} cannot be converted for the engine openvino: {reason}; use engine keras"
        ) from error


def _check_agreement(network: keras.Model, graph: Any, multiple: int) -> None:
    """Compare both on noise of a size that no layer can have been traced for, unless the network has but one."""
    shape = (1, *(fixed_size(network) or (2 * multiple, 3 * multiple)), network.inputs[0].shape[-1])
    image = np.random.default_rng(0).random(shape, np.float32)
    expected = network(image, training=False)
    compiled = load_openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(image)
    for place, head in enumerate(expected if isinstance(expected, list | tuple) else [expected]):
        if not np.allclose(found[place], head, atol=_LARGEST_DIFFERENCE, rtol=_LARGEST_DIFFERENCE, equal_nan=True):
            raise UnconvertibleError(
                f"model {network.name!r} gives other probabilities as an OpenVINO graph, output "
                f"{network.output_names[place]!r} by {np.abs(found[place] - np.asarray(head)).max():.2g}; "
                "use engine keras"
            )
