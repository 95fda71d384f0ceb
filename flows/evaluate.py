"""The main job: ingest, predict (or score), report, over one set of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.cluster import Connection, check_cluster
from flows.config import EvaluationConfig
from flows.dataset import list_dataset
from flows.ingest import run_ingest
from flows.predict import check_model, run_predict
from flows.report import RunResult, run_report
from flows.score import run_score

P = ParamSpec("P")
R = TypeVar("R")


def check(config: EvaluationConfig) -> None:
    """Everything that can be wrong with a run before it starts. Raises ConfigError in one line; starts nothing."""
    check_dataset(config)
    if not config.predictions.path and not _has_predictions(config):
        check_model(config)


def check_dataset(config: EvaluationConfig) -> None:
    """The part of `check` that needs no model: the cluster can be had, and the data set is there."""
    check_cluster(config.cluster)
    list_dataset(config)


def _has_predictions(config: EvaluationConfig) -> bool:
    """Whether a manifest brings predictions and no model is asked for."""
    return not config.model.path and "prediction" in list_dataset(config)


@flow(name="evaluate-dataset")
def evaluate_dataset(config: EvaluationConfig) -> RunResult:
    """Evaluate a data set end to end; work that the store holds already is not done again."""
    with Connection(config.cluster) as connection:
        stages = [_stage("ingest", run_ingest)(config, connection)]
        if config.predictions.path or _has_predictions(config):
            stages.append(_stage("score", run_score)(config, connection))
        else:
            stages.append(_stage("predict", run_predict)(config, connection))
    return _stage("report", run_report, retries=2)(config, tuple(stages))


def _stage(name: str, body: Callable[P, R], retries: int = 0) -> Callable[P, R]:
    # A stage resumes by its ledger; the connection and the catalog are nothing to hash a cache key from.
    return task(name=name, retries=retries, cache_policy=NO_CACHE)(body)
