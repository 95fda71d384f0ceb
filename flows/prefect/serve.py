"""The deployments of a prefect.yaml, served from this machine: no work pool and no worker is needed."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prefect import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.flows import Flow
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from segscale.errors import ConfigError
from segscale.flows.cluster.apart import deaf
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.prefect import flows
from segscale.flows.prefect.concurrency import limit_name

logger = logging.getLogger("segscale")


@dataclass(frozen=True, slots=True)
class Served:
    """What of a file is served here."""

    deployments: tuple[RunnerDeployment, ...]
    datasets: tuple[str, ...]
    """The names of their data sets, each once."""
    elsewhere: tuple[str, ...]
    """Names of deployments that run in a container of their own, which takes a work pool and a worker."""


def serve(path: Path) -> None:
    """Register the deployments and schedules of a file with the Prefect server and run what is due, until stopped.

    Raises ConfigError for a file that holds no deployments, and where no server is named or answers.
    """
    found = read_deployments(path)
    address = PREFECT_API_URL.value()
    if not address:
        raise ConfigError(
            "serve: expected a Prefect server, PREFECT_API_URL is not set; start one with `prefect server start` and "
            "set it to http://127.0.0.1:4200/api"
        )
    try:
        refuse_deployed(found.deployments, "serve")
        limit_turns(found.datasets)
        for name in found.elsewhere:
            logger.info("serve: %s is left to a worker of its work pool: it runs in a container", name)
        logger.info("serve: %d deployments of %s at %s; stop with Ctrl-C", len(found.deployments), path, address)
        run_until_stopped(found.deployments)
    except (httpx.HTTPError, PrefectException) as error:
        raise ConfigError(f"serve: expected a Prefect server at {address}: {type(error).__name__}: {error}") from error


def run_until_stopped(deployments: tuple[RunnerDeployment, ...]) -> None:
    """Run what is due. Interrupted, it cancels the runs that are under way and pauses the schedules.

    In a thread: in the main thread Prefect would end without either, at a SIGTERM, and at a Ctrl-C, which flow runs
    would hear as well, and crash.
    """
    runner = Runner(pause_on_shutdown=True)
    for deployment in deployments:
        runner.add_deployment(deployment)
    ended: Future[None] = Future()

    def start() -> None:
        try:
            ended.set_result(asyncio.run(runner.start()))
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            ended.set_exception(error)

    with deaf():
        threading.Thread(target=start, name="runner", daemon=True).start()
    try:
        ended.result()
    except KeyboardInterrupt:
        if runner.started:
            runner.execute_in_background(runner.astop)
            ended.result()
        raise


def read_deployments(path: Path) -> Served:
    """The deployments of a prefect.yaml, checked: flows that exist, configurations that hold.

    Raises ConfigError in one line: the file, the deployment, what was expected, what was given.
    """
    try:
        # Read as a stream: of a text, an error would quote the line, whatever stands in it.
        with path.open(encoding="utf-8") as file:
            document: Any = YAML(typ="safe").load(file)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: expected a file with Prefect deployments, found none; name it with --file"
        ) from None
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None
    entries = document.get("deployments") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path}: expected a list named deployments")
    here: list[RunnerDeployment] = []
    datasets: dict[str, None] = {}
    elsewhere = []
    for entry in entries:
        source = f"{path}: deployment {entry.get('name') if isinstance(entry, dict) else entry!r}"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ConfigError(f"{source}: expected a table with a name")
        config = parse_config(
            _table(entry, "parameters", source).get("config", {}), base=path.resolve().parent, source=source
        )
        if _table(entry, "work_pool", source).get("job_variables", {}).get("image"):
            elsewhere.append(entry["name"])
            continue
        here.append(_deployment(entry, parameter_of(config), source))
        datasets[config.dataset.name] = None
    return Served(tuple(here), tuple(datasets), tuple(elsewhere))


def parameter_of(config: EvaluationConfig) -> dict[str, Any]:
    """The configuration as a server keeps it: PostgreSQL sorts tables, and the order of regions counts."""
    kept = config.model_dump(mode="json")
    kept["dataset"]["regions"] = list(config.dataset.regions.items())
    return kept


def _deployment(entry: dict[str, Any], config: dict[str, Any], source: str) -> RunnerDeployment:
    entrypoint = str(entry.get("entrypoint", ""))
    _check_flow(entrypoint, source)
    try:
        return RunnerDeployment.from_entrypoint(
            entrypoint=entrypoint,
            name=entry["name"],
            description=entry.get("description"),
            tags=entry.get("tags"),
            parameters={"config": config},
            concurrency_limit=_concurrency(entry.get("concurrency_limit")),
            schedules=[schedule_of(schedule, source) for schedule in entry.get("schedules", [])],
            # The last stop paused it; what is not to run has an inactive schedule.
            paused=False,
        )
    except (ValidationError, TypeError) as error:
        raise ConfigError(f"{source}: {' '.join(str(error).split())}") from None


def _concurrency(limit: Any) -> Any:
    """A number of runs, or a table with it and with what becomes of a run beyond it."""
    return ConcurrencyLimitConfig(**limit) if isinstance(limit, dict) else limit


def _check_flow(entrypoint: str, source: str) -> None:
    module, _, name = entrypoint.rpartition(".")
    if module != flows.__name__ or not isinstance(getattr(flows, name, None), Flow):
        raise ConfigError(
            f"{source}: entrypoint: expected a flow like {flows.__name__}.evaluate_dataset, got {entrypoint!r}"
        )


def schedule_of(entry: Any, source: str) -> DeploymentScheduleCreate:
    """A schedule of a table with cron, timezone and active. Raises ConfigError for another."""
    if not isinstance(entry, dict) or set(entry) - {"cron", "timezone", "active"} or "cron" not in entry:
        raise ConfigError(f"{source}: schedules: expected cron, timezone and active, got {entry!r}")
    try:
        cron = CronSchedule(cron=entry["cron"], timezone=entry.get("timezone", "UTC"))
        return DeploymentScheduleCreate(schedule=cron, active=entry.get("active", True))
    except ValidationError as error:
        raise ConfigError(f"{source}: schedules: {error.errors(include_url=False)[0]['msg']}, got {entry!r}") from None


def _table(entry: dict[str, Any], key: str, source: str) -> dict[str, Any]:
    found = entry.get(key) or {}
    if not isinstance(found, dict):
        raise ConfigError(f"{source}: {key}: expected a table, got {found!r}")
    return found


def refuse_deployed(deployments: tuple[RunnerDeployment, ...], command: str) -> None:
    """A deployment keeps its work pool when it is registered again: its runs would wait there, and never come here."""
    with get_client(sync_client=True) as client:
        for deployment in deployments:
            name = f"{deployment.flow_name}/{deployment.name}"
            try:
                pool = client.read_deployment_by_name(name).work_pool_name
            except ObjectNotFound:
                continue
            if pool:
                raise ConfigError(
                    f"{command}: {name} is deployed to the work pool {pool!r} already; start a worker of that pool, or "
                    f"take it away with `prefect deployment delete {name}`"
                )


def limit_turns(datasets: tuple[str, ...]) -> None:
    """One run at a time over each data set, unless the server has a limit for it already."""
    with get_client(sync_client=True) as client:
        known = {limit.name for limit in client.read_global_concurrency_limits(limit=200)}
        for name in sorted({limit_name(dataset) for dataset in datasets} - known):
            client.upsert_global_concurrency_limit_by_name(name, 1)
