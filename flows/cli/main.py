"""The command line: segscale COMMAND ..."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

import click

from segscale.flows.cli.calibration import calibration_command
from segscale.flows.cli.check import check_command
from segscale.flows.cli.ending import failed, last_words, printed
from segscale.flows.cli.evaluate import evaluate_command
from segscale.flows.cli.gate import gate_command
from segscale.flows.cli.help import Commands
from segscale.flows.cli.init import init_command
from segscale.flows.cli.jobs import STAGE_COMMANDS, demo_command, run_command, train_command
from segscale.flows.cli.maintenance import STORE_COMMANDS
from segscale.flows.cli.price import price_command
from segscale.flows.cli.reports import REPORT_COMMANDS
from segscale.flows.cli.serving import schedule_command, serve_command
from segscale.flows.cli.stop import STOP, Stopped
from segscale.flows.cli.strata import strata_command
from segscale.flows.cli.streams import outlive_readers
from segscale.flows.cli.study_plan import plan_command
from segscale.flows.cli.terminal import DONE

HEADINGS = {
    "Evaluate": (evaluate_command, init_command, check_command, price_command, run_command, demo_command),
    "Read reports": (*REPORT_COMMANDS, gate_command, strata_command, plan_command, calibration_command),
    "Train a network": (train_command,),
    "One stage of a run alone": STAGE_COMMANDS,
    "Look after a store": STORE_COMMANDS,
    "Run by a schedule": (schedule_command, serve_command),
}
"""All commands, as the help shows them."""
LITTER = 100_000
"""So many more objects are made than freed before garbage is looked for."""


def main() -> NoReturn:
    """Run a command and exit with the code that says how it ended."""
    # Of the records of a large set few are garbage, and looking for it takes a tenth of the time.
    gc.set_threshold(LITTER)
    outlive_readers()
    try:
        STOP.heed()
        code = printed(run(sys.argv[1:]))
    except Stopped:
        code = STOP.say()
    STOP.finish(code)


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code, never raises for what a user can mend."""
    STOP.last_words = last_words(arguments)
    # Who types the name alone wants to know what there is.
    asked = arguments or ["--help"]
    try:
        code = int(commands.main(args=asked, prog_name="segscale", standalone_mode=False) or DONE)
    except BaseException as error:  # noqa: BLE001  # what is not for the user is raised again
        # What fails on the way to an end that was asked for is nobody's concern.
        if STOP.number is None and not isinstance(error, KeyboardInterrupt | click.Abort):
            return failed(error, arguments)
        return STOP.say()
    # A library may have taken the signal for its own, and come back.
    return code if STOP.number is None else STOP.say()


@click.group(
    cls=Commands,
    headings=HEADINGS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="segscale")
def commands() -> None:
    """Segscale evaluates image segmentation: two folders in, a report out.

    Every score of each image (per-sample) and of all pixels together (pooled), kept apart, with intervals, as tables
    and as a page to look at.

    \b
    To begin with:
      segscale evaluate --predictions DIR --references DIR
      segscale init FOLDER...     writes a configuration for what lies there
      segscale run CONFIG.toml    evaluates it, with a network or without
    """
