"""Our engines, each by its name, from a model file as a worker builds them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, get_args

from segscale.tasks.engines import Engine, Precision

EngineName = Literal["keras", "openvino"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


def make_engine(
    name: EngineName, model: Path, *, level: int, precision: Precision, threads: int, device: str = ""
) -> Engine:
    """The engine of a `.keras` file. Raises ValueError where it is not installed, or this machine has it not.

    OpenVINO's graph is converted by another process and kept beside the model: TensorFlow is loaded for Keras alone.
    """
    if name == "openvino":
        from segscale.tasks.conversion import converted_graph
        from segscale.tasks.engines.openvino import OpenVinoEngine

        sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
        graph = converted_graph(model, sha256, level, False, model.parent)
        return OpenVinoEngine(graph, precision=precision, threads=threads)
    settle_threads(threads)
    from segscale.tasks.engines.keras import KerasEngine
    from segscale.tasks.models.model_file import load_model

    return KerasEngine(load_model(model), level=level, precision=precision, device=device)


def settle_threads(threads: int) -> None:
    """Give TensorFlow so many threads; to be called before its first operation, and making a model is one.

    JAX takes the processors that the process may use, and no number of them.
    """
    import keras

    from segscale.tasks.engines.keras import prepare_runtime

    prepare_runtime(threads if keras.backend.backend() == "tensorflow" else 0)
