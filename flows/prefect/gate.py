"""The gate as a Prefect flow: its verdict is the state of the run, its rows are artifacts."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed

from segscale.flows.prefect.artifacts import publish_table, publish_text
from segscale.flows.reports.decided import gate
from segscale.flows.reports.gate import GateResult
from segscale.flows.reports.gate_files import markdown

SHOWN = ["stratum", "class_name", "metric", "aggregation", "question", "base", "new", "estimate", "low", "high",
         "bound", "verdict", "n", "n_missing_new", "sentence"]  # fmt: skip
"""Columns of the artifact."""


@flow(name="gate-reports")
def gate_reports(
    new: str,
    base: str | None = None,
    margin: dict[str, float] | None = None,
    floor: dict[str, float] | None = None,
    superior: tuple[str, ...] = (),
    aggregations: tuple[str, ...] = ("per_sample",),
    by: tuple[str, ...] = (),
    unit: str | None = None,
    cluster_by: str | None = None,
    head: str | None = None,
) -> State[Any]:
    """Judge the report at `new` as `segscale.gate` does.

    A run that passes ends as Completed. One that fails, or of which nothing can be told, is a failed run, whose state
    is called Fail or Cannot tell: automations tell them apart by that name. Artifacts: `segscale-gate`, a table of the
    rows, and `segscale-gate-verdict`, what `--markdown` writes.
    """
    found = gate(
        base, new, margin=margin, floor=floor, superior=tuple(superior), aggregations=tuple(aggregations),
        by=tuple(by), unit=unit, cluster_by=cluster_by, head=head,
    )  # fmt: skip
    _publish(found)
    return state_of(found)


def _publish(found: GateResult) -> None:
    publish_table(found.strata[SHOWN], found.summary, "gate")
    publish_text(markdown(found), found.verdict, "gate", "verdict")


def state_of(found: GateResult) -> State[Any]:
    """The state that a run with this verdict ends in."""
    if found.verdict == "pass":
        return Completed(message=found.summary)
    return State(type=StateType.FAILED, name=found.verdict.capitalize(), message=found.summary)
