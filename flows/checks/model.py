"""The model of a run, looked at before anything starts: in a process of its own, which goes on to convert it."""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segscale.errors import ArgumentError, ConfigError, DataError, EngineError, UrlError
from segscale.flows.checks.extras import check_installed
from segscale.flows.checks.onnx_files import BesideFile, look_at_onnx, put_onnx
from segscale.flows.checks.paths import A_MODEL
from segscale.flows.cluster.machine import local_workers
from segscale.flows.config.cluster_keys import OWN_MACHINE
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.storage.sources import file_name, read_catalogued, read_file
from segscale.tasks.conversion import is_converted
from segscale.tasks.engines import Precision
from segscale.tasks.engines.hardware import cpu_flags, has_float16, sees_nvidia_gpu
from segscale.tasks.engines.heads import Level
from segscale.tasks.engines.openvino import check_precision
from segscale.tasks.engines.quantisation import NOT_INSTALLED as QUANTISER_MISSING
from segscale.tasks.engines.quantisation import nncf_is_installed
from segscale.tasks.engines.selection import ONNX_ON_CPUS, choose_engine
from segscale.tasks.inspection import known_facts
from segscale.tasks.loaded_network import reading_arguments
from segscale.tasks.model_facts import ModelReading, is_onnx
from segscale.tasks.models.bundled import bundled_path

INSPECTION_SECONDS = 300
"""Far more than the largest network needs; a damaged file of weights can keep its library busy for ever."""

_GIVEN = dict.fromkeys(("unit", "window", "percentile"), "0 to 1") | {"zscore": "values around 0"}

