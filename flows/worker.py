"""What runs on a worker: the bodies of tasks/, with the worker's own compiled engine where they need one."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from distributed import Worker, WorkerPlugin, get_worker

from flows.stream import PermanentError
from storage.objects import ObjectStore
from storage.sources import file_name, read_file
from tasks import ingest, predict, scan, score
from tasks.engines import Engine, EngineFacts
from tasks.ingest import ShardDone
from tasks.predict import Prediction, PredictJob
from tasks.scan import SourceFacts
from tasks.score import Counting, ScoreJob
from tasks.shard_plan import IngestJob, Preparation

PLUGIN = "segscale-engine"


@dataclass(frozen=True, slots=True)
class ScanJob:
    """Files of one role to be hashed, (url, version) each."""

    key: str
    role: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class EngineQuestion:
    """Asks a worker for its engine."""

    key: str


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """Which engine a worker shall hold."""

    model_url: str
    weights_sha256: str
    engine: str
    precision: Literal["float32", "bfloat16", "float16"]
    level: int
    ensemble: bool
    threads: int
    """Threads of one operation; 0: what the runtime chooses. Changes the speed only."""


def scan_files(job: ScanJob) -> list[SourceFacts]:
    """Hash and inspect files; one that cannot be fetched comes back with its error and is looked at again next time."""
    found = []
    for url, version in job.files:
        try:
            found += scan.inspect_files(job.role, [(url, version)])
        except OSError as error:
            reason = f"{file_name(url)}: cannot be read: {error.strerror or type(error).__name__}"
            found.append(SourceFacts(job.role, url, version, "", error_type=type(error).__name__, error=reason))
    return found


def ingest_shard(job: IngestJob, store: ObjectStore, preparation: Preparation) -> ShardDone:
    """`tasks.ingest.ingest_shard`, timed."""
    return _timed(lambda: ingest.ingest_shard(store, job, preparation))


def score_shard(job: ScoreJob, store: ObjectStore, preparation: Preparation, counting: Counting) -> ShardDone:
    """`tasks.score.score_shard`, timed."""
    return _timed(lambda: score.score_shard(store, job, preparation, counting))


def predict_shard(job: PredictJob, store: ObjectStore, prediction: Prediction) -> ShardDone:
    """`tasks.predict.predict_shard` with this worker's engine, timed."""
    return _timed(lambda: predict.predict_shard(store, job, prediction, _plugin().engine_for(prediction)))


def describe_engine(_: EngineQuestion) -> EngineFacts:
    """What the engine of this worker is; builds it."""
    return _plugin().engine.facts


def _timed(work: Callable[[], ShardDone]) -> ShardDone:
    start = time.monotonic()
    return replace(work(), seconds=time.monotonic() - start)


def _plugin() -> EnginePlugin:
    plugin = get_worker().plugins[PLUGIN]
    assert isinstance(plugin, EnginePlugin)
    return plugin


class EnginePlugin(WorkerPlugin):  # type: ignore[misc]  # distributed ships no types
    """Owns a worker's engine: loaded and compiled once, when the first shard asks for it."""

    name = PLUGIN

    def __init__(self, request: EngineRequest) -> None:
        self.request = request

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - the name is Dask's
        """Called by Dask on every worker, also on those that join later."""
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine; the first call loads the network."""
        with self._lock:
            if self._engine is None:
                self._engine = build_engine(self.request)
            return self._engine

    def engine_for(self, prediction: Prediction) -> Engine:
        """The engine, if it computes what the plan record of this run says.

        Raises PermanentError naming the differences: results of another engine or version are other numbers.
        """
        engine = self.engine
        planned = {"precision": prediction.precision, "versions": prediction.versions, "heads": prediction.heads}
        found = {"precision": engine.facts.precision, "versions": versions(engine.facts), "heads": engine.facts.heads}
        if planned != found:
            raise PermanentError(
                f"this worker cannot do what the run was planned with: planned {planned}, it has {found}; give all "
                "workers the same versions and devices, or use another store"
            )
        return engine


def versions(facts: EngineFacts) -> dict[str, str]:
    """What of an engine must be equal on all workers for their numbers to be."""
    return {"engine": facts.name, "runtime": facts.version, "device": facts.device}


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


def build_engine(request: EngineRequest) -> Engine:
    """Load the network that was asked for and make it callable.

    Raises ValueError where the file at the URL is not the one the run was planned with.
    """
    data = read_file(request.model_url)
    found = hashlib.sha256(data).hexdigest()
    if found != request.weights_sha256:
        raise ValueError(
            f"model {request.model_url}: planned with sha256 {request.weights_sha256[:12]}, here is {found[:12]}"
        )
    # TensorFlow is imported on the workers only, and only by those that predict.
    with _no_chatter():
        from tasks.engines.keras import KerasEngine, limit_threads
        from tasks.models.model_file import load_model

    # Every bucket has a shape of its own, and each is traced once: that is meant, and no reason to warn.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    limit_threads(request.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data)
        model = load_model(path)
    return KerasEngine(
        model, level=request.level, ensemble=request.ensemble, precision=request.precision, threads=request.threads
    )
