"""The commands that look after a store: verify, repair, clean."""

from __future__ import annotations

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.route import run_job, through_prefect
from segscale.flows.cli.terminal import DONE, FAILURES, prepare_process

_run_id = click.option("--run-id", metavar="NAME", help="Name of the report's folder, if it was given one.")


@click.command("verify", epilog=examples("segscale verify lesions.toml", "segscale verify lesions.toml --full"))
@options.config
@click.option("--full", is_flag=True, help="Hash and decode every object, and hash the source files again.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@_run_id
@options.quiet
def verify_command(config: str, full: bool, as_json: bool, run_id: str | None, quiet: bool) -> int:
    """What is wrong with the store and the report; writes nothing. Exits 1 where something is."""
    prepare_process(quiet)
    from segscale.flows.config.evaluation import load_config, override
    from segscale.flows.maintenance import verify

    chosen = override(load_config(config), run_id=run_id)

    inspection = verify.inspect(chosen, full=full)
    print(verify.as_json(inspection) if as_json else verify.describe(inspection))
    return FAILURES if inspection.findings else DONE


@click.command(
    "repair",
    short_help="Set aside what is broken, and do just that work again.",
    epilog=examples("segscale repair lesions.toml", "segscale repair lesions.toml --workers 2"),
)
@options.config
@options.workers
@options.scheduler
@_run_id
@through_prefect
@options.quiet
def repair_command(
    config: str, workers: int | None, scheduler: str | None, run_id: str | None, prefect: bool, quiet: bool
) -> int:
    """Set aside what verify --full finds broken, and do just that work again. Exits 1 where something remains."""
    prepare_process(quiet)
    from segscale.flows.config.evaluation import load_config, override
    from segscale.flows.maintenance import repair

    chosen = override(load_config(config), run_id=run_id, workers=workers, scheduler=scheduler)
    repaired = run_job(repair, chosen, prefect)
    print(repair.describe(repaired))
    return FAILURES if repaired.remaining else DONE


@click.command(
    "clean",
    short_help="Remove what nobody committed and what was set aside.",
    epilog=examples(
        "segscale clean lesions.toml --older-than 48 --dry-run", "segscale clean lesions.toml --older-than 48"
    ),
)
@options.config
@click.option(
    "--older-than",
    "hours",
    type=click.FloatRange(min=0),
    required=True,
    metavar="HOURS",
    help="More than any attempt takes; 0 only while nothing runs.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and leave it.")
def clean_command(config: str, hours: float, dry_run: bool) -> int:
    """Remove attempts that nobody committed and what was set aside, if older than HOURS."""
    prepare_process(quiet=False)
    from segscale.flows.config.evaluation import load_config
    from segscale.flows.maintenance.clean import clean_store, describe

    print(describe(clean_store(load_config(config), hours, dry_run=dry_run)))
    return DONE


STORE_COMMANDS = (verify_command, repair_command, clean_command)
