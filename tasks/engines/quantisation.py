"""A graph for OpenVINO quantised to int8 on some images: ``python -m segscale.tasks.engines.quantisation ...``.

A program of its own, so that what NNCF brings along, and what it prints, stays out of a worker.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import EngineError
from segscale.tasks.engines.graph_cache import cache_folder, cached_graph
from segscale.tasks.engines.openvino_graph import OpenVinoGraph, read_graph, write_graph
from segscale.tasks.engines.openvino_runtime import load_openvino, reason_of, serialised, unreported

CODE_VERSION = 1
"""Raised with every change of this file that changes graphs."""
LEAST_IMAGES = 16
"""Of fewer, the largest values that a layer gives are guesswork."""
NOT_INSTALLED = "precision int8 needs NNCF, which is not installed: pip install 'segscale[int8]'"

_CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})


def nncf_is_installed() -> bool:
    """Whether the package is there; it is not imported."""
    return importlib.util.find_spec("nncf") is not None


def quantise(
    graph: OpenVinoGraph, images: Mapping[str, NDArray[np.float32]], kept: int = 1, folder: Path | None = None
) -> OpenVinoGraph:
    """A graph in int8 of one in float32, for `OpenVinoEngine(..., precision="int8")`.

    `images` are float32 (H, W, channels) by their ids, as the network sees them (`seen_image`); they tell how large the
    values of each layer get, so they must be like those to come. Layers stay in float32 that have fewer than `kept`
    other convolutions before or behind them: 1 for the first and the last. Equal content is quantised once and kept in
    `folder` (`cache_folder()` unless given). Raises EngineError for fewer images than `LEAST_IMAGES`, one that is not
    finite, and where NNCF is not installed or fails.
    """
    if not nncf_is_installed():
        raise EngineError(NOT_INSTALLED)
    if len(images) < LEAST_IMAGES:
        raise EngineError(f"precision int8 needs {LEAST_IMAGES} images or more to be calibrated on, got {len(images)}")
    for name, image in images.items():
        if not np.isfinite(image).all():
            raise EngineError(f"precision int8 cannot be calibrated on image {name}: it holds NaN or infinite values")
    identity = {
        "quantised": [hashlib.sha256(part).hexdigest() for part in (graph.topology, graph.weights)],
        "images": _digest(images),
        "kept": kept,
        "versions": {name: importlib.metadata.version(name) for name in ("nncf", "openvino")},
        "code_version": CODE_VERSION,
    }
    return cached_graph(identity, lambda path: _run(graph, images, kept, path), folder or cache_folder())


def _digest(images: Mapping[str, NDArray[np.float32]]) -> str:
    found = hashlib.sha256()
    for image in images.values():
        found.update(f"{image.shape}".encode())
        found.update(np.ascontiguousarray(image).tobytes())
    return found.hexdigest()


def _run(graph: OpenVinoGraph, images: Mapping[str, NDArray[np.float32]], kept: int, result: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="segscale-") as name:
        given, seen = Path(name) / "graph.zip", Path(name) / "images.npz"
        write_graph(graph, given)
        np.savez(seen, *images.values())
        # -P: nothing in the folder that the command was given in may stand in for a module.
        command = [sys.executable, "-P", "-m", "segscale.tasks.engines.quantisation", given, seen, result]
        answer = subprocess.run([*map(str, command), str(kept)], capture_output=True, text=True, check=False)
    if answer.returncode:
        said = (answer.stderr.strip().splitlines() or [f"it ended with {answer.returncode}"])[-1]
        raise EngineError(f"the network cannot be quantised to int8: {said}")


def _quantised(graph: OpenVinoGraph, images: list[NDArray[np.float32]], kept: int) -> OpenVinoGraph:
    with unreported():
        nncf: Any = importlib.import_module("nncf")
        network = load_openvino().Core().read_model(graph.topology, graph.weights)
        found = nncf.quantize(
            network,
            nncf.Dataset([image[np.newaxis] for image in images]),
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=sorted(outer_layers(network, kept))),
        )
    topology, weights = serialised(found)
    made_with = f"{graph.made_with}, nncf {importlib.metadata.version('nncf')}"
    return replace(graph, topology=topology, weights=weights, made_with=made_with, quantised=True)


def outer_layers(network: Any, kept: int) -> set[str]:
    """The names of the convolutions with fewer than `kept` others on a way to the input, or to an output."""
    operations = network.get_ordered_ops()
    before, behind = dict[str, int](), dict[str, int]()
    for operation in operations:
        sources = [value.get_source_output().get_node() for value in operation.inputs()]
        # Constants lie on no way from the input.
        ways = [_passed(before, source) for source in sources if source.get_friendly_name() in before]
        if ways or operation.get_type_name() == "Parameter":
            before[operation.get_friendly_name()] = min(ways, default=0)
    for operation in reversed(operations):
        targets = [target.get_node() for value in operation.outputs() for target in value.get_target_inputs()]
        ways = [_passed(behind, target) for target in targets if target.get_friendly_name() in behind]
        if ways or operation.get_type_name() == "Result":
            behind[operation.get_friendly_name()] = min(ways, default=0)
    return {
        name
        for name in before.keys() & behind.keys()
        if min(before[name], behind[name]) < kept and name in _names_of_convolutions(operations)
    }


def _passed(known: Mapping[str, int], neighbour: Any) -> int:
    """Convolutions on the shortest way through a neighbour."""
    return known[neighbour.get_friendly_name()] + (neighbour.get_type_name() in _CONVOLUTIONS)


def _names_of_convolutions(operations: Any) -> set[str]:
    return {one.get_friendly_name() for one in operations if one.get_type_name() in _CONVOLUTIONS}


def main() -> int:
    """Quantise and exit 0, or print in one line why not and exit 2."""
    parser = argparse.ArgumentParser(prog="segscale.tasks.engines.quantisation")
    for name in ("graph", "images", "result"):
        parser.add_argument(name, type=Path)
    parser.add_argument("kept", type=int)
    asked = parser.parse_args()
    with np.load(asked.images, allow_pickle=False) as held:
        images = [held[name] for name in held.files]
    try:
        write_graph(_quantised(read_graph(asked.graph), images, asked.kept), asked.result)
    except Exception as error:  # noqa: BLE001  # NNCF and OpenVINO raise what they like, plain Exception too.
        print(reason_of(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
