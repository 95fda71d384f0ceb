"""The predict flow: UNet++ over the shards of the store, counted as it goes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from distributed import Client
from prefect import flow

from flows import worker
from flows.cluster import ClusterLostError, Connection, threads_per_worker
from flows.config import ConfigError, EvaluationConfig
from flows.dataset import require_catalog
from flows.stage import StageSummary, run_stage
from flows.stream import Lost, stream_shards
from flows.worker import EnginePlugin, EngineQuestion, EngineRequest
from storage.catalog import rows_by_shard
from storage.ledger import Ledger, content_key
from storage.objects import ObjectStore
from storage.sources import file_name, read_catalogued, read_file
from tasks import predict
from tasks.engines import EngineFacts
from tasks.models.bundled import bundled_path
from tasks.predict import Prediction, PredictJob

logger = logging.getLogger("segscale")
BUILT_ENGINES, BUILT_PRECISIONS = ("auto", "keras"), ("auto", "float32")
PLAN = "plan"


@flow(name="predict-dataset")
def predict_dataset(config: EvaluationConfig) -> StageSummary:
    """Run UNet++ over an ingested data set and commit the counts of every image."""
    with Connection(config.cluster) as connection:
        return run_predict(config, connection)


def run_predict(config: EvaluationConfig, connection: Connection) -> StageSummary:
    """The body of the flow: plan minus ledger, on the workers of `connection`."""
    store = ObjectStore(config.store.path)
    catalog = require_catalog(config, store)
    request = request_engine(config)
    prediction = resolve(config, catalog, request, store, connection)
    images = {key: len(rows) for key, rows in rows_by_shard(catalog).items()}
    jobs = plan_predict(catalog, prediction)
    planned = {key: images[job.ingest_key] for key, job in jobs.items()}
    if not Ledger(store).done(predict.STAGE).issuperset(planned):
        connection.client.register_plugin(EnginePlugin(request))
    return run_stage(predict.STAGE, planned, jobs.__getitem__, worker.predict_shard, connection, store, prediction)


def plan_predict(catalog: pd.DataFrame, prediction: Prediction) -> dict[str, PredictJob]:
    """The jobs by their keys, in the order of the ingested shards."""
    jobs = (PredictJob(predict.predict_key(key, prediction), key) for key in rows_by_shard(catalog))
    return {job.key: job for job in jobs}


def request_engine(config: EvaluationConfig) -> EngineRequest:
    """Which engine the workers shall hold. Raises ConfigError for what is not built, or a model that is not there."""
    model = config.model
    if model.engine not in BUILT_ENGINES:
        raise ConfigError(f"model.engine: {model.engine!r} is not built yet; use one of {list(BUILT_ENGINES)}")
    if model.precision not in BUILT_PRECISIONS:
        raise ConfigError(f"model.precision: {model.precision!r} is not built yet; use one of {list(BUILT_PRECISIONS)}")
    if not model.path:
        raise ConfigError("model.path: expected a .keras file or the name of a bundled model (or predictions.path)")
    try:
        url = bundled_path(model.path) if "." not in model.path else model.path
        sha256 = hashlib.sha256(read_file(url)).hexdigest()
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"model.path: expected a .keras file or a bundled model, got {model.path!r}: {error}"
        ) from None
    threads = threads_per_worker(config.cluster)
    return EngineRequest(url, sha256, "keras", "float32", model.level, model.ensemble, threads)


def plan_key(config: EvaluationConfig, catalog: pd.DataFrame, request: EngineRequest) -> str:
    """The key of the plan record: what was asked for, and the shard that it was resolved on."""
    return content_key(
        {
            "model": config.model.model_dump(mode="json", exclude={"path"}),
            "weights": request.weights_sha256,
            "n_classes": len(config.dataset.classes),
            "threshold": config.metrics.threshold,
            "keep": config.store.keep,
            "first_shard": str(catalog["shard"].min()),
            # Another version of what computes is another plan, not a refusal of the old one.
            "versions": {name: version(name) for name in ("keras", "tensorflow")},
            "backend": os.environ.get("KERAS_BACKEND", ""),
            "code_version": predict.CODE_VERSION,
        }
    )


def find_plan(
    config: EvaluationConfig, catalog: pd.DataFrame, request: EngineRequest, store: ObjectStore
) -> Prediction | None:
    """The plan record of this run, if it was resolved before."""
    entry = Ledger(store).find(PLAN, plan_key(config, catalog, request))
    if entry is None:
        return None
    return Prediction(**{**entry.facts, "heads": tuple(entry.facts["heads"])})


def resolve(
    config: EvaluationConfig, catalog: pd.DataFrame, request: EngineRequest, store: ObjectStore, connection: Connection
) -> Prediction:
    """The plan record: as it was committed, or resolved now by asking a worker for its engine, and committed."""
    known = find_plan(config, catalog, request, store)
    if known is not None:
        return known
    facts = _describe(connection.client, request)
    _check_facts(config, facts.n_classes, facts.channels)
    prediction = Prediction(
        weights_sha256=request.weights_sha256,
        engine=facts.name,
        precision=facts.precision,
        versions=worker.versions(facts),
        heads=facts.heads,
        # A network made elsewhere has its outputs and no levels.
        level=config.model.level if facts.heads[0].startswith(("head_", "ensemble")) else 0,
        ensemble=config.model.ensemble,
        flips=False,
        n_classes=facts.n_classes,
        batch_size=config.model.batch_size,
        # Eight images of 256x256 keep the activations of the published network under 4 GB.
        batch_pixels=8 * 256 * 256,
        tile=config.model.tile,
        overlap=config.model.overlap,
        threshold=config.metrics.threshold,
        keep=config.store.keep,
    )
    logger.info("predict: engine %s, %s on %s", facts.name, facts.precision, facts.device)
    Ledger(store).record(PLAN, plan_key(config, catalog, request), asdict(prediction))
    resolved = find_plan(config, catalog, request, store)
    assert resolved is not None
    return resolved


def _describe(client: Client, request: EngineRequest) -> EngineFacts:
    client.register_plugin(EnginePlugin(request))
    for outcome in stream_shards(client, worker.describe_engine, [EngineQuestion("engine")]):
        if isinstance(outcome, Lost):
            raise ClusterLostError(f"predict: no worker could build the engine: {outcome.error}")
        assert isinstance(outcome.result, EngineFacts)
        return outcome.result
    raise AssertionError("a stream of one job has one outcome")


def check_model(config: EvaluationConfig) -> None:
    """Load the model in a process of its own and hold it against the configuration, before anything starts.

    Raises ConfigError for a corrupt file, another number of classes or channels, or a level it does not have.
    """
    request = request_engine(config)
    facts = _inspect(request.model_url, request.weights_sha256)
    _check_facts(config, facts["n_classes"], facts["channels"])
    if facts["levels"] and config.model.level not in facts["levels"]:
        raise ConfigError(f"model.level: expected one of {facts['levels']}, got {config.model.level}")


@lru_cache(maxsize=8)
def _inspect(url: str, sha256: str) -> dict[str, Any]:
    """The facts of the model with this hash; asked for once in a process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file_name(url)
        path.write_bytes(read_catalogued(url, sha256))
        # -P: nothing in the folder that the command was given in may stand in for a module.
        command = [sys.executable, "-P", "-m", "tasks.models.inspection", str(path)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        said = (answer.stderr.strip().splitlines() or ["no reason"])[-1].replace(str(path), url)
    if answer.returncode != 0:
        raise ConfigError(f"model.path: {said}")
    facts: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return facts


def _check_facts(config: EvaluationConfig, n_classes: int, channels: int) -> None:
    classes = config.dataset.classes
    if n_classes != len(classes):
        raise ConfigError(
            f"model.path: expected a model of {len(classes)} classes ({', '.join(classes)}), "
            f"{config.model.path} tells {n_classes} apart"
        )
    if channels not in (1, 3):
        raise ConfigError(f"model.path: expected a model of 1 or 3 channels, {config.model.path} takes {channels}")
    if config.dataset.channels not in (0, channels):
        raise ConfigError(f"dataset.channels: expected what the model takes, {channels}, got {config.dataset.channels}")
