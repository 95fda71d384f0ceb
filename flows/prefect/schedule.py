"""A configuration as a deployment with a schedule: runs of a worker of a pool, or of this process."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

import httpx
from prefect import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectException

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.prefect import flows
from segscale.flows.prefect.due import Due
from segscale.flows.prefect.pool import Pool, no_pool, pool_of
from segscale.flows.prefect.serve import (
    limit_turns,
    parameter_of,
    refuse_deployed,
    run_until_stopped,
    schedule_of,
)

logger = logging.getLogger("segscale")
HEARTBEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""They tell deploy/automations.yaml that a run is alive."""


def schedule(config: EvaluationConfig, path: Path, when: Due, pool: Pool | str | None) -> None:
    """Register `evaluate-dataset/STEM`, STEM as the file at `path` is called, in place of what it was before.

    With a pool (by its name, where nothing is known of it yet) its workers run what is due. Without one this process
    does, until it is stopped; then it cancels what is under way and pauses the schedule. Raises ConfigError where
    another file has a deployment of this name, and for what the server refuses.
    """
    try:
        pool = _found(pool) if isinstance(pool, str) else pool
        made = deployment(config, path, when, pool)
        _refuse_another(made)
        limit_turns((config.dataset.name,))
        if pool is not None:
            if not pool.has_workers:
                logger.warning("schedule: no worker is there yet: prefect worker start --pool %s", pool.name)
            made.apply()
            _say(made, when, f"by a worker of the pool {pool.name}")
            return
        refuse_deployed((made,), "schedule")
        _say(made, when, "by this process; stop with Ctrl-C, which pauses the schedule")
        run_until_stopped((made,))
    except (httpx.HTTPError, PrefectException) as error:
        raise ConfigError(f"schedule: the Prefect server refuses: {' '.join(str(error).split())}") from error


def deployment(config: EvaluationConfig, path: Path, when: Due, pool: Pool | None) -> RunnerDeployment:
    """What is registered. Raises ConfigError for a schedule that Prefect cannot keep."""
    now = dt.datetime.now(dt.UTC)
    return RunnerDeployment.from_entrypoint(
        entrypoint=f"{flows.__name__}.evaluate_dataset",
        name=path.stem,
        description=_origin(path),
        tags=["segscale", "nightly"] if when.is_daily(now) else ["segscale"],
        parameters={"config": parameter_of(config)},
        concurrency_limit=1,
        schedules=[schedule_of({"cron": when.cron, "timezone": when.timezone}, f"{path}: --cron")],
        paused=False,
        work_pool_name=pool.name if pool else None,
        job_variables={"env": HEARTBEATS} if pool else None,
    )


def _found(name: str) -> Pool:
    """What Prefect, which can log in, finds of the pool."""
    with get_client(sync_client=True) as client:
        try:
            return pool_of(client.read_work_pool(name).model_dump(mode="json"))
        except ObjectNotFound:
            raise no_pool(name, [pool.name for pool in client.read_work_pools()]) from None


def _origin(path: Path) -> str:
    return f"As `{path.resolve()}` says it; made by `segscale schedule`."


def _refuse_another(made: RunnerDeployment) -> None:
    name = f"{made.flow_name}/{made.name}"
    with get_client(sync_client=True) as client:
        try:
            there = client.read_deployment_by_name(name).description
        except ObjectNotFound:
            return
    if there != made.description:
        raise ConfigError(
            f"schedule: {name} is there already and was not made of this file ({there or 'it has no description'}); "
            f"rename the file, or take the other away with `prefect deployment delete {name}`"
        )


def _say(made: RunnerDeployment, when: Due, by_whom: str) -> None:
    (first,) = when.times(dt.datetime.now(dt.UTC), 1)
    name = f"{made.flow_name}/{made.name}"
    logger.info("schedule: %s, next %s %s, %s", name, f"{first:%Y-%m-%d %H:%M}", when.timezone, by_whom)
    logger.info("schedule: now: prefect deployment run %s; after a change of the file schedule it again", name)
