"""The command that says which strata are worse off than the others, and how bad the worst images are."""

from __future__ import annotations

import click

from segscale.flows.cli.help import examples


@click.command(
    "strata",
    short_help="Which groups of images score lower, and how bad the worst are.",
    epilog=examples(
        "segscale strata reports/lesions/first --by site",
        "segscale strata reports/lesions/first --by reference_volume:0,100,1000 --below 0.3 --cluster-by patient_id",
    ),
)
@click.argument("report", metavar="REPORT")
@click.option(
    "--by", multiple=True, metavar="COLUMN", help="Strata: a column of per_image; may be repeated. As in the run."
)
@click.option("--metric", default="dice", show_default=True, help="A score from 0 to 1 of which more is better.")
@click.option("--margin", type=float, default=0.01, show_default=True, help="A gap that nobody would mind.")
@click.option("--below", type=float, default=0.5, show_default=True, help="Scores below are catastrophic.")
@click.option("--worst", type=float, default=0.05, show_default=True, help="Share of images whose mean is shown.")
@click.option("--unit", metavar="COLUMN", help="Units of evaluation, whose counts are summed; as in the run.")
@click.option("--cluster-by", metavar="COLUMN", help="What is independent, such as patients; as in the run.")
@click.option("--head", metavar="NAME", help="Of a network with several: the head that is meant.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON object.")
def strata_command(
    report: str, by: tuple[str, ...], metric: str, margin: float, below: float, worst: float, unit: str | None,
    cluster_by: str | None, head: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Which groups of images score lower or higher than all the others, and how bad the worst images are.

    Of each stratum the gap to the rest of the set, the share of scores below a limit and the mean of the worst, with
    intervals. Missing predictions score 0.
    """
    from segscale.flows.cli.option_words import STRATA
    from segscale.flows.config.spoken import settings_spoken
    from segscale.flows.reports.strata import describe, report_strata, to_json
    from segscale.tasks.decisions.strata import StrataAsked

    with settings_spoken(STRATA):
        asked = StrataAsked(metric, margin, below, worst)
        found = report_strata(report, asked, by or None, unit, cluster_by, head)
    print(to_json(found) if as_json else describe(found))
