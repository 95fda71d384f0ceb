"""The command that says what a run would meet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE, FAILURES, prepare_process

if TYPE_CHECKING:
    from segscale.flows.preview import Preview


@click.command("check", epilog=examples("segscale check lesions.toml", "segscale check lesions.toml --json"))
@options.config
@options.as_json
def check_command(config: str, as_json: bool) -> int:
    """What would fail, warn or surprise in a run.

    Files are listed, and some are read and counted on trial. Nothing is written. Exits 0 where there is nothing to say,
    1 where something would fail or warn, 2 where the configuration is wrong.
    """
    prepare_process(quiet=True)
    from segscale.flows.config.evaluation import load_config
    from segscale.flows.preview import describe, preview

    found = preview(load_config(config))
    print(_in_json(found) if as_json else describe(found))
    return FAILURES if found.remarks else DONE


def _in_json(found: Preview) -> str:
    """The tables facts and remarks as one JSON object."""
    facts = [{"name": fact.name, "text": fact.text} for fact in found.facts]
    remarks = [{"severity": remark.severity, "text": remark.text} for remark in found.remarks]
    return json.dumps({"facts": facts, "remarks": remarks})
