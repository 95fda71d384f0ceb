"""The commands that do the work of a configuration: run, its stages one by one, train; and the demo."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.route import run_job, through_prefect
from segscale.flows.cli.terminal import DONE, FAILURES, prepare_process
from segscale.storage.enumeration import counted

if TYPE_CHECKING:
    from segscale.flows.config.evaluation import EvaluationConfig

logger = logging.getLogger("segscale")
C = TypeVar("C", bound=Callable[..., Any])
Body = Callable[["EvaluationConfig", bool], int]


def _as_it_is(command: C) -> C:
    return command


def _config_command(
    name: str, *shown: str, lists: bool = False, predicts: bool = False
) -> Callable[[Body], click.Command]:
    """A command that takes CONFIG.toml and the common options; `shown` are the examples of its page.

    Its body gets the resolved configuration, and whether `--prefect` was given. `lists` and `predicts` say whether it
    needs the files of the data set, and the network: what is mistyped there is said at once, for all that follows loads
    libraries for a second or more.
    """

    def decorate(body: Body) -> click.Command:
        @click.command(name, help=body.__doc__, epilog=examples(*shown))
        @options.config
        @click.option("--run-id", metavar="NAME", help="Name of the report's folder; default: made from what was run.")
        @options.workers
        @options.scheduler
        @(options.rescan if lists else _as_it_is)
        @(options.replan if predicts else _as_it_is)
        @through_prefect
        @options.quiet
        def command(config: str, prefect: bool, quiet: bool, **chosen: Any) -> int:
            prepare_process(quiet)
            from segscale.flows.checks.paths import check_model_path, check_sources
            from segscale.flows.config.evaluation import load_config, override

            resolved = override(load_config(config), **chosen)
            # What comes next loads libraries for a second or more, and nobody likes to wait for a word.
            logger.info("%s: data set %s, store %s", name, resolved.dataset.name, resolved.store.path)
            if lists:
                check_sources(resolved)
            if predicts:
                check_model_path(resolved)
            return body(resolved, prefect)

        return command

    return decorate


@_config_command(
    "run",
    "segscale run lesions.toml",
    "segscale run lesions.toml --workers 4 --quiet",
    "segscale run lesions.toml --scheduler tcp://node7:8786",
    lists=True,
    predicts=True,
)
def run_command(config: EvaluationConfig, prefect: bool) -> int:
    """Ingest, predict (or score), report. Resumes by itself."""
    from segscale.flows.workers import start_early

    start_early(config)
    from segscale.flows import evaluate

    return finish(config, run_job(evaluate, config, prefect))


@_config_command("ingest", "segscale ingest lesions.toml", lists=True)
def ingest_command(config: EvaluationConfig, prefect: bool) -> int:
    """Normalise the data set and chunk it into Zarr shards."""
    from segscale.flows import ingest

    return _stage_done(config, run_job(ingest, config, prefect))


@_config_command("predict", "segscale predict lesions.toml", predicts=True)
def predict_command(config: EvaluationConfig, prefect: bool) -> int:
    """Run the model over the ingested shards and count."""
    from segscale.flows import predict

    return _stage_done(config, run_job(predict, config, prefect))


@_config_command("score", "segscale score lesions.toml")
def score_command(config: EvaluationConfig, prefect: bool) -> int:
    """Count existing predictions against their references."""
    from segscale.flows import score

    return _stage_done(config, run_job(score, config, prefect))


@_config_command("report", "segscale report lesions.toml", "segscale report lesions.toml --run-id first")
def report_command(config: EvaluationConfig, prefect: bool) -> int:
    """Write the Parquet tables from the committed counts."""
    from segscale.flows import report

    return finish(config, run_job(report, config, prefect))


@_config_command("train", "segscale train lesions.toml", "segscale diagnose lesions.training", lists=True)
def train_command(config: EvaluationConfig, prefect: bool) -> int:
    """Train UNet++ on the ingested training split."""
    from segscale.flows import train

    print(run_job(train, config, prefect))
    return DONE


@click.command(
    "demo",
    short_help="Draw a data set and evaluate a bundled network on it.",
    epilog=examples("segscale demo", "segscale demo --output work/demo --images 60", "segscale demo --volumes"),
)
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("work/demo"), show_default=True
)
@click.option("--images", type=click.IntRange(min=8), help="So many are drawn: 240 images, or 24 volumes.")
@click.option("--volumes", is_flag=True, help="Volumes of thick slices, as an nnU-Net raw data set.")
@options.quiet
def demo_command(output: Path, images: int | None, volumes: bool, quiet: bool) -> int:
    """Draw a phantom data set and evaluate the bundled model on it, end to end, through a Prefect flow."""
    prepare_process(quiet)
    from segscale.flows import evaluate
    from segscale.flows.cli import demo

    if volumes:
        demo.draw_volumes(output, images or demo.VOLUMES)
    else:
        demo.draw_demo(output, images or demo.IMAGES)
    config = demo.volumes_config(output) if volumes else demo.demo_config(output)
    return finish(config, run_job(evaluate, config, prefect=True))


def _stage_done(config: EvaluationConfig, summary: Any) -> int:
    print(
        f"{summary.stage}: {counted(summary.shards, 'shard')}, {summary.reused} of them done before; "
        f"{counted(summary.images, 'image')} now, {summary.failed} failed"
    )
    return FAILURES if summary.failed > config.report.max_failure_rate * summary.images else DONE


def finish(config: EvaluationConfig, result: Any) -> int:
    """Print what a run came to; returns the exit code, which minds how many images failed."""
    from segscale.flows.cli.style import style_of_stdout
    from segscale.flows.cli.summary import describe_result

    print(describe_result(result, style_of_stdout(), hints=logger.isEnabledFor(logging.INFO)))
    return exit_code(config, result)


def exit_code(config: EvaluationConfig, result: Any) -> int:
    """Whether more images failed than the configuration allows."""
    return FAILURES if result.failure_rate > config.report.max_failure_rate else DONE


STAGE_COMMANDS = (ingest_command, predict_command, score_command, report_command)
