"""The command that says what a run would meet."""

from __future__ import annotations

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE, FAILURES, prepare_process


@click.command("check", epilog=examples("segscale check lesions.toml", "segscale check lesions.toml --json"))
@options.config
@options.as_json
def check_command(config: str, as_json: bool) -> int:
    """What would fail, warn or surprise in a run: its files listed, some of them read and counted on trial.

    Nothing is written. Exits 0 where there is nothing to say, 1 where something would fail or warn, 2 where the
    configuration is wrong.
    """
    prepare_process(quiet=True)
    from segscale.flows.config.evaluation import load_config
    from segscale.flows.preview import as_json as in_json
    from segscale.flows.preview import describe, preview

    found = preview(load_config(config))
    print(in_json(found) if as_json else describe(found))
    return FAILURES if found.remarks else DONE
