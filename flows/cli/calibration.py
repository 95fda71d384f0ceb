"""The command that says whether probabilities are as frequent as they say."""

from __future__ import annotations

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE

REPORT = "reports/lesions/0123456789ab"


@click.command(
    "calibration",
    short_help="Whether probabilities are as frequent as they say.",
    epilog=examples(
        f"segscale calibration {REPORT}",
        f"segscale calibration {REPORT} --by site --cluster-by patient_id",
        f"segscale calibration {REPORT} --map map.csv",
    ),
)
@click.argument("report", metavar="REPORT")
@click.option("--by", multiple=True, metavar="COLUMN", help="Strata: a column of per_image; may be repeated.")
@click.option("--unit", metavar="COLUMN", help="Units of evaluation, whose counts are summed; as in the run.")
@click.option("--cluster-by", metavar="COLUMN", help="What is independent, such as patients; as in the run.")
@click.option("--head", metavar="NAME", help="Of a network with several: one head alone.")
@click.option("--map", "map_file", metavar="FILE", help="Write the recalibration map: .csv, .json or .parquet.")
@options.as_json
def calibration_command(
    report: str, by: tuple[str, ...], unit: str | None, cluster_by: str | None, head: str | None,
    map_file: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Calibration errors of a run from its report alone, as bounds with intervals, and a map that takes them away."""
    from segscale.flows.cli.option_words import CALIBRATION
    from segscale.flows.config.spoken import settings_spoken
    from segscale.flows.reports import calibration

    with settings_spoken(CALIBRATION):
        if map_file:
            calibration.check_map_file(map_file)
        found = calibration.calibrate_report(report, calibration.Asking(by, unit, cluster_by, head))
        if map_file:
            calibration.write_map(map_file, found)
    print(calibration.to_json(found) if as_json else calibration.describe(found))
    return DONE
