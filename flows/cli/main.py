"""The command line: segscale COMMAND ..."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segscale.flows.cli.ending import failed, last_words, printed
from segscale.flows.cli.maintenance import STORE_COMMANDS
from segscale.flows.cli.route import run_job, through_prefect
from segscale.flows.cli.stop import STOP, Stopped
from segscale.flows.cli.streams import outlive_readers
from segscale.flows.cli.terminal import DONE, FAILURES, prepare_process

if TYPE_CHECKING:
    from segscale.flows.config.evaluation import EvaluationConfig

C = TypeVar("C", bound=Callable[..., Any])


def main() -> None:
    """Run a command and exit with the code that says how it ended."""
    outlive_readers()
    try:
        STOP.heed()
        code = printed(run(sys.argv[1:]))
    except Stopped:
        code = STOP.say()
    STOP.finish()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code, never raises for what a user can mend."""
    STOP.last_words = last_words(arguments)
    try:
        code = int(commands.main(args=arguments, prog_name="segscale", standalone_mode=False) or DONE)
    except BaseException as error:  # noqa: BLE001  # what is not for the user is raised again
        # What fails on the way to an end that was asked for is nobody's concern.
        if STOP.number is None and not isinstance(error, KeyboardInterrupt | click.Abort):
            return failed(error, arguments)
        return STOP.say()
    # A library may have taken the signal for its own, and come back.
    return code if STOP.number is None else STOP.say()


