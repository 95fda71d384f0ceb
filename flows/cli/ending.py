"""How a command ends: what is said of what went wrong, in a line or a few, and the exit code."""

from __future__ import annotations

import os
import sys

import click

from segscale.errors import ClusterLostError, ConfigError, FirstImagesError
from segscale.flows.cli.terminal import FAILURES, LOST, WRONG

READERS = frozenset({
    "calibration", "check", "compare", "diagnose", "export", "gate", "init", "plan", "price", "reconcile", "rescore",
    "strata", "verify",
})  # fmt: skip
"""Commands that commit nothing."""


def printed(code: int) -> int:
    """The code of a command all of whose output was written; a disk that is full takes none."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # What is left would be tried once more at the very end, and end the process with a code of Python's.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _say(f"the result could not be printed: {error.strerror}", LOST)
    return code


def failed(error: BaseException, arguments: list[str]) -> int:
    """Say what went wrong; returns the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return int(error.exit_code)
    if isinstance(error, click.ClickException):
        return _say(f"{error.format_message()}{_where_help_is(error)}", WRONG)
    if isinstance(error, ConfigError):
        for problem in error.args:
            _say(str(problem), WRONG)
        return WRONG
    if isinstance(error, FirstImagesError):
        return _say(str(error), FAILURES)
    if not isinstance(error, Exception) or os.environ.get("SEGSCALE_TRACEBACK"):
        raise error
    stays = "" if _only_reads(arguments) else "what was committed stays; "
    return _say(f"{_first_line(error)} ({stays}SEGSCALE_TRACEBACK=1 shows where)", LOST)


def last_words(arguments: list[str]) -> str:
    """What is said behind the news that a command was interrupted."""
    if arguments[:1] == ["serve"]:
        return "; schedules are paused until the next serve"
    if arguments[:1] == ["schedule"]:
        return "; what this process runs by a schedule is paused until the next schedule"
    return "" if _only_reads(arguments) else "; what was committed stays, run again to resume"


def _where_help_is(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" ({context.command_path} --help shows examples)" if context else ""


def _only_reads(arguments: list[str]) -> bool:
    return not READERS.isdisjoint(arguments[:1])


def _say(message: str, code: int) -> int:
    print(f"segscale: {' '.join(message.split())}", file=sys.stderr)
    return code


def _first_line(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return text if isinstance(error, ClusterLostError) else f"{type(error).__name__}: {text}"
