"""The command that proposes a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE, FAILURES, logger, prepare_process


@click.command(
    "init",
    epilog=examples(
        "segscale init data/ > lesions.toml",
        "segscale init images/ masks/ predictions/ --output lesions.toml",
        "segscale check lesions.toml && segscale run lesions.toml",
    ),
)
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=click.Path())
@click.option("--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Default: stdout.")
@options.quiet
def init_command(folders: tuple[str, ...], output: Path | None, quiet: bool) -> int:
    """Draft a configuration from what lies in folders.

    What was assumed stands beside each key. Exits 1 where something is left for you to decide, which stands at the top.
    """
    prepare_process(quiet)
    from segscale.errors import ConfigError
    from segscale.flows.draft import draft

    if output is not None and output.exists():
        raise ConfigError(f"--output: {output} is there already and is not overwritten; name another file")
    drafted = draft(folders, str(output.parent if output else Path.cwd()))
    if output is None:
        print(drafted.text, end="")
    else:
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(drafted.text)
        except OSError as error:
            raise ConfigError(f"--output: {output}: expected a file that can be written: {error.strerror}") from None
        logger.info("written to %s; next: segscale check %s", output, output)
    for line in drafted.undecided:
        logger.warning("to be decided: %s", line)
    return FAILURES if drafted.undecided else DONE
