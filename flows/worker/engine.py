"""The engine of a worker: the network of a run, made callable with the cores that are the worker's own."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
from dask.system import CPU_COUNT
from numpy.typing import NDArray

from segscale.errors import ArgumentError, ConfigError, EngineError
from segscale.flows.checks.model import ModelFile
from segscale.flows.checks.onnx_files import put_onnx
from segscale.flows.config.cluster_keys import THREADS
from segscale.storage.sources import read_file
from segscale.tasks.engines import Engine, Precision
from segscale.tasks.engines.flips import FlippedEngine
from segscale.tasks.engines.heads import Level
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.engines.selection import EngineName
from segscale.tasks.model_facts import is_onnx
from segscale.tasks.prediction import Asked

logger = logging.getLogger("segscale")


@contextmanager
def _no_chatter() -> Iterator[None]:
    """Keep what TensorFlow's libraries say while they are loaded off the terminal; no setting of theirs does."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def build_engine(model: ModelFile, asked: Asked, neighbours: int, engine: EngineName, precision: Precision) -> Engine:
    """Load the network that was asked for and make it callable.

    `neighbours` are the workers of one machine, which share its cores; their number changes the speed only. Raises
    EngineError where the file at the URL is not the one the run was planned with, or for an engine or a precision that
    cannot be had; and what the file or the level is refused with.
    """
    threads = threads_of(neighbours)
    with tempfile.TemporaryDirectory() as folder:
        path = _put_model(model, Path(folder))
        make = _openvino_engine if engine == "openvino" else _keras_engine
        built = make(path, asked, precision, threads)
    return FlippedEngine(built) if asked.flips else built


def quantised_engine(
    model: ModelFile, asked: Asked, neighbours: int, images: Mapping[str, NDArray[np.float32]], kept: int
) -> tuple[OpenVinoGraph, Engine]:
    """The network that was asked for in int8, calibrated on `images`: see `segscale.tasks.engines.quantisation`."""
    from segscale.tasks.engines.quantisation import quantise

    with tempfile.TemporaryDirectory() as folder:
        graph = quantise(_graph_of(_put_model(model, Path(folder)), asked), images, kept)
    return graph, engine_of_graph(graph, asked, neighbours)


def engine_of_graph(graph: OpenVinoGraph, asked: Asked, neighbours: int) -> Engine:
    """A quantised graph made callable, with the cores that are this worker's own."""
    from segscale.tasks.engines.openvino import OpenVinoEngine

    built = OpenVinoEngine(graph, precision="int8", threads=threads_of(neighbours))
    return FlippedEngine(built) if asked.flips else built


def _put_model(model: ModelFile, folder: Path) -> Path:
    if is_onnx(model.url):
        return put_onnx(model.url, model.sha256, model.beside, folder)
    data, path = read_file(model.url), folder / "model.keras"
    found = hashlib.sha256(data).hexdigest()
    if found != model.sha256:
        raise EngineError(f"model {model.url}: planned with sha256 {model.sha256[:12]}, here is {found[:12]}")
    path.write_bytes(data)
    return path


def threads_of(neighbours: int) -> int:
    """Threads for one engine, so that the workers of one machine do not fight for its cores.

    SEGSCALE_THREADS says it where workers get their shares from something else: jobs, pods.
    """
    given = os.environ.get(THREADS)
    if given is not None:
        if not given.isdecimal() or int(given) == 0:
            raise ConfigError(f"{THREADS}: expected a number of threads, 1 or more, got {given!r}")
        return int(given)
    cores: int = CPU_COUNT
    return max(1, cores // neighbours)


def _keras_engine(path: Path, asked: Asked, precision: Precision, threads: int) -> Engine:
    # TensorFlow is imported on the workers only, and only by those that compute with it.
    try:
        with _no_chatter():
            from segscale.tasks.engines.keras import KerasEngine, prepare_runtime
            from segscale.tasks.models.model_file import load_model
    except ImportError as error:
        raise EngineError(f"engine keras cannot be loaded on this worker: {error}") from error

    # Every bucket has a shape of its own, and each is traced once: that is meant, and no reason to warn.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        prepare_runtime(threads)
    except (ArgumentError, ConfigError) as error:
        # JAX has no such setting, and TensorFlow keeps the one that an earlier run on this worker gave it: it is about
        # speed, and no reason to do nothing.
        logger.warning("predict: %s", error)
    network = load_model(path, asked.reading)
    return KerasEngine(network, level=cast(Level, asked.level), ensemble=asked.ensemble, precision=precision)


def _openvino_engine(path: Path, asked: Asked, precision: Precision, threads: int) -> Engine:
    from segscale.tasks.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(_graph_of(path, asked), precision=precision, threads=threads)


def _graph_of(path: Path, asked: Asked) -> OpenVinoGraph:
    from segscale.tasks.conversion import converted_graph

    level = cast(Level, asked.level)
    return converted_graph(path, asked.weights_sha256, level, asked.ensemble, reading=asked.reading)
