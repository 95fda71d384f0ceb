"""The commands that read written reports: rescore, compare, diagnose, reconcile, export."""

from __future__ import annotations

import sys
from typing import Any

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE

REPORT = "reports/lesions/0a1b2c3d4e5f"
"""A report in examples."""


@click.command(
    "rescore",
    epilog=examples(
        f"segscale rescore {REPORT} --threshold 0.25",
        f"segscale rescore {REPORT} --batch-size 4 --batch-size 64 --by site",
        f"segscale rescore {REPORT} --unit patient_id",
        f"segscale rescore {REPORT} --empty one --json > rescored.json",
    ),
)
@click.argument("report", metavar="REPORT")
@click.option("--threshold", type=float, metavar="T", help="A kept threshold, k/threshold_count.")
@click.option("--alpha", "tversky_alpha", type=float, metavar="A", help="Tversky weight of false positives.")
@click.option("--beta", "tversky_beta", type=float, metavar="B", help="Tversky weight of false negatives.")
@click.option("--smooth", type=float, metavar="S", help="Added to numerator and denominator.")
@click.option("--batch-size", "batch_sizes", type=int, multiple=True, metavar="N", help="May be given several times.")
@click.option("--empty", metavar="POLICY", help="Score where both masks are empty: nan, one, zero or smooth.")
@click.option("--by", "group_by", multiple=True, metavar="COLUMN", help="Strata: a group column; may be repeated.")
@click.option("--unit", metavar="COLUMN", help="Units of evaluation: a group column; their counts are summed.")
@click.option("--folds", metavar="COLUMN", help="Folds: a group column; the mean of folds stands beside the mean.")
@click.option(
    "--missed-distance", metavar="POLICY", help="Distance where one side lacks the structure: worst, inf or nan."
)
@click.option("--nsd", "nsd_tolerances", type=float, multiple=True, metavar="T", help="Another tolerance, of surfaces.")
@click.option("--percentile", "percentiles", type=float, multiple=True, metavar="Q", help="Another one, of distances.")
@options.as_json
def rescore_command(report: str, as_json: bool, **changes: Any) -> int:
    """New scores from a report alone: no images, no model. What is not given stays as in the run."""
    from segscale.flows.cli.option_words import RESCORE
    from segscale.flows.config.spoken import settings_spoken
    from segscale.flows.reports import rescore

    with settings_spoken(RESCORE):
        rescoring = rescore.open_rescoring(report, rescore.changes_of(changes))
    print(rescore.to_json(rescoring) if as_json else rescore.describe(rescoring))
    if as_json:
        print("\n".join(rescoring.notes), file=sys.stderr)
    return DONE


@click.command(
    "compare",
    epilog=examples(
        "segscale compare reports/lesions/before reports/lesions/after",
        "segscale compare reports/lesions/before reports/lesions/after --by site",
    ),
)
@click.argument("report_a", metavar="REPORT_A")
@click.argument("report_b", metavar="REPORT_B")
@click.option("--by", multiple=True, metavar="COLUMN", help="Strata: a column of per_image; may be repeated.")
@options.as_json
def compare_command(report_a: str, report_b: str, by: tuple[str, ...], as_json: bool) -> int:
    """Two runs over the same images, compared image by image."""
    from segscale.flows.config.spoken import settings_spoken
    from segscale.flows.reports.compare import compare_reports, describe
    from segscale.flows.reports.tables import tables_as_json

    with settings_spoken({"group_by": "--by"}):
        found = compare_reports(report_a, report_b, by)
    print(tables_as_json(found.tables) if as_json else describe(found))
    return DONE


@click.command(
    "diagnose",
    short_help="What in the numbers says that something is wrong.",
    epilog=examples(f"segscale diagnose {REPORT}", "segscale diagnose lesions.training", "segscale diagnose log.csv"),
)
@click.argument("path", metavar="REPORT|HISTORY")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def diagnose_command(path: str, as_json: bool) -> int:
    """What in the numbers says that an evaluation, or a training, is wrong."""
    from segscale.flows.reports.diagnose import describe, diagnose_path, findings_table
    from segscale.flows.reports.tables import tables_as_json

    findings = diagnose_path(path)
    print(tables_as_json({"findings": findings_table(findings)}) if as_json else describe(findings))
    return DONE


@click.command(
    "export",
    epilog=examples(
        f"segscale export {REPORT} --csv tables/",
        f"segscale export {REPORT} --nnunet summary.json",
    ),
)
@click.argument("report", metavar="REPORT")
@click.option("--csv", "folder", default="", metavar="DIR", help="Every table as CSV, all digits, into this folder.")
@click.option("--nnunet", "file", default="", metavar="FILE", help="The counts in the shape of nnU-Net's summary.json.")
@click.option("--head", metavar="NAME", help="With --nnunet, of a network with several: the head that is meant.")
def export_command(report: str, folder: str, file: str, head: str | None) -> int:
    """The tables of a report as CSV, or as nnU-Net's summary.json. Nothing is overwritten."""
    if not (folder or file):
        raise click.UsageError("expected --csv DIR or --nnunet FILE, got neither", click.get_current_context())
    from segscale.flows.reports.export import export

    exported = export(report, folder, file, head)
    print("\n".join(exported.files))
    for one in exported.unknown:
        print(one, file=sys.stderr)
    return DONE


@click.command(
    "reconcile",
    short_help="Why nnU-Net's summary.json has other numbers.",
    epilog=examples(
        f"segscale reconcile {REPORT} fold_0/validation/summary.json",
        f"segscale reconcile {REPORT} summary.json --json > steps.json",
    ),
)
@click.argument("report", metavar="REPORT")
@click.argument("summary", metavar="SUMMARY_JSON")
@click.option("--head", metavar="NAME", help="Of a network with several: the head that is meant.")
@options.as_json
def reconcile_command(report: str, summary: str, head: str | None, as_json: bool) -> int:
    """Why nnU-Net's summary.json and a report have other numbers: what each cause explains, and what remains."""
    from segscale.flows.reports.reconcile import describe, reconcile_reports
    from segscale.flows.reports.tables import tables_as_json

    found = reconcile_reports(report, summary, head)
    print(tables_as_json(found.tables, layout=found.layout) if as_json else describe(found))
    return DONE


REPORT_COMMANDS = (rescore_command, compare_command, diagnose_command, reconcile_command, export_command)
