"""The pages of help: commands in groups, and what they are called like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class Commands(click.Group):
    """A group whose help shows its commands under headings."""

    def __init__(self, *args: Any, headings: Mapping[str, Sequence[click.Command]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._headings = headings
        for commands in headings.values():
            for command in commands:
                self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """A list of commands for each heading, in the order given."""
        width = max(len(name) for name in self.commands)
        for heading, commands in self._headings.items():
            with formatter.section(heading):
                limit = formatter.width - 6 - width
                formatter.write_dl(
                    [((command.name or "").ljust(width), command.get_short_help_str(limit)) for command in commands]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """For a KeyboardInterrupt click prints a line of its own; for an Abort it does not."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error


def examples(*lines: str) -> str:
    """The end of a page of help: commands as they are typed, which no terminal wraps anew."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])
