"""A configuration as a deployment: what is registered, and what is not overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import WorkPool, WorkPoolStatus
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.utilities.schema_tools.validation import validate

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig, load_config
from segscale.flows.prefect import schedule
from segscale.flows.prefect.due import Due
from segscale.flows.prefect.pool import Pool

NIGHTLY = Due("0 2 * * *", "Europe/Vienna")
WEEKLY = Due("0 2 * * sun", "UTC")
POOL = Pool("nights", has_workers=True)
TEXT = """
[dataset]
name = "brains"
references = "masks"
classes = ["background", "oedema", "core"]
regions = { whole = [1, 2], inner = [2] }
[predictions]
path = "predictions/*.png"
[store]
path = "work"
[report]
path = "reports"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "lesions.toml"
    path.write_text(TEXT)
    return path


def test_the_file_as_it_is_becomes_a_deployment(config: Path) -> None:
    made = schedule.deployment(load_config(config), config, NIGHTLY, POOL)
    assert (made.flow_name, made.name, made.work_pool_name) == ("evaluate-dataset", "lesions", "nights")
    assert made.concurrency_limit == 1
    (when,) = made.schedules or []
    assert (when.schedule.cron, when.schedule.timezone, when.active) == ("0 2 * * *", "Europe/Vienna", True)  # type: ignore[union-attr]
    kept = json.loads(json.dumps(made.parameters, sort_keys=True))
    assert EvaluationConfig.model_validate(kept["config"]) == load_config(config)
    assert validate(kept, made._parameter_openapi_schema.model_dump_for_openapi(), raise_on_error=False) == []


@pytest.mark.parametrize(
    ("when", "pool", "tags", "variables"),
    [
        pytest.param(NIGHTLY, POOL, ["segscale", "nightly"], {"env": schedule.HEARTBEATS}, id="a night, in a pool"),
        pytest.param(NIGHTLY, None, ["segscale", "nightly"], {}, id="a night, by this process"),
        pytest.param(WEEKLY, None, ["segscale"], {}, id="of a weekly run nobody misses a night"),
    ],
)
def test_automations_know_it_by_its_tags(
    config: Path, when: Due, pool: Pool | None, tags: list[str], variables: dict[str, Any]
) -> None:
    made = schedule.deployment(load_config(config), config, when, pool)
    assert (made.tags, made.job_variables) == (tags, variables)


class Client:
    """As much of Prefect's as is asked."""

    def __init__(self, description: str | None) -> None:
        self.description = description

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_deployment_by_name(self, name: str) -> Client:
        assert name == "evaluate-dataset/lesions"
        return self


@pytest.mark.parametrize(
    "there",
    [
        pytest.param("As `/elsewhere/lesions.toml` says it; made by `segscale schedule`.", id="of a file called alike"),
        pytest.param(None, id="of deploy/prefect.yaml"),
    ],
)
def test_a_deployment_of_something_else_is_not_overwritten(
    config: Path, there: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "get_client", lambda **_: Client(there))
    with pytest.raises(ConfigError, match="evaluate-dataset/lesions is there already and was not made of this file"):
        schedule.schedule(load_config(config), config, NIGHTLY, POOL)


def test_one_of_the_same_file_is_made_anew_by_a_pool(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    made = schedule.deployment(load_config(config), config, NIGHTLY, POOL)
    monkeypatch.setattr(schedule, "get_client", lambda **_: Client(made.description))
    monkeypatch.setattr(schedule, "limit_turns", lambda datasets: done.extend(datasets))
    monkeypatch.setattr(RunnerDeployment, "apply", lambda one: done.append(one.name))
    schedule.schedule(load_config(config), config, NIGHTLY, POOL)
    assert done == ["brains", "lesions"]


class Pools(Client):
    """A server with one pool, which is another."""

    def __init__(self) -> None:
        super().__init__(None)

    def read_work_pool(self, name: str) -> WorkPool:
        if name != "days":
            raise ObjectNotFound(ValueError("404"))
        return WorkPool(name="days", type="process", status=WorkPoolStatus.NOT_READY, default_queue_id=uuid4())

    def read_work_pools(self) -> list[WorkPool]:
        return [self.read_work_pool("days")]


def test_a_pool_that_only_prefect_may_ask_for_is_asked_for_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "get_client", lambda **_: Pools())
    assert schedule._found("days") == Pool("days", has_workers=False)
    with pytest.raises(ConfigError, match="--pool: expected a work pool of the server, got 'nights'; there are days;"):
        schedule._found("nights")


def test_without_a_pool_this_process_runs_what_is_due(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("_refuse_another", "limit_turns"):
        monkeypatch.setattr(schedule, name, lambda _: None)
    monkeypatch.setattr(schedule, "refuse_deployed", lambda made, command: done.append(f"{command} {made[0].name}"))
    monkeypatch.setattr(schedule, "run_until_stopped", lambda made: done.append(made[0].name))
    schedule.schedule(load_config(config), config, NIGHTLY, None)
    assert done == ["schedule lesions", "lesions"]