KERAS_BACKENDS = ("tensorflow", "jax")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The model of a run."""

    url: str
    sha256: str
    """Of all that lies in the files: of a network in ONNX, of those beside it as well."""
    beside: tuple[BesideFile, ...] = ()
    """Of a network in ONNX: the files beside it that hold weights."""


def find_model(config: EvaluationConfig) -> ModelFile:
    """Where the model lies, and its hash. Raises ConfigError for one that is not there."""
    path = config.model.path
    if not path:
        raise ConfigError(f"model.path: expected {A_MODEL} (or predictions.path)")
    try:
        url = bundled_path(path) if "." not in path else path
        if is_onnx(url):
            return ModelFile(url, *look_at_onnx(url))
        return ModelFile(url, hashlib.sha256(read_file(url)).hexdigest())
    except (ArgumentError, UrlError, OSError) as error:
        raise ConfigError(f"model.path: expected {A_MODEL}, got {path!r}: {error}") from None
    except (DataError, EngineError) as error:
        raise ConfigError(f"model.path: {error}") from None


def check_model(config: EvaluationConfig) -> None:
    """Load the model in a process of its own and hold it against the configuration, before anything starts.

    Raises ConfigError for a corrupt file, another number of classes or channels, a level it does not have, or an engine
    that this machine does not have, where the workers are its own.
    """
    onnx = config.model.is_onnx
    check_installed("onnx" if onnx else "predict")
    if onnx and (config.cluster.kind == "gpus" or config.model.engine == "keras"):
        raise ConfigError(f"model.path: {ONNX_ON_CPUS}: {config.model.path}")
    if config.model.layout and not onnx:
        raise ConfigError(
            "model.layout: says where a network in ONNX has its channels; leave it out with a .keras file"
        )
    model = find_model(config)
    if config.cluster.kind == "gpus" and config.model.engine == "openvino":
        raise ConfigError('model.engine: openvino computes on CPUs, and cluster.kind = "gpus" is for GPUs; use keras')
    if config.cluster.kind in OWN_MACHINE:
        try:
            choice = choose_engine(config.model.engine, config.model.precision, onnx=onnx)
            if onnx or config.model.engine == "openvino" or choice.precision == "int8":
                check_precision(choice.precision, cpu_flags())
            if choice.precision == "int8" and not nncf_is_installed():
                raise EngineError(QUANTISER_MISSING)
            if choice.engine == "keras":
                _check_backend(os.environ.get("KERAS_BACKEND") or "tensorflow")
            _check_float16(config, choice.precision)
        except EngineError as error:
            raise ConfigError(f"model: {error}") from None
    try:
        facts = _begin_inspection(model, config.model.reading, _graph_needed(config)).facts()
    except ConfigError:
        # The process has said it once: who asks again, as a service does, looks again.
        _begin_inspection.cache_clear()
        raise
    check_facts(config, facts["n_classes"], facts["channels"], facts["rescales"])
    if facts["levels"] and config.model.level not in [*facts["levels"], "all"]:
        raise ConfigError(
            f'model.level: expected {", ".join(map(str, facts["levels"]))} or "all", got {config.model.level}'
        )


def _check_backend(backend: str) -> None:
    """Raise EngineError for a backend that the engine keras does not run on, or that is not installed."""
    if backend not in KERAS_BACKENDS:
        raise EngineError(f"engine keras runs on {' or '.join(KERAS_BACKENDS)}, KERAS_BACKEND is {backend!r}")
    if find_spec(backend) is None:
        raise EngineError(f"engine keras is asked to run on {backend} (KERAS_BACKEND), which is not installed")


def _check_float16(config: EvaluationConfig, precision: Precision) -> None:
    """Raise EngineError where neither Keras nor OpenVINO will have float16 on the workers of this machine."""
    if precision != "float16":
        return
    cluster = config.cluster
    # Local workers beside each other see no GPU.
    gpu = cluster.kind == "gpus" or (sees_nvidia_gpu() and local_workers(cluster) == 1)
    if not gpu and not has_float16(cpu_flags()):
        raise EngineError("precision float16 is not there: this CPU has no instruction for it; use float32")


def check_facts(config: EvaluationConfig, n_classes: int, channels: int, rescales: str) -> None:
    """Raise ConfigError where a model tells other classes apart than the data set, takes other channels, or scales
    stored values itself (`rescales` says how) and would get others."""
    classes = config.dataset.classes
    if n_classes != len(classes):
        raise ConfigError(
            f"model.path: expected a model of {len(classes)} classes ({', '.join(classes)}), "
            f"{config.model.path} tells {n_classes} apart"
        )
    if config.dataset.channels not in (0, channels):
        raise ConfigError(f"dataset.channels: expected what the model takes, {channels}, got {config.dataset.channels}")
    if rescales and config.dataset.normalize != "none":
        raise ConfigError(
            f"model.path, dataset.normalize: {config.model.path} rescales stored values by itself: {rescales}; "
            f"normalize = {config.dataset.normalize!r} would give it {_GIVEN[config.dataset.normalize]}: set "
            'dataset.normalize = "none", which gives it the values as they are stored (0 to 255 of 8-bit images), or '
            "save the model without that layer"
        )


@dataclass(frozen=True, slots=True)
class _Graph:
    """What of a network is to be converted for OpenVINO."""

    level: Level
    ensemble: bool


def _graph_needed(config: EvaluationConfig) -> _Graph | None:
    """What workers on this machine will want converted; None where they will not, or where it is in the cache."""
    if config.cluster.kind != "local":
        return None
    try:
        choice = choose_engine(config.model.engine, config.model.precision, onnx=config.model.is_onnx)
    except EngineError:
        return None
    return _Graph(config.model.level, config.model.ensemble) if choice.engine == "openvino" else None


class _Inspection:
    """A model that was looked at before, or that a process of its own is looking at."""

    def __init__(self, url: str, known: dict[str, Any] | None, process: _Process | None) -> None:
        self._url, self._known, self._process = url, known, process

    def facts(self) -> dict[str, Any]:
        """Waits for the process where nothing is known. Raises ConfigError where the file cannot be used."""
        if self._known is None:
            assert self._process is not None
            self._known = self._process.facts(self._url)
        return self._known


@lru_cache(maxsize=8)
def _begin_inspection(model: ModelFile, reading: ModelReading, graph: _Graph | None) -> _Inspection:
    """Begun once for a model in a process, whoever asks first."""
    known = known_facts(model.sha256, reading=reading)
    if known is not None and (graph is None or is_converted(model.sha256, graph.level, graph.ensemble, reading)):
        return _Inspection(model.url, known, None)
    return _Inspection(model.url, known, _Process(model, reading, graph))


class _Process:
    """``python -m segscale.tasks.inspection``: says in a line what it found, then converts what is to be converted."""

    def __init__(self, model: ModelFile, reading: ModelReading, graph: _Graph | None) -> None:
        # Kept until the process has loaded the file.
        self._folder = tempfile.TemporaryDirectory(prefix="segscale-model-")
        self._path = self._put(model)
        # -P: nothing in the folder that the command was given in may stand in for a module.
        command = [sys.executable, "-P", "-m", "segscale.tasks.inspection", str(self._path), model.sha256]
        command += reading_arguments(reading)
        if graph is not None:
            command += ["--convert", str(graph.level), *(["--ensemble"] if graph.ensemble else [])]
        # Whatever Keras runs on elsewhere, a graph is traced by TensorFlow, and no GPU is worth waking up for it.
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
        # Errors into a file: a pipe that nobody reads any more would fill up.
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment
            )

    def _put(self, model: ModelFile) -> Path:
        folder = Path(self._folder.name)
        if is_onnx(model.url):
            # In a folder of its own: nothing that the network names may be taken for anything else of ours.
            own = folder / "network"
            own.mkdir()
            return put_onnx(model.url, model.sha256, model.beside, own)
        path = folder / file_name(model.url)
        path.write_bytes(read_catalogued(model.url, model.sha256))
        return path

    @property
    def _errors(self) -> Path:
        return Path(self._folder.name) / "errors.txt"

    def facts(self, url: str) -> dict[str, Any]:
        """Raises ConfigError where the file cannot be used, or takes too long."""
        with self._folder:
            line = self._line()
            if line:
                facts: dict[str, Any] = json.loads(line)
                return facts
            text = self._errors.read_text(errors="replace") if self._errors.exists() else ""
        said = (text.strip().splitlines() or ["no reason"])[-1].replace(str(self._path), url)
        raise ConfigError(f"model.path: {said}")

    def _line(self) -> bytes:
        """What the process says; nothing of one that has ended without a word, or had to be ended."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], INSPECTION_SECONDS)
        if not readable:
            self._process.kill()
            with self._errors.open("a") as errors:
                errors.write(f"\n{self._path} could not be loaded within {INSPECTION_SECONDS} s; save it anew\n")
            return b""
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
        return bytes(line)
