"""Which way a job goes: as a plain function, or through its Prefect flow."""

from __future__ import annotations

import logging

import click

from segscale.flows.prefect.server import SETTING, configured_server

logger = logging.getLogger("segscale")

through_prefect_option = click.option(
    "--prefect", is_flag=True, help=f"Go through a Prefect flow, as is done anyway where {SETTING} is set."
)


def through_prefect(asked: bool) -> bool:
    """Whether a job goes through its flow; says so in one line. Raises ConfigError as `configured_server` does."""
    server = configured_server()
    if server is not None:
        logger.info("prefect: shown at %s", server)
    elif asked:
        logger.info("prefect: a server of this run alone; %s names one that stays", SETTING)
    else:
        logger.info("prefect: left out, %s is not set; --prefect goes through a flow", SETTING)
    return asked or server is not None
