"""The commands that let Prefect start runs: schedule, serve."""

from __future__ import annotations

from pathlib import Path

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE, logger, prepare_process


@click.command(
    "schedule",
    short_help="Run a configuration again and again, by a Prefect server.",
    epilog=examples(
        'segscale schedule lesions.toml --cron "0 2 * * *" --pool segscale',
        'segscale schedule lesions.toml --cron "30 6 * * mon"',
    ),
)
@options.config
@click.option("--cron", required=True, metavar="EXPRESSION", help='When, on the clock of this machine: "0 2 * * *".')
@click.option("--pool", metavar="NAME", help="The work pool whose workers run it; without, this process does.")
@options.quiet
def schedule_command(config: str, cron: str, pool: str | None, quiet: bool) -> int:
    """Make CONFIG.toml, as it is, a deployment of the Prefect server with a schedule.

    With --pool a worker of that pool runs it when it is due. Without, this process does, until it is stopped.
    """
    prepare_process(quiet)
    from segscale.errors import ConfigError
    from segscale.flows.checks.paths import check_model_path, check_sources
    from segscale.flows.config.evaluation import load_config
    from segscale.flows.prefect.due import due
    from segscale.flows.prefect.pool import find_pool
    from segscale.flows.prefect.server import check_answers, expected_server

    # What can be wrong is said before Prefect is loaded, for a second.
    when, resolved = due(cron), load_config(config)
    server = expected_server("schedule")
    check_answers(server)
    found = (find_pool(server, pool) or pool) if pool else None
    try:
        check_sources(resolved)
        check_model_path(resolved)
    except ConfigError as error:
        if found is None:
            raise
        # The workers of a pool may be on machines that have the files.
        logger.warning("schedule: on this machine: %s", error)
    from segscale.flows.prefect.schedule import schedule

    schedule(resolved, Path(config), when, found)
    return DONE


@click.command(
    "serve",
    short_help="Let a Prefect server start runs when they are due.",
    epilog=examples("segscale serve", "segscale serve --file nightly.yaml"),
)
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
