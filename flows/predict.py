"""The predict flow: UNet++ over the shards of the store, counted as it goes."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from distributed import Client
from prefect import flow

from segscale.flows.checks.folders import check_folders
from segscale.flows.checks.model import ModelFile, check_facts, find_model
from segscale.flows.cluster.connection import ClusterLostError, Connection, neighbours
from segscale.flows.cluster.preflight import needs_of
from segscale.flows.cluster.scheduler import answered
from segscale.flows.config.evaluation import ConfigError, EvaluationConfig
from segscale.flows.dataset import RunCatalog
from segscale.flows.ingest import over_catalog, shard_plans
from segscale.flows.prefect.concurrency import turn
from segscale.flows.shards.retry import Finished, Limits
from segscale.flows.shards.stage import StageSummary, run_stage
from segscale.flows.shards.stream import stream_shards
from segscale.flows.versions import installed_version
from segscale.flows.worker import work as worker
from segscale.flows.worker.engine import ModelRequest
from segscale.flows.worker.work import EnginePlugin, EngineUnavailable, PlanJob
from segscale.storage.catalog import rows_by_shard
from segscale.storage.ledger import Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.tasks import predict
from segscale.tasks.engine_plan import EnginePlan, as_record
from segscale.tasks.predict import Prediction, PredictJob

logger = logging.getLogger("segscale")
PLAN = "plan"
SAMPLES = 3
"""So many shards are tried to plan on, where workers end at one."""


@flow(name="predict-dataset")
def predict_dataset(config: EvaluationConfig) -> StageSummary:
    """Run UNet++ over an ingested data set and commit the counts of every image."""
    check_folders(config)
    with turn(config.dataset.name), Connection(config.cluster, needs_of(config)) as connection:
        return run_predict(config, connection)


def run_predict(
    config: EvaluationConfig,
    connection: Connection,
    catalog: RunCatalog | None = None,
    only: Collection[str] | None = None,
) -> StageSummary:
    """The body of the flow: plan minus ledger, on the workers of `connection`; of `only` these keys where given."""
    return over_catalog(config, connection, catalog, lambda planned: _predict(config, connection, planned, only))


def _predict(
    config: EvaluationConfig, connection: Connection, catalog: pd.DataFrame, only: Collection[str] | None
) -> StageSummary:
    store = config.store.open()
    model = find_model(config)
    prediction = resolve(config, catalog, model, store, connection)
    ingested = shard_plans(config, catalog)
    jobs = plan_predict(catalog, prediction)
    planned = {key: ingested[job.ingest_key] for key, job in jobs.items() if only is None or key in only}
    if not Ledger(store).done(predict.STAGE).issuperset(planned):
        _give_model(config, model, connection)
    return run_stage(predict.STAGE, planned, jobs.__getitem__, worker.predict_shard, connection, store, prediction)


def plan_predict(catalog: pd.DataFrame, prediction: Prediction) -> dict[str, PredictJob]:
    """The jobs by their keys, in the order of the ingested shards."""
    jobs = (PredictJob(predict.predict_key(key, prediction), key) for key in rows_by_shard(catalog))
    return {job.key: job for job in jobs}


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan record of a run."""

    prediction: Prediction
    """What is part of every key."""
    engine: dict[str, Any]
    """How it was resolved: `segscale.tasks.engine_plan.EnginePlan` as plain values."""


def plan_key(config: EvaluationConfig, model: ModelFile) -> str:
    """The key of the plan record: what was asked for.

    The images are no part of it. What was resolved on the first of them holds for those that come later, so that a
    nightly run costs what changed; a data set of another name is resolved anew.
    """
    asked = os.environ.get("KERAS_BACKEND")
    backend = (asked,) if asked else ()
    return content_key(
        {
            "dataset": config.dataset.name,
            "model": config.model.model_dump(mode="json", exclude={"path"}),
            "weights": model.sha256,
            "n_classes": len(config.dataset.classes),
            "threshold": config.metrics.threshold,
            "keep": config.store.keep,
            # Another version of what computes is another plan, not a refusal of the old one.
            "versions": {name: installed_version(name) for name in ("keras", "tensorflow", "openvino", *backend)},
            "backend": "".join(backend),
            "code_version": predict.CODE_VERSION,
        }
    )


