"""deploy/prefect.yaml: it parses, and every deployment names a flow that takes the configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from ruamel.yaml import YAML

from segscale.flows.config.evaluation import EvaluationConfig, load_config
from segscale.flows.prefect import flows
from segscale.flows.prefect.concurrency import limit_name

ROOT = Path(__file__).parents[1]
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(ROOT / "deploy" / "prefect.yaml")
DEPLOYMENTS: list[dict[str, Any]] = DOCUMENT["deployments"]

each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=[entry["name"] for entry in DEPLOYMENTS])


def test_names_are_unique() -> None:
    names = [entry["name"] for entry in DEPLOYMENTS]
    assert sorted(set(names)) == sorted(names)


def test_every_flow_has_a_deployment() -> None:
    found = {f"{flows.__name__}.{name}" for name, value in vars(flows).items() if isinstance(value, Flow)}
    assert {entry["entrypoint"] for entry in DEPLOYMENTS} == found


@each_deployment
def test_entrypoint_is_a_flow_of_the_configuration(deployment: dict[str, Any]) -> None:
    flow: Flow[Any, Any] = load_flow_from_entrypoint(deployment["entrypoint"])
    assert isinstance(flow, Flow)
    assert f"{flow.fn.__module__}.{flow.fn.__name__}" == deployment["entrypoint"]
    assert list(flow.parameters.properties) == ["config"]
    assert flow.parameters.required == ["config"]
    assert flow.parameters.properties["config"]["$ref"] == "#/definitions/EvaluationConfig"
    schema = EvaluationConfig.model_json_schema(ref_template="#/definitions/{model}")
    assert flow.parameters.definitions == {**schema.pop("$defs"), "EvaluationConfig": schema}


@each_deployment
def test_parameters_are_a_valid_configuration(deployment: dict[str, Any]) -> None:
    assert set(deployment["parameters"]) == {"config"}
    EvaluationConfig.model_validate(deployment["parameters"]["config"])


@each_deployment
def test_paths_do_not_depend_on_the_folder_of_a_worker(deployment: dict[str, Any]) -> None:
    config = EvaluationConfig.model_validate(deployment["parameters"]["config"])
    paths = [config.dataset.images, config.dataset.references, config.dataset.manifest, config.predictions.path]
    paths += [config.store.path, config.report.path]
    if deployment["entrypoint"] == f"{flows.__name__}.train_model":
        paths.append(config.train.output)
    relative = [path for path in paths if path and "://" not in path and not Path(path).is_absolute()]
    assert relative == []


@each_deployment
def test_no_schedule_runs_before_somebody_says_so(deployment: dict[str, Any]) -> None:
    assert all(schedule["active"] is False for schedule in deployment.get("schedules", []))


def test_the_main_job_and_the_training_are_scheduled() -> None:
    scheduled = [entry["entrypoint"] for entry in DEPLOYMENTS if entry.get("schedules")]
    assert scheduled == [f"{flows.__name__}.{name}" for name in ("evaluate_dataset", "evaluate_dataset", "train_model")]


def test_a_night_of_predictions_needs_no_network() -> None:
    by_name = {entry["name"]: entry for entry in DEPLOYMENTS}
    written = EvaluationConfig.model_validate(by_name["nightly-predictions"]["parameters"]["config"])
    for config in (written, load_config(ROOT / "deploy" / "lesions.toml")):
        assert config.predictions.path
        assert not config.model.path
    page = (ROOT / "docs" / "prefect.md").read_text()
    shown = (ROOT / "deploy" / "lesions.toml").read_text().partition("[dataset]")
    assert f"```toml\n{shown[1]}{shown[2]}```" in page


def test_the_header_makes_every_pool_and_limit_that_is_asked_for() -> None:
    header = (ROOT / "deploy" / "prefect.yaml").read_text().partition("\nname:")[0]
    made = re.findall(r"^#   prefect work-pool create (\S+) --type (\S+)", header, re.MULTILINE)
    assert {name for name, _ in made} == {entry["work_pool"]["name"] for entry in DEPLOYMENTS}
    limits = re.findall(r"^#   prefect gcl create (\S+) ", header, re.MULTILINE)
    datasets = {entry["parameters"]["config"]["dataset"]["name"] for entry in DEPLOYMENTS}
    assert limits == [limit_name(name) for name in datasets]
    # docs/prefect.md, whose commands are run, has the same.
    page = (ROOT / "docs" / "prefect.md").read_text()
    for command in re.findall(r"^#   (prefect \S.*)$", header, re.MULTILINE):
        assert f"\n{command}\n" in page.replace("\n    ", "\n"), command


def test_the_nightly_run_is_the_main_job() -> None:
    name = "nightly"
    by_name = {entry["name"]: entry for entry in DEPLOYMENTS}
    for key in ("entrypoint", "parameters", "work_pool", "concurrency_limit"):
        assert by_name[name][key] == by_name["evaluate"][key]
    assert by_name[name]["schedules"]


@each_deployment
def test_every_run_is_tagged_and_waits_its_turn(deployment: dict[str, Any]) -> None:
    # The automations look for the tag.
    assert "segscale" in deployment["tags"]
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
