"""A report held against nnU-Net's summary.json, as a Prefect flow: what differs, and why, are artifacts."""

from __future__ import annotations

from prefect import flow

from segscale.flows.prefect.artifacts import publish_table
from segscale.flows.reports.library import reconcile


@flow(name="reconcile-report")
def reconcile_report(report: str, summary: str, head: str | None = None) -> int:
    """Reconcile the report with a `summary.json` as `segscale.reconcile` does, and return how many numbers remain
    without an explanation.

    Artifacts: `segscale-reconcile-totals`, `segscale-reconcile-steps` and `segscale-reconcile-alone`, cases and labels
    that one side has alone.
    """
    found = reconcile(report, summary, head=head)
    n_open = int((found.totals["verdict"] == "cannot tell").sum())
    said = f"{n_open} of {len(found.totals)} numbers are not explained; {'; '.join(found.notes)}"
    for name in ("totals", "steps", "alone"):
        publish_table(found.tables[name], said, "reconcile", name)
    return n_open
