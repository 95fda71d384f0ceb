"""The command that says how many images a study needs."""

from __future__ import annotations

import click

from segscale.flows.cli.help import examples


@click.command(
    "plan",
    short_help="How many images or patients a study needs.",
    epilog=examples(
        "segscale plan reports/lesions/first --width 0.02 --cluster-by patient_id",
        "segscale plan reports/lesions/before reports/lesions/after --margin 0.01 --by site",
    ),
)
@click.argument("reports", metavar="REPORT [SECOND]", nargs=-1, required=True)
@click.option("--metric", default="dice", show_default=True, help="A score from 0 to 1 of which more is better.")
@click.option("--aggregation", "aggregations", multiple=True, metavar="NAME", help="per_sample, pooled; default: both.")
@click.option("--width", type=float, default=0.02, show_default=True, help="From end to end of an interval.")
@click.option("--margin", type=float, default=0.01, show_default=True, help="Of two: how much worse SECOND may be.")
@click.option("--difference", type=float, help="Of two: how far apart they are in truth. [as measured]")
@click.option("--power", type=float, default=0.8, show_default=True, help="With which it is to be shown.")
@click.option("--by", multiple=True, metavar="COLUMN", help="Strata: a column of per_image; may be repeated.")
@click.option("--unit", metavar="COLUMN", help="Units of evaluation, whose counts are summed; as in the run.")
@click.option("--cluster-by", metavar="COLUMN", help="What is independent, such as patients; as in the run.")
@click.option("--head", metavar="NAME", help="Of a network with several: the head that is meant.")
@click.option("--json", "as_json", is_flag=True, help="Print sizes and curves as one JSON object.")
def plan_command(
    reports: tuple[str, ...], metric: str, aggregations: tuple[str, ...], width: float, margin: float,
    difference: float | None, power: float, by: tuple[str, ...], unit: str | None, cluster_by: str | None,
    head: str | None, as_json: bool,
) -> None:  # fmt: skip
    """How many images or patients an interval of a width needs; of two reports, also a difference and a margin.

    Variances and clusters are those of the reports. Missing predictions count as missed.
    """
    from segscale.flows.cli.option_words import PLAN
    from segscale.flows.config.spoken import settings_spoken
    from segscale.flows.reports.study_plan import describe, plan_reports, to_json
    from segscale.tasks.decisions.study_plan import StudyAsked

    if len(reports) > 2:
        raise click.UsageError(f"expected one report or two, got {len(reports)} reports", click.get_current_context())
    asked = StudyAsked(metric, aggregations or StudyAsked().aggregations, width, margin, difference, power)
    with settings_spoken(PLAN):
        found = plan_reports(reports[0], reports[1] if len(reports) == 2 else None, asked, by, unit, cluster_by, head)
    print(to_json(found) if as_json else describe(found))
