"""The jobs as Prefect flows: each hands its configuration to the plain function, and an observer along with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Flow, flow

from segscale.flows import evaluate, ingest, predict, report, score, train
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.config.sections import Report
from segscale.flows.maintenance import repair
from segscale.flows.maintenance.repair import Repair
from segscale.flows.prefect.cancelled import until_cancelled
from segscale.flows.prefect.ending import SAME_AGAIN, end_of_run, end_of_stage, let_it_rest
from segscale.flows.prefect.log_lines import log_lines_at_the_server
from segscale.flows.prefect.names import name_of_run
from segscale.flows.prefect.observer import PrefectObserver
from segscale.flows.report import RunResult
from segscale.flows.stage import StageSummary

R = TypeVar("R")


def _as_it_is(result: R, _: Report) -> R:
    return result


def _observed(
    run: Callable[[EvaluationConfig, PrefectObserver], R],
    config: EvaluationConfig,
    end: Callable[[R, Report], R] = _as_it_is,
) -> R:
    def body() -> R:
        with log_lines_at_the_server():
            try:
                return end(run(config, PrefectObserver(config.dataset.name, config.report.url)), config.report)
            except SAME_AGAIN:
                let_it_rest()
                raise

    return until_cancelled(body)


@flow(name="evaluate-dataset", flow_run_name=name_of_run)
def evaluate_dataset(config: EvaluationConfig) -> RunResult:
    """Evaluate a data set end to end; work that the store holds already is not done again."""
    return _observed(evaluate.run, config, end_of_run)


@flow(name="ingest-dataset", flow_run_name=name_of_run)
def ingest_dataset(config: EvaluationConfig) -> StageSummary:
    """Normalise a data set and chunk it into the Zarr shards of the store."""
    return _observed(ingest.run, config, end_of_stage)


@flow(name="predict-dataset", flow_run_name=name_of_run)
def predict_dataset(config: EvaluationConfig) -> StageSummary:
    """Run UNet++ over an ingested data set and commit the counts of every image."""
    return _observed(predict.run, config, end_of_stage)


@flow(name="score-dataset", flow_run_name=name_of_run)
def score_dataset(config: EvaluationConfig) -> StageSummary:
    """Count existing predictions against their references."""
    return _observed(score.run, config, end_of_stage)


@flow(name="report-dataset", flow_run_name=name_of_run)
def report_dataset(config: EvaluationConfig) -> RunResult:
    """Write the report of a data set whose predictions are counted."""
    return _observed(report.run, config, end_of_run)


@flow(name="repair-dataset", flow_run_name=name_of_run)
def repair_dataset(config: EvaluationConfig) -> Repair:
    """Verify every byte, set aside what is broken, and do just that work again."""
    return _observed(repair.run, config)


@flow(name="train-model", flow_run_name=name_of_run)
def train_model(config: EvaluationConfig) -> str:
    """Ingest the images, train on their shards, save the model; returns the path of the `.keras` file."""
    return _observed(train.run, config)


FLOW_OF: dict[Callable[..., Any], Flow[..., Any]] = {
    evaluate.run: evaluate_dataset,
    ingest.run: ingest_dataset,
    predict.run: predict_dataset,
    score.run: score_dataset,
    report.run: report_dataset,
    repair.run: repair_dataset,
    train.run: train_model,
}
"""By the plain function of each job the flow around it."""
