"""Predict: UNet++ over the shards of the store, counted as it goes."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from segscale.flows.checks.cluster import find_cluster
from segscale.flows.checks.extras import check_installed
from segscale.flows.checks.folders import check_folders
from segscale.flows.checks.model import check_model
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import list_dataset, require_catalog
from segscale.flows.ingest import over_catalog, shard_plans
from segscale.flows.measured import measuring
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.plan import give_model, resolve
from segscale.flows.run import Counted, Run
from segscale.flows.stage import StageSummary, run_stage
from segscale.flows.survey import check_as_counted
from segscale.flows.worker import work
from segscale.storage.catalog import rows_by_shard
from segscale.storage.ledger import Ledger
from segscale.storage.sources import file_name
from segscale.tasks import predict
from segscale.tasks.engine_plan import EnginePlan
from segscale.tasks.measuring import Measuring, stacks_of_images
from segscale.tasks.model_facts import ONNX
from segscale.tasks.predict import PredictJob
from segscale.tasks.prediction import Prediction


def run(config: EvaluationConfig, observer: Observer = UNOBSERVED) -> StageSummary:
    """Run UNet++ over an ingested data set and commit the counts of every image."""
    check(config)
    with Run(config, observer) as job, observer.turn():
        return observer.stage("predict", lambda: predict_images(job))


def check(config: EvaluationConfig) -> None:
    """What can be wrong before anything starts. Raises ConfigError."""
    check_installed("onnx" if config.model.is_onnx else "predict")
    find_cluster(config.cluster)
    store = config.store.open()
    require_catalog(config, store, scored=False)
    check_as_counted(config, store, list_dataset(config).images, scored=False)
    check_model(config)
    check_folders(config)


def predict_images(run: Run, only: Collection[str] | None = None) -> StageSummary:
    """Plan minus ledger, on the workers of the run; of `only` these keys where given."""
    return over_catalog(run, lambda catalog: _predict(run, catalog, only))


def _predict(run: Run, catalog: pd.DataFrame, only: Collection[str] | None) -> StageSummary:
    plan = resolve(run, catalog)
    ingested = shard_plans(run.config, catalog)
    jobs = jobs_of(run.config, catalog, plan.prediction)
    run.counted = counted_by(run.config, plan, jobs)
    planned = {key: ingested[job.ingest_key] for key, job in jobs.items() if only is None or key in only}
    if not Ledger(run.store).done(predict.STAGE).issuperset(planned):
        give_model(run)
    return run_stage(predict.STAGE, planned, jobs.__getitem__, work.predict_shard, run, plan.prediction)


def jobs_of(config: EvaluationConfig, catalog: pd.DataFrame, prediction: Prediction) -> dict[str, PredictJob]:
    """The jobs of a configuration."""
    return plan_predict(catalog, prediction, config.metrics.slices, measuring(config))


def plan_predict(
    catalog: pd.DataFrame, prediction: Prediction, slices: bool = False, measuring: Measuring | None = None
) -> dict[str, PredictJob]:
    """The jobs by their keys, in the order of the ingested shards."""
    jobs: dict[str, PredictJob] = {}
    for ingest_key, places in rows_by_shard(catalog).items():
        key = predict.predict_key(ingest_key, prediction, slices, measuring)
        stacks = stacks_of_images(catalog.iloc[places]) if measuring else {}
        jobs[key] = PredictJob(key, ingest_key, slices=slices, measuring=measuring, stacks=stacks)
    return jobs


def counted_by(config: EvaluationConfig, plan: EnginePlan, keys: Collection[str]) -> Counted:
    """What the report of a prediction is made of."""
    name = file_name(config.model.path).removesuffix(".keras").removesuffix(ONNX)
    return Counted(predict.STAGE, tuple(keys), name, plan)
