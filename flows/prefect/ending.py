"""How a run ends on the server: what its state says, and that one with too many failed images is Failed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TypeVar, cast
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRunPolicy, State
from prefect.exceptions import FailedRun, PrefectException
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from segscale.errors import ConfigError, DataError, FirstImagesError, StoreError
from segscale.flows.config.sections import Report
from segscale.flows.report import RunResult
from segscale.flows.stage import StageSummary
from segscale.storage.enumeration import counted
from segscale.tasks import reasons
from segscale.tasks.metrics.findings import Finding

R = TypeVar("R")
logger = logging.getLogger("segscale")
SAME_AGAIN = (ConfigError, DataError, FirstImagesError, StoreError)
"""What another attempt cannot change: the configuration or the data is wrong."""
REASONS = 5
"""Told in a message; the artifact `segscale-NAME-reasons` has all."""


class FailedImagesError(FailedRun):
    """What a flow that is Failed for its images raises: a worker of Prefect shows it as the reason."""

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result


def end_of_run(result: RunResult, allowed: Report) -> RunResult:
    """The state of a run with a report, for a flow to return; above `report.max_failure_rate` it is Failed for good.

    It holds the result, which `result_of` gives back.
    """
    said = reasons.counts_in_words(result.n_images, result.n_failed, result.n_missing)
    lines = [
        *_too_many(result.n_failed, result.n_images, allowed),
        *(line.strip() for line in reasons.in_words(result.reasons[:REASONS], result.n_failed)),
        *map(_one_line, result.findings),
        f"report: {result.path}",
    ]
    return _ended(result, [said, *lines], allowed.forbids(result.n_failed, result.n_images))


def end_of_stage(summary: StageSummary, allowed: Report) -> StageSummary:
    """The same of a stage alone, of which the images that it did now count."""
    said = (
        f"{summary.stage}: {counted(summary.shards, 'shard')}, {summary.reused} of them done before; "
        f"{counted(summary.images, 'image')} now, {summary.failed} failed"
    )
    lines = _too_many(summary.failed, summary.images, allowed)
    return _ended(summary, [said, *lines], allowed.forbids(summary.failed, summary.images))


def result_of(state: State[R]) -> R:
    """What a flow came to, also where its run is Failed for the images that failed. Raises what the flow raised."""
    found: object = state.result(raise_on_failure=False)
    if isinstance(found, FailedImagesError):
        return cast(R, found.result)
    if isinstance(found, BaseException):
        raise found
    return cast(R, found)


def let_it_rest() -> None:
    """Let nobody try this flow run again, whatever PREFECT_FLOWS_DEFAULT_RETRIES asks for: it would end the same."""
    this = flow_run.id
    if this is None:
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(this), empirical_policy=FlowRunPolicy(retries=0))
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("prefect: retries of this run stay as they are (%s)", type(error).__name__)


def _ended(result: R, lines: Iterable[str], failed: bool) -> R:
    message = "; ".join(lines)
    # Prefect takes a state that a flow returns for the flow's own.
    if failed:
        let_it_rest()
        return cast(R, Failed(message=message, data=FailedImagesError(message, result)))
    return cast(R, Completed(message=message, data=result))


def _too_many(n_failed: int, n_images: int, allowed: Report) -> list[str]:
    if not allowed.forbids(n_failed, n_images):
        return []
    return [f"more than report.max_failure_rate = {allowed.max_failure_rate:g} allows"]


def _one_line(finding: Finding) -> str:
    return f"{finding.severity}: {finding.cause} ({finding.evidence})"
