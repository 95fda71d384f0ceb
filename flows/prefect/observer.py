"""Prefect as the observer of a run: tasks, artifacts, and a limit to the runs over one data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TypeVar

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from segscale.flows.observer import Observer
from segscale.flows.prefect.artifacts import (
    publish_link,
    publish_path,
    publish_table,
    publish_text,
    set_progress,
    start_progress,
)
from segscale.flows.prefect.concurrency import turn
from segscale.flows.prefect.ending import SAME_AGAIN
from segscale.flows.prefect.gap import gap_of_report
from segscale.flows.prefect.names import name_of
from segscale.flows.report import PAGE, RunResult
from segscale.flows.stage import StageSummary
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report

R = TypeVar("R")


class PrefectObserver(Observer):
    """Of a run inside a Prefect flow; artifacts are under the name of the data set.

    `served` is the address under which reports are served, "" where they are not.
    """

    def __init__(self, dataset: str, served: str = "") -> None:
        self._dataset, self._served = dataset, served

    def turn(self) -> AbstractContextManager[None]:
        return turn(self._dataset)

    def stage(self, name: str, body: Callable[[], R], retries: int = 0) -> R:
        # A closure, for Prefect looks into arguments; and nothing to hash a cache key from: a stage has its ledger.
        def run_stage() -> R:
            return body()

        as_task = task(
            name=name,
            task_run_name=name_of(self._dataset, name),
            retries=retries,
            retry_condition_fn=_may_help,
            cache_policy=NO_CACHE,
        )
        return as_task(run_stage)()

    def progress(self, stage: str) -> Callable[[float], None]:
        artifact = start_progress(self._dataset, stage)
        return lambda percent: set_progress(artifact, percent)

    def table(self, rows: pd.DataFrame, description: str, name: str) -> None:
        publish_table(rows, description, self._dataset, name)

    def reported(self, result: RunResult, stages: Sequence[StageSummary]) -> None:
        said = f"{result.n_failed} of {result.n_images} images failed"
        if result.n_missing:
            said += f", {result.n_missing} of them for want of a usable prediction"
        report = Report(ObjectStore(result.path))
        publish_table(result.headline, said, self._dataset)
        publish_text(gap_of_report(report), "Pooled against per-sample", self._dataset, "gap")
        done = pd.DataFrame([asdict(stage) for stage in stages])
        publish_table(done, "What was done now, and what before", self._dataset, "stages")
        if result.n_failed:
            failures = report.table("failures")
            shown = failures[["image_id", "stage", "error_type", "message"]]
            publish_table(shown, said, self._dataset, "failures")
            grouped = pd.DataFrame([asdict(reason) for reason in result.reasons])
            publish_table(grouped, f"{said}: why, with an example of each reason", self._dataset, "reasons")
        if result.findings:
            found = pd.DataFrame([asdict(finding) for finding in result.findings])
            publish_table(found, "What says that the run is wrong, or may mislead", self._dataset, "findings")
        if self._served:
            page = f"{self._served}/{self._dataset}/{result.run_id}/{PAGE}"
            publish_link(page, "The page of this run", self._dataset, "page")
        else:
            publish_path(result.page, "The page of this run; report.url makes it a link", self._dataset, "page")
        publish_path(result.path, "The Parquet tables of this run", self._dataset, "report")


def _may_help(_task: object, _run: object, state: State[object]) -> bool:
    """Whether trying a stage again can end otherwise: not where the configuration or the data is wrong."""
    return not isinstance(state.result(raise_on_failure=False), SAME_AGAIN)
