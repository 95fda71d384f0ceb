"""The engines of a worker: built once for a network, held for all shards, and tried for the plan of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import psutil
from distributed import Worker, WorkerPlugin, get_worker
from distributed.system import MEMORY_LIMIT
from numpy.typing import NDArray

from segscale.errors import ArgumentError, ConfigError, DataError, EngineError, PermanentError
from segscale.flows.checks.model import ModelFile
from segscale.flows.config.sections import Model
from segscale.flows.shards.timeout import other_limit
from segscale.flows.worker.engine import build_engine, engine_of_graph, quantised_engine
from segscale.storage.objects import ObjectStore
from segscale.tasks import engine_plan
from segscale.tasks.engine_plan import EnginePlan, versions
from segscale.tasks.engines import Engine, Precision
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.engines.selection import Choice, EngineName, choose_engine, look_around
from segscale.tasks.int8 import Int8Source
from segscale.tasks.kept_graph import kept_graph
from segscale.tasks.predict import PredictJob
from segscale.tasks.prediction import Asked, Prediction

PLUGIN = "segscale-engine"
ENGINE_SECONDS = 1800.0
"""The time limit of loading, converting and trying a network, which is no part of any shard's."""
GPU_EXTRA = "install the extra gpu (README.md)"


@dataclass(frozen=True, slots=True)
class EngineUnavailable:
    """A worker's answer where it cannot have the engine asked for."""

    reason: str


def plan_engine(
    job: PredictJob, store: ObjectStore, model: Model, asked: Asked, calibration: tuple[str, ...] = ()
) -> EnginePlan | EngineUnavailable:
    """`tasks.engine_plan.plan_engine` with the engines that this worker can have, tried on the shard of a job.

    For int8 images are drawn from the shards of `calibration`.
    """
    try:
        return plugin_of(asked).plan(job.ingest_key, store, model, calibration)
    except EngineError as error:
        return EngineUnavailable(str(error))


def plugin_of(asked: Asked) -> EnginePlugin:
    """Of the worker that this is called on, for the network that was asked for."""
    plugin = get_worker().plugins[plugin_name(asked)]
    assert isinstance(plugin, EnginePlugin)
    return plugin


def plugin_name(asked: Asked) -> str:
    """A name for each network: under one for all, drivers that share workers would get each other's."""
    reading = (f"{name}={value}" for name, value in asked.reading.said().items())
    return "-".join(map(str, (PLUGIN, asked.weights_sha256, asked.level, asked.ensemble, asked.flips, *reading)))


class _NoUseOfGpuError(EngineError):
    """A GPU is there, and the runtime computes on the CPU: it was installed without what GPUs need."""


