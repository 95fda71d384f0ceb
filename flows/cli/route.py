"""Which way a job goes: as a plain function, or through its Prefect flow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import click

from segscale.flows.observer import Observer

if TYPE_CHECKING:
    from segscale.flows.config.evaluation import EvaluationConfig
    from segscale.storage.pairing import RoleSummary

logger = logging.getLogger("segscale")

through_prefect = click.option(
    "--prefect", is_flag=True, help="Go through a Prefect flow, as is done anyway where PREFECT_API_URL is set."
)


class Job(Protocol):
    """A module of `flows/`, such as `segscale.flows.evaluate`."""

    @property
    def check(self) -> Callable[..., None]:
        """Of the configuration: raises ConfigError for what can be wrong before anything starts."""

    @property
    def run(self) -> Callable[..., Any]:
        """Of the configuration and an observer: checks, then does the work."""


class OnTerminal(Observer):
    """Says what was listed."""

    def listed(self, roles: Sequence[RoleSummary]) -> None:
        """The first line of a run."""
        from segscale.flows.cli.listed import in_words

        logger.info("%s", in_words(roles))


class WithoutPrefect(OnTerminal):
    """Says that a job is not shown in Prefect, once its checks have found nothing."""

    def turn(self) -> AbstractContextManager[None]:
        """Nobody else is waited for."""
        logger.info("prefect: left out, PREFECT_API_URL is not set; --prefect goes through a flow")
        return nullcontext()


def run_job(job: Job, config: EvaluationConfig, prefect: bool | None, **known: Any) -> Any:
    """What the job returns; `known` is what else its functions take, apart from the flow.

    It goes through its Prefect flow where a server is configured or `prefect` asks for it. One line says which way, but
    for a command that cannot be asked for it (None) where no server is configured. Raises ConfigError where a
    configured server does not answer.
    """
    from segscale.flows.prefect.server import check_answers, configured_server

    server = configured_server()
    if server is None and not prefect:
        return job.run(config, OnTerminal() if prefect is None else WithoutPrefect(), **known)
    # Before Prefect is imported, and perhaps a server started, for what cannot run.
    job.check(config, **known)
    if server is None:
        logger.info("prefect: a server of this run alone, unless a file of its own names one")
    else:
        check_answers(server)
        logger.info("prefect: shown at %s", server)
    from segscale.flows.prefect.ending import result_of
    from segscale.flows.prefect.flows import FLOW_OF

    if server is None:
        from segscale.flows.prefect.own_server import start_own_server

        start_own_server()
    flow: Any = FLOW_OF[job.run]
    return result_of(flow(config, return_state=True))