def find_plan(config: EvaluationConfig, model: ModelFile, store: ObjectStore) -> Plan | None:
    """The plan record of this run, if it was resolved before."""
    entry = Ledger(store).find(PLAN, plan_key(config, model))
    if entry is None:
        return None
    prediction: dict[str, Any] = entry.facts["prediction"]
    return Plan(Prediction(**{**prediction, "heads": tuple(prediction["heads"])}), entry.facts["engine"])


def resolve(
    config: EvaluationConfig, catalog: pd.DataFrame, model: ModelFile, store: ObjectStore, connection: Connection
) -> Prediction:
    """The plan record: as it was committed, or resolved now by a worker, on the first shard, and committed."""
    known = find_plan(config, model, store)
    if known is not None:
        return known.prediction
    _give_model(config, model, connection)
    chosen = (config.model.engine, config.model.precision)
    planned, basis = shard_plans(config, catalog), _asked(config, model)
    jobs = [PlanJob(key, chosen, config.model.max_dice_change, basis) for key in _samples(catalog)]
    limits = Limits(lambda key: worker.ENGINE_SECONDS + planned[key].seconds)
    plan, prediction = _ask(connection.client, jobs, store, limits)
    check_facts(config, plan.facts.n_classes, plan.facts.channels)
    logger.info("predict: %s, %s on %s: %s", plan.facts.name, plan.facts.precision, plan.facts.device, plan.reason)
    if plan.batch:
        logger.info("predict: batches of %d images: %s", plan.batch.n_images, plan.batch.reason)
    Ledger(store).record(PLAN, plan_key(config, model), {"prediction": asdict(prediction), "engine": as_record(plan)})
    resolved = find_plan(config, model, store)
    assert resolved is not None
    return resolved.prediction


def _samples(catalog: pd.DataFrame) -> list[str]:
    """The shards with the most images, of several the first in the catalog: what is found on one holds for the most."""
    return [str(key) for key in catalog["shard"].value_counts(sort=True).index[:SAMPLES]]


def _asked(config: EvaluationConfig, model: ModelFile) -> Prediction:
    return Prediction(
        weights_sha256=model.sha256,
        engine="",
        precision="",
        versions={},
        heads=(),
        level=config.model.level,
        ensemble=config.model.ensemble,
        flips=config.model.flips,
        n_classes=len(config.dataset.classes),
        batch_size=config.model.batch_size,
        batch_pixels=0,
        tile=config.model.tile,
        overlap=config.model.overlap,
        threshold=config.metrics.threshold,
        keep=config.store.keep,
    )


def _give_model(config: EvaluationConfig, model: ModelFile, connection: Connection) -> None:
    asked = config.model
    client = connection.client
    request = ModelRequest(model.url, model.sha256, asked.level, asked.ensemble, asked.flips, neighbours(client))
    answered(client, client.register_plugin, EnginePlugin(request))


def _ask(client: Client, jobs: Sequence[PlanJob], store: ObjectStore, limits: Limits) -> tuple[EnginePlan, Prediction]:
    """What a worker plans with the first of the jobs at which no worker ends: an image that ends them is for the shards
    to find and quarantine."""
    reason = ""
    for job in jobs:
        (outcome,) = stream_shards(client, worker.plan_engine, [job], store, limits=limits)
        if isinstance(outcome, Finished):
            if isinstance(outcome.result, EngineUnavailable):
                raise ConfigError(f"model: {outcome.result.reason}")
            plan: tuple[EnginePlan, Prediction] = outcome.result
            return plan
        reason = outcome.error
        if not outcome.deadly:
            break
        logger.warning("predict: shard %s cannot be planned on: %s", job.key[:12], reason)
    raise ClusterLostError(
        f"predict: no worker could try the network on a shard: {reason}; see the logs of the workers, and whether they "
        "have the memory for it"
    )
