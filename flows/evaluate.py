"""The main job: ingest, predict (or score), report, over one set of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from segscale.flows.checks.evaluation import check, scores_predictions
from segscale.flows.cluster.connection import Connection
from segscale.flows.cluster.preflight import needs_of
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import RunCatalog
from segscale.flows.ingest import run_ingest
from segscale.flows.predict import run_predict
from segscale.flows.prefect.concurrency import turn
from segscale.flows.report import RunResult, run_report
from segscale.flows.score import run_score

P = ParamSpec("P")
R = TypeVar("R")


@flow(name="evaluate-dataset")
def evaluate_dataset(config: EvaluationConfig) -> RunResult:
    """Evaluate a data set end to end; work that the store holds already is not done again."""
    check(config)
    with turn(config.dataset.name):
        catalog = RunCatalog(config)
        with Connection(config.cluster, needs_of(config)) as connection:
            stages = [_stage("ingest", run_ingest)(config, connection, catalog)]
            if scores_predictions(config, catalog.get()):
                stages.append(_stage("score", run_score)(config, connection, catalog))
            else:
                stages.append(_stage("predict", run_predict)(config, connection, catalog))
        return _stage("report", run_report, retries=2)(config, tuple(stages), catalog)


def _stage(name: str, body: Callable[P, R], retries: int = 0) -> Callable[P, R]:
    # A stage resumes by its ledger; the connection and the catalog are nothing to hash a cache key from.
    return task(name=name, retries=retries, retry_condition_fn=_may_help, cache_policy=NO_CACHE)(body)


def _may_help(_task: object, _run: object, state: State[object]) -> bool:
    """Whether trying a stage again can end otherwise: not where the configuration or the data is wrong."""
    return not isinstance(state.result(raise_on_failure=False), ValueError)
