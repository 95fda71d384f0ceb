"""The command that lets Prefect start runs: serve."""

from __future__ import annotations

from pathlib import Path

import click

from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE, prepare_process


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
