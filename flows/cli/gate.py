"""The command that decides: whether a run may replace another one, or be released."""

from __future__ import annotations

from typing import Any

import click

from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE, FAILURES, UNTOLD

CODES = {"pass": DONE, "fail": FAILURES, "cannot tell": UNTOLD}


class Bound(click.ParamType):  # type: ignore[type-arg]  # click before 8.4 has no argument for it
    """METRIC=NUMBER, as a pair."""

    name = "METRIC=X"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        metric, sign, number = str(value).partition("=")
        try:
            found = float(number)
        except ValueError:
            found = float("nan")
        if not (metric and sign) or found != found:
            self.fail(f"expected METRIC=NUMBER, as in dice=0.01, got {value!r}", param, ctx)
        return metric.strip(), found


@click.command(
    "gate",
    short_help="Whether a run may replace another one: pass, fail or cannot tell.",
    epilog=examples(
        "segscale gate reports/lesions/before reports/lesions/after",
        "segscale gate reports/lesions/before reports/lesions/after --margin dice=0.02 --by site --junit gate.xml",
        "segscale gate reports/lesions/after --floor dice=0.85 --cluster-by patient_id",
    ),
)
@click.argument("reports", metavar="[BASE] NEW", nargs=-1, required=True)
@click.option("--margin", "margins", type=Bound(), multiple=True, help="How much worse NEW may be. [dice=0.01]")
@click.option("--floor", "floors", type=Bound(), multiple=True, help="What NEW must reach, with or without BASE.")
@click.option("--superior", multiple=True, metavar="METRIC", help="Must be better over the whole set; may be repeated.")
@click.option(
    "--aggregation", "aggregations", multiple=True, metavar="NAME", help="per_sample (the default), pooled, or both."
)
@click.option("--by", multiple=True, metavar="COLUMN", help="Strata: a column of per_image; may be repeated.")
@click.option("--unit", metavar="COLUMN", help="Units of evaluation, whose counts are summed; as in the run.")
@click.option("--cluster-by", metavar="COLUMN", help="What is independent, such as patients; as in the run.")
@click.option("--head", metavar="NAME", help="Of a network with several: the head that is meant.")
@click.option("--junit", metavar="FILE", help="Write JUnit XML for a CI service.")
@click.option("--markdown", metavar="FILE", help="Write Markdown for a merge request.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict and its rows as one JSON object.")
def gate_command(
    reports: tuple[str, ...], margins: tuple[tuple[str, float], ...], floors: tuple[tuple[str, float], ...],
    superior: tuple[str, ...], aggregations: tuple[str, ...], by: tuple[str, ...], unit: str | None,
    cluster_by: str | None, head: str | None, junit: str | None, markdown: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Whether NEW is good enough to replace BASE, or to be released: not worse by a margin in any class and stratum.

    Exit code 0: pass; 1: fail; 4: cannot tell, with how many more images would.
    """
    from segscale.flows.cli.option_words import GATE
    from segscale.flows.config.spoken import settings_spoken
    from segscale.flows.reports import gate_files
    from segscale.flows.reports.gate import Asking, describe, gate_reports, to_json

    if len(reports) > 2:
        raise click.UsageError(
            f"expected BASE and NEW, or NEW alone, got {len(reports)} reports", click.get_current_context()
        )
    chosen = aggregations or ("per_sample",)
    asking = Asking(_once(margins), _once(floors), superior, chosen, by, unit, cluster_by, head)
    with settings_spoken(GATE):
        found = gate_reports(reports[0] if len(reports) == 2 else None, reports[-1], asking)
    for file, text in ((junit, gate_files.junit), (markdown, gate_files.markdown)):
        if file:
            gate_files.write_text(file, text(found))
    print(to_json(found) if as_json else describe(found))
    return CODES[found.verdict]


def _once(bounds: tuple[tuple[str, float], ...]) -> dict[str, float]:
    names = [name for name, _ in bounds]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise click.UsageError(f"expected one number for {twice}, got several", click.get_current_context())
    return dict(bounds)
