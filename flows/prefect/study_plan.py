"""The plan of a study as a Prefect flow: sizes and curves are artifacts."""

from __future__ import annotations

from prefect import flow

from segscale.flows.prefect.artifacts import publish_table
from segscale.flows.reports.decided import plan

SIZES = ["stratum", "class_name", "metric", "aggregation", "goal", "target", "clusters", "clusters_low",
         "clusters_high", "images", "n_clusters", "now", "told", "sentence"]  # fmt: skip
"""Columns of the artifact."""


@flow(name="plan-study")
def plan_study(
    report: str,
    second: str | None = None,
    metric: str = "dice",
    aggregations: tuple[str, ...] = ("per_sample", "pooled"),
    width: float = 0.02,
    margin: float = 0.01,
    difference: float | None = None,
    power: float = 0.8,
    by: tuple[str, ...] = (),
    unit: str | None = None,
    cluster_by: str | None = None,
    head: str | None = None,
) -> int:
    """Plan a study as `segscale.plan` does, and return how many of its goals need more than there is.

    Artifacts: `segscale-plan`, the sizes, and `segscale-plan-curves`.
    """
    found = plan(
        report, second, metric=metric, aggregations=tuple(aggregations), width=width, margin=margin,
        difference=difference, power=power, by=tuple(by), unit=unit, cluster_by=cluster_by, head=head,
    )  # fmt: skip
    n_more = int((found.sizes["told"] == "more").sum())
    publish_table(found.sizes[SIZES], f"{n_more} of {len(found.sizes)} goals need more than there is", "plan")
    publish_table(found.curves, "what other sizes would tell", "plan", "curves")
    return n_more
