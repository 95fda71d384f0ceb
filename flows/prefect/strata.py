"""Strata and tails of a report as a Prefect flow: its rows are artifacts."""

from __future__ import annotations

from prefect import flow

from segscale.flows.prefect.artifacts import publish_table
from segscale.flows.reports.decided import strata
from segscale.flows.reports.strata import ORDER

GAPS = [
    "stratum",
    "class_name",
    "metric",
    "mean",
    "mean_of_rest",
    "gap",
    "low",
    "high",
    "margin",
    "told",
    "n",
    "sentence",
]
TAILS = ["stratum", "class_name", "metric", "n", "n_below", "share_below", "share_low", "share_high", "worst_mean",
         "worst_low", "worst_high", "n_missing", "sentence"]  # fmt: skip
"""Columns of the artifacts."""


@flow(name="report-strata")
def report_strata(
    report: str,
    by: tuple[str, ...] | None = None,
    metric: str = "dice",
    margin: float = 0.01,
    below: float = 0.5,
    worst: float = 0.05,
    unit: str | None = None,
    cluster_by: str | None = None,
    head: str | None = None,
) -> int:
    """Tell the strata of the report as `segscale.strata` does, and return how many were shown to be lower.

    Artifacts: `segscale-strata`, the gaps, those that are lower first, and `segscale-tails`.
    """
    found = strata(
        report, by=None if by is None else tuple(by), metric=metric, margin=margin, below=below, worst=worst, unit=unit,
        cluster_by=cluster_by, head=head,
    )  # fmt: skip
    gaps = found.gaps.sort_values("told", key=lambda one: one.map(ORDER.index), kind="stable")
    n_lower = int((gaps["told"] == "lower").sum())
    publish_table(gaps[GAPS], f"{n_lower} of {len(gaps)} strata score lower by more than {margin:g}", "strata")
    publish_table(found.tails[TAILS], f"{metric} below {below:g}, and the worst {worst:.0%}", "tails")
    return n_lower