class _Commands(click.Group):
    """For a KeyboardInterrupt click prints a line of its own; for an Abort it does not."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="segscale")
def commands() -> None:
    """Evaluate segmentation at the scale of a data set."""


def _rescan(lists: bool) -> Callable[[C], C]:
    """The option of the commands that look at the files of the data set."""
    if not lists:
        return lambda command: command
    return click.option("--rescan", is_flag=True, help="Look at every file again, whatever its size and times say.")


def _config_command(
    name: str, *, lists: bool = False, predicts: bool = False
) -> Callable[[Callable[[EvaluationConfig, bool], int]], click.Command]:
    """A command that takes CONFIG.toml and the common options.

    Its body gets the resolved configuration, and whether `--prefect` was given. `lists` and `predicts` say whether it
    needs the files of the data set, and the network: what is mistyped there is said at once, for all that follows loads
    libraries for a second or more.
    """

    def decorate(body: Callable[[EvaluationConfig, bool], int]) -> click.Command:
        @commands.command(name, help=body.__doc__)
        @click.argument("config", type=click.Path(dir_okay=False))
        @click.option("--run-id", metavar="NAME", help="Name of the report's folder; default: made from what was run.")
        @click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes on this machine.")
        @click.option("--scheduler", metavar="ADDRESS", help="Use the Dask scheduler at ADDRESS.")
        @_rescan(lists)
        @through_prefect
        @click.option("--quiet", is_flag=True, help="Say nothing but errors and the result.")
        def command(config: str, prefect: bool, quiet: bool, **options: Any) -> int:
            prepare_process(quiet)
            from segscale.flows.checks.paths import check_model_path, check_sources
            from segscale.flows.config.evaluation import load_config, override

            chosen = override(load_config(config), **options)
            if lists:
                check_sources(chosen)
            if predicts:
                check_model_path(chosen)
            return body(chosen, prefect)

        return command

    return decorate


@_config_command("run", lists=True, predicts=True)
def run_command(config: EvaluationConfig, prefect: bool) -> int:
    """Ingest, predict (or score), report. Resumes by itself."""
    from segscale.flows import evaluate

    return _finish(config, run_job(evaluate, config, prefect))


@_config_command("ingest", lists=True)
def ingest_command(config: EvaluationConfig, prefect: bool) -> int:
    """Normalise the data set and chunk it into Zarr shards."""
    from segscale.flows import ingest

    return _stage_done(config, run_job(ingest, config, prefect))


@_config_command("predict", predicts=True)
def predict_command(config: EvaluationConfig, prefect: bool) -> int:
    """Run the model over the ingested shards and count."""
    from segscale.flows import predict

    return _stage_done(config, run_job(predict, config, prefect))


@_config_command("score")
def score_command(config: EvaluationConfig, prefect: bool) -> int:
    """Count existing predictions against the ingested references."""
    from segscale.flows import score

    return _stage_done(config, run_job(score, config, prefect))


@_config_command("report")
def report_command(config: EvaluationConfig, prefect: bool) -> int:
    """Write the Parquet tables from the committed counts."""
    from segscale.flows import report

    return _finish(config, run_job(report, config, prefect))


@_config_command("train", lists=True)
def train_command(config: EvaluationConfig, prefect: bool) -> int:
    """Train UNet++ on the ingested training split."""
    from segscale.flows import train

    print(run_job(train, config, prefect))
    return DONE


@commands.command("demo")
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("work/demo"), show_default=True
)
@click.option("--images", type=click.IntRange(min=8), default=240, show_default=True, help="Phantom images to draw.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors and the result.")
def demo_command(output: Path, images: int, quiet: bool) -> int:
    """Draw a phantom data set and evaluate the bundled model on it, end to end, through a Prefect flow."""
    prepare_process(quiet)
    from segscale.flows import evaluate
    from segscale.flows.cli.demo import demo_config, draw_demo

    config = demo_config(output)
    draw_demo(output, images)
    return _finish(config, run_job(evaluate, config, prefect=True))


@commands.command("rescore")
@click.argument("report", metavar="REPORT")
@click.option("--threshold", type=float, metavar="T", help="A kept threshold, k/threshold_count.")
@click.option("--alpha", "tversky_alpha", type=float, metavar="A", help="Tversky weight of false positives.")
@click.option("--beta", "tversky_beta", type=float, metavar="B", help="Tversky weight of false negatives.")
@click.option("--smooth", type=float, metavar="S", help="Added to numerator and denominator.")
@click.option("--batch-size", "batch_sizes", type=int, multiple=True, metavar="N", help="May be given several times.")
@click.option("--empty", metavar="POLICY", help="Score where both masks are empty: nan, one, zero or smooth.")
@click.option("--by", "group_by", multiple=True, metavar="COLUMN", help="Strata: a group column; may be repeated.")
@click.option("--unit", metavar="COLUMN", help="Units of evaluation: a group column; their counts are summed.")
@click.option("--json", "as_json", is_flag=True, help="Print whole tables as one JSON object.")
def rescore_command(report: str, as_json: bool, **changes: Any) -> int:
    """New scores from a report alone: no images, no model. What is not given stays as in the run."""
    from segscale.flows.reports import rescore

    rescoring = rescore.open_rescoring(report, rescore.changes_of(changes))
    print(rescore.to_json(rescoring) if as_json else rescore.describe(rescoring))
    if as_json:
        print("\n".join(rescoring.notes), file=sys.stderr)
    return DONE


@commands.command("compare")
@click.argument("report_a", metavar="REPORT_A")
@click.argument("report_b", metavar="REPORT_B")
@click.option("--by", multiple=True, metavar="COLUMN", help="Strata: a column of per_image; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print whole tables as one JSON object.")
def compare_command(report_a: str, report_b: str, by: tuple[str, ...], as_json: bool) -> int:
    """Two runs over the same images, compared image by image."""
    from segscale.flows.reports.compare import compare_reports, describe
    from segscale.flows.reports.tables import tables_as_json

    found = compare_reports(report_a, report_b, by)
    print(tables_as_json(found.tables) if as_json else describe(found))
    return DONE


@commands.command("diagnose")
@click.argument("path", metavar="REPORT|HISTORY")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def diagnose_command(path: str, as_json: bool) -> int:
    """What in the numbers says that an evaluation, or a training, is wrong."""
    from segscale.flows.reports.diagnose import describe, diagnose_path, findings_table
    from segscale.flows.reports.tables import tables_as_json

    findings = diagnose_path(path)
    print(tables_as_json({"findings": findings_table(findings)}) if as_json else describe(findings))
    return DONE


@commands.command("serve")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=Path("deploy/prefect.yaml"),
    show_default=True,
    help="Deployments and schedules, as `prefect deploy` reads them.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
def serve_command(path: Path, quiet: bool) -> int:
    """Register the deployments of a prefect.yaml with the Prefect server and run what is due, until stopped."""
    prepare_process(quiet)
    from segscale.flows.prefect.serve import serve

    serve(path)
    return DONE


for _command in STORE_COMMANDS:
    commands.add_command(_command)


def _stage_done(config: EvaluationConfig, summary: Any) -> int:
    print(
        f"{summary.stage}: {summary.shards} shards, {summary.reused} of them done before; "
        f"{summary.images} images now, {summary.failed} failed"
    )
    return FAILURES if summary.failed > config.report.max_failure_rate * summary.images else DONE


def _finish(config: EvaluationConfig, result: Any) -> int:
    from segscale.flows.cli.summary import describe_result

    print(describe_result(result))
    return FAILURES if result.failure_rate > config.report.max_failure_rate else DONE
