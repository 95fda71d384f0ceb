"""The engine of a worker: the network of a run, made callable with the cores that are the worker's own."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dask.system import CPU_COUNT

from segscale.flows.config.cluster_keys import THREADS
from segscale.storage.sources import read_file
from segscale.tasks.engines import Engine, Precision
from segscale.tasks.engines.flips import FlippedEngine
from segscale.tasks.engines.heads import Level
from segscale.tasks.engines.selection import EngineName

logger = logging.getLogger("segscale")


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Which network a worker shall hold."""

    model_url: str
    weights_sha256: str
    level: Level
    ensemble: bool
    flips: bool
    neighbours: int
    """Workers on one machine, which share its cores; changes the speed only."""


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


def build_engine(request: ModelRequest, engine: EngineName, precision: Precision) -> Engine:
    """Load the network that was asked for and make it callable.

    Raises ValueError where the file at the URL is not the one the run was planned with, or for an engine, a level or a
    precision that cannot be had.
    """
    data = read_file(request.model_url)
    found = hashlib.sha256(data).hexdigest()
    if found != request.weights_sha256:
        raise ValueError(
            f"model {request.model_url}: planned with sha256 {request.weights_sha256[:12]}, here is {found[:12]}"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data)
        make = _openvino_engine if engine == "openvino" else _keras_engine
        built = make(path, request, precision)
    return FlippedEngine(built) if request.flips else built


def threads_of(request: ModelRequest) -> int:
    """Threads for one engine, so that the workers of one machine do not fight for its cores.

    SEGSCALE_THREADS says it where workers get their shares from something else: jobs, pods.
    """
    given = os.environ.get(THREADS)
    if given is not None:
        if not given.isdecimal() or int(given) == 0:
            raise ValueError(f"{THREADS}: expected a number of threads, 1 or more, got {given!r}")
        return int(given)
    cores: int = CPU_COUNT
    return max(1, cores // request.neighbours)


def _keras_engine(path: Path, request: ModelRequest, precision: Precision) -> Engine:
    # TensorFlow is imported on the workers only, and only by those that compute with it.
    try:
        with _no_chatter():
            from segscale.tasks.engines.keras import KerasEngine, prepare_runtime
            from segscale.tasks.models.model_file import load_model
    except ImportError as error:
        raise ValueError(f"engine keras cannot be loaded on this worker: {error}") from error

    # Every bucket has a shape of its own, and each is traced once: that is meant, and no reason to warn.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        prepare_runtime(threads_of(request))
    except ValueError as error:
        # JAX has no such setting, and TensorFlow keeps the one that an earlier run on this worker gave it: it is about
        # speed, and no reason to do nothing.
        logger.warning("predict: %s", error)
    return KerasEngine(load_model(path), level=request.level, ensemble=request.ensemble, precision=precision)


def _openvino_engine(path: Path, request: ModelRequest, precision: Precision) -> Engine:
    from segscale.tasks.conversion import converted_graph
    from segscale.tasks.engines.openvino import OpenVinoEngine

    graph = converted_graph(path, request.weights_sha256, request.level, request.ensemble)
    return OpenVinoEngine(graph, precision=precision, threads=threads_of(request))
