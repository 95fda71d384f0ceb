"""Arguments and options that several commands have."""

from __future__ import annotations

import click

config = click.argument("config", metavar="CONFIG.toml", type=click.Path(dir_okay=False))
workers = click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes on this machine.")
scheduler = click.option("--scheduler", metavar="ADDRESS", help="Use the Dask scheduler at ADDRESS.")
rescan = click.option("--rescan", is_flag=True, help="Look at every file again, whatever its size and times say.")
replan = click.option("--replan", is_flag=True, help="Find engine and precision anew, which may change numbers.")
quiet = click.option("--quiet", is_flag=True, help="Say nothing but errors and the result.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print whole tables as one JSON object.")
