"""A model file converted to an OpenVINO graph, once for all runs: ``python -m segscale.tasks.conversion ...``.

A program of its own, so that a worker computes with OpenVINO and never has TensorFlow in its memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from segscale.errors import EngineError, SegscaleError, UnconvertibleError
from segscale.tasks.engines.graph_cache import cache_folder, cached_graph, graph_path
from segscale.tasks.engines.heads import Level
from segscale.tasks.engines.openvino_graph import OpenVinoGraph, write_graph
from segscale.tasks.engines.openvino_runtime import NOT_INSTALLED, openvino_is_installed
from segscale.tasks.loaded_network import add_reading, limit_memory, load_network, reading_arguments, versions_of
from segscale.tasks.model_facts import AS_IT_IS, ModelReading

CODE_VERSION = 3
"""Raised with every change of tasks/engines/openvino_conversion.py that changes graphs or their facts."""

_UNUSABLE, _UNCONVERTIBLE = 2, 3
"""Exit codes: the model or the level; what OpenVINO cannot express."""


def converted_graph(
    model: Path,
    weights_sha256: str,
    level: Level,
    ensemble: bool,
    folder: Path | None = None,
    *,
    reading: ModelReading = AS_IT_IS,
) -> OpenVinoGraph:
    """The graph of a `.keras` or `.onnx` file, from the cache (`cache_folder()` unless given) or converted now.

    `weights_sha256` is the hash of the file, and of what lies beside it; `reading` is how it is read. Raises
    UnconvertibleError where a layer has no counterpart in OpenVINO, EngineError where OpenVINO is not installed, and
    ValueError for a file that cannot be used or a level it lacks.
    """
    if not openvino_is_installed():
        raise EngineError(NOT_INSTALLED)
    identity = _identity(weights_sha256, level, ensemble, reading)
    return cached_graph(
        identity, lambda path: _convert(model, path, level, ensemble, reading), folder or cache_folder()
    )


def is_converted(weights_sha256: str, level: Level, ensemble: bool, reading: ModelReading = AS_IT_IS) -> bool:
    """Whether the cache has a graph of this name; it may turn out to be damaged."""
    try:
        return graph_path(_identity(weights_sha256, level, ensemble, reading), cache_folder()).exists()
    except OSError:
        # A folder that this user may not even look into.
        return False


def convert_here(model: Any, weights_sha256: str, level: Level, ensemble: bool, reading: ModelReading) -> None:
    """Put the graph of a `Loaded` network into the cache, unless it is there; Keras must run on TensorFlow.

    Raises UnconvertibleError where it cannot be converted, or the level is not there.
    """

    def make(path: Path) -> None:
        write_graph(model.graph(level, ensemble), path)

    cached_graph(_identity(weights_sha256, level, ensemble, reading), make, cache_folder())


def _identity(weights_sha256: str, level: Level, ensemble: bool, reading: ModelReading) -> dict[str, object]:
    return {
        "weights": weights_sha256,
        "level": level,
        "ensemble": ensemble,
        "versions": versions_of("openvino", "keras", "tensorflow"),
        "code_version": CODE_VERSION,
        **({"reading": reading.said()} if reading.said() else {}),
    }


def _convert(model: Path, graph: Path, level: Level, ensemble: bool, reading: ModelReading) -> None:
    # -P: nothing in the folder that the command was given in may stand in for a module.
    command = [sys.executable, "-P", "-m", "segscale.tasks.conversion", str(model), str(graph), "--level", str(level)]
    command += [*(["--ensemble"] if ensemble else []), *reading_arguments(reading)]
    # Whatever Keras runs on elsewhere, a graph is traced by TensorFlow, and no GPU is worth waking up for it.
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if answer.returncode == 0:
        return
    said = (answer.stderr.strip().splitlines() or [f"it ended with {answer.returncode}"])[-1]
    if answer.returncode == _UNCONVERTIBLE:
        raise UnconvertibleError(said)
    raise EngineError(said if answer.returncode == _UNUSABLE else f"{model} could not be converted: {said}")


def main() -> int:
    """Convert and exit 0, or print in one line why not and exit 2 or 3."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(prog="segscale.tasks.conversion")
    parser.add_argument("model", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--level", default="all", type=lambda level: level if level == "all" else int(level))
    parser.add_argument("--ensemble", action="store_true")
    add_reading(parser)
    asked = parser.parse_args()
    limit_memory(asked.model)
    try:
        write_graph(load_network(asked.model, asked.reading).graph(asked.level, asked.ensemble), asked.graph)
    except SegscaleError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return _UNCONVERTIBLE if isinstance(error, UnconvertibleError) else _UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