class _HeldEngine:
    """The engine that this process computed with last: it has memory for no second one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[str, str, str] | None = None
        self._engine: Engine | None = None

    def get(self, key: tuple[str, str, str], build: Callable[[], Engine]) -> Engine:
        """The engine of this network, name and precision, built where another one is held, or none."""
        with self._lock:
            if self._engine is None or self._key != key:
                self._engine = None
                self._engine, self._key = build(), key
            return self._engine

    def put(self, network: str, engine: Engine) -> None:
        with self._lock:
            self._engine, self._key = engine, (network, engine.facts.name, engine.facts.precision + engine.facts.graph)


_HELD = _HeldEngine()


class EnginePlugin(WorkerPlugin):  # type: ignore[misc]  # distributed ships no types
    """Gives a worker the engines of one network: loaded and compiled once, when the first shard asks for it."""

    def __init__(self, model: ModelFile, asked: Asked, neighbours: int) -> None:
        self.model, self.asked, self.neighbours = model, asked, neighbours
        self.name = plugin_name(asked)

    def setup(self, worker: Worker) -> None:
        """Called by Dask on every worker, also on those that join later."""
        self._worker = worker

    def plan(self, ingest_key: str, store: ObjectStore, model: Model, calibration: tuple[str, ...] = ()) -> EnginePlan:
        """What this worker would predict a set with; the engine itself is kept for the shards to come.

        Where the choice is left to it, a GPU that Keras cannot use is no GPU, and a network that cannot be converted
        is for Keras. Raises EngineError where the engine or the precision asked for cannot be had.
        """
        here, engine, precision, said = look_around(), model.engine, model.precision, list[str]()
        while True:
            choice = choose_engine(engine, precision, here, onnx=model.is_onnx)
            choice = replace(choice, reason="; ".join([*said, choice.reason]))
            try:
                on_gpu = here.gpu and "auto" in (model.engine, model.precision)
                return self._plan(ingest_key, store, choice, on_gpu, model.max_dice_change, calibration)
            except _NoUseOfGpuError as error:
                here, reason = replace(here, gpu=False), str(error)
            except EngineError as error:
                if engine != "auto" or model.is_onnx or precision == "int8":
                    raise
                engine, reason = "keras", str(error)
            said.append(reason)

    def _plan(
        self,
        ingest_key: str,
        store: ObjectStore,
        choice: Choice,
        on_gpu: bool,
        max_dice_change: float,
        calibration: tuple[str, ...],
    ) -> EnginePlan:
        def build(name: EngineName, precision: Precision) -> Engine:
            built = self._build(name, precision)
            if on_gpu and name == "keras" and _is_cpu(built):
                raise _NoUseOfGpuError(f"a GPU is there, which {built.facts.version} cannot use: {GPU_EXTRA}")
            return built

        plan, engine = engine_plan.plan_engine(
            store,
            ingest_key,
            self.asked,
            choice,
            build,
            max_dice_change=max_dice_change,
            memory_bytes=self._spare_bytes(),
            int8=Int8Source(calibration or (ingest_key,), self._quantise),
        )
        _HELD.put(self.name, engine)
        return plan

    def _quantise(self, images: Mapping[str, NDArray[np.float32]], kept: int) -> tuple[OpenVinoGraph, Engine]:
        return quantised_engine(self.model, self.asked, self.neighbours, images, kept)

    def engine_for(self, prediction: Prediction, store: ObjectStore) -> Engine:
        """The engine that the plan record of this run names; the first call loads the network, that of int8 from
        the store.

        Raises PermanentError naming the differences where this worker cannot compute what was planned: results of
        another engine, precision or version are other numbers.
        """
        planned = {"precision": prediction.precision, "versions": prediction.versions, "heads": prediction.heads}
        name, precision = cast(EngineName, prediction.engine), cast(Precision, prediction.precision)
        try:
            engine = _HELD.get(
                (self.name, name, precision + prediction.versions.get("graph", "")),
                lambda: self._build_apart(name, precision, prediction, store),
            )
        except EngineError as error:
            raise _refusal(planned, str(error)) from error
        facts = engine.facts
        found = {"precision": facts.precision, "versions": versions(facts), "heads": facts.heads}
        if planned != found:
            raise _refusal(planned, str(found))
        return engine

    def _build_apart(
        self, engine: EngineName, precision: Precision, prediction: Prediction, store: ObjectStore
    ) -> Engine:
        with other_limit(ENGINE_SECONDS):
            if precision == "int8":
                return engine_of_graph(kept_graph(store, prediction.versions["graph"]), self.asked, self.neighbours)
            return self._build(engine, precision)

    def _build(self, engine: EngineName, precision: Precision) -> Engine:
        try:
            built = build_engine(self.model, self.asked, self.neighbours, engine, precision)
        except (DataError, ArgumentError, ConfigError) as error:
            raise EngineError(str(error)) from error
        if "GPU" in self._worker.state.total_resources and _is_cpu(built):
            raise EngineError(
                f'cluster.kind = "gpus" asks for a GPU, and {built.facts.version} computes on {built.facts.device}: '
                f'use engine keras and {GPU_EXTRA}, or "local" for workers on the CPU'
            )
        return built

    def _spare_bytes(self) -> int:
        """By how much this worker may grow before Dask pauses it, which it does at 0.8 of its limit."""
        limit = self._worker.memory_manager.memory_limit or MEMORY_LIMIT // self.neighbours
        return int(0.75 * limit) - int(psutil.Process().memory_info().rss)


def _is_cpu(engine: Engine) -> bool:
    return engine.facts.device.startswith("cpu")


def _refusal(planned: object, found: str) -> PermanentError:
    return PermanentError(
        f"this worker cannot do what the run was planned with: planned {planned}, it has {found}; give all "
        "workers the same versions and devices, or use another store"
    )
