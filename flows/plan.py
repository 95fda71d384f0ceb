"""The plan record: engine, precision and batch of a run, resolved once by a worker and committed."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pandas as pd

from segscale.flows.checks.model import ModelFile, check_facts
from segscale.flows.config.evaluation import ConfigError, EvaluationConfig
from segscale.flows.errors import ClusterLostError
from segscale.flows.ingest import shard_plans
from segscale.flows.run import Run
from segscale.flows.shards.retry import Finished, Limits
from segscale.storage.ledger import Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.tasks import predict
from segscale.tasks.engine_plan import EnginePlan, as_record
from segscale.tasks.predict import Prediction

if TYPE_CHECKING:
    from segscale.flows.worker.engine_plugin import PlanJob

logger = logging.getLogger("segscale")
PLAN = "plan"
SAMPLES = 3
"""So many shards are tried to plan on, where workers end at one."""


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
            "versions": {name: _version(name) for name in ("keras", "tensorflow", "openvino", *backend)},
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


def resolve(run: Run, catalog: pd.DataFrame) -> Plan:
    """The plan record: as it was committed, or resolved now by a worker, on the first shard, and committed."""
    config, model, store = run.config, run.model, run.store
    known = find_plan(config, model, store)
    if known is not None:
        return known
    from segscale.flows.worker.engine_plugin import ENGINE_SECONDS, PlanJob

    give_model(run)
    chosen = (config.model.engine, config.model.precision)
    planned, basis = shard_plans(config, catalog), _asked(config, model)
    jobs = [PlanJob(key, chosen, config.model.max_dice_change, basis) for key in _samples(catalog)]
    limits = Limits(lambda key: ENGINE_SECONDS + planned[key].seconds)
    plan, prediction = _ask(run, jobs, limits)
    check_facts(config, plan.facts.n_classes, plan.facts.channels)
    logger.info("predict: %s, %s on %s: %s", plan.facts.name, plan.facts.precision, plan.facts.device, plan.reason)
    if plan.batch:
        logger.info("predict: batches of %d images: %s", plan.batch.n_images, plan.batch.reason)
    Ledger(store).record(PLAN, plan_key(config, model), {"prediction": asdict(prediction), "engine": as_record(plan)})
    resolved = find_plan(config, model, store)
    assert resolved is not None
    return resolved


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


def give_model(run: Run) -> None:
    """Tell the workers which network this run predicts with."""
    from segscale.flows.cluster.scheduler import answered, neighbours
    from segscale.flows.worker.engine import ModelRequest
    from segscale.flows.worker.engine_plugin import EnginePlugin

    asked, client = run.config.model, run.workers.client
    request = ModelRequest(
        run.model.url, run.model.sha256, asked.level, asked.ensemble, asked.flips, neighbours(client)
    )
    answered(client, client.register_plugin, EnginePlugin(request))


def _ask(run: Run, jobs: Sequence[PlanJob], limits: Limits) -> tuple[EnginePlan, Prediction]:
    """What a worker plans with the first of the jobs at which no worker ends: an image that ends them is for the shards
    to find and quarantine."""
    from segscale.flows.worker.engine_plugin import EngineUnavailable, plan_engine

    reason = ""
    for job in jobs:
        (outcome,) = run.workers.stream(plan_engine, [job], run.store, limits=limits)
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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
