"""The calibration of a report as a Prefect flow: its tables are artifacts."""

from __future__ import annotations

from prefect import flow

from segscale.flows.prefect.artifacts import publish_table
from segscale.flows.reports.calibration import Calibration, write_map
from segscale.flows.reports.decided import calibration

SHOWN = ["stratum", "class_name", "head", "metric", "aggregation", "low", "high", "interval_low", "interval_high", "n",
         "n_missing", "n_label_maps", "sentence"]  # fmt: skip
"""Columns of the artifact of errors."""


@flow(name="calibrate-report")
def calibrate_report(
    report: str,
    by: tuple[str, ...] = (),
    unit: str | None = None,
    cluster_by: str | None = None,
    head: str | None = None,
    map_file: str | None = None,
) -> None:
    """The calibration of the report as `segscale.calibration` has it, and the map in `map_file` where that is named.

    Artifacts: `segscale-calibration-errors`, `segscale-calibration-recalibration` and `segscale-calibration-map`.
    """
    found = calibration(report, by=tuple(by), unit=unit, cluster_by=cluster_by, head=head)
    if map_file:
        write_map(map_file, found)
    _publish(found)


def _publish(found: Calibration) -> None:
    notes = "; ".join(found.notes)
    publish_table(found.errors[SHOWN], notes, "calibration", "errors")
    publish_table(found.recalibration, notes, "calibration", "recalibration")
    publish_table(found.map, notes, "calibration", "map")
