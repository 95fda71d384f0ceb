"""What of a prefect.yaml is served, and what is wrong with one, in a line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.schema_tools.validation import validate
from ruamel.yaml import YAML

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.prefect.concurrency import limit_name
from segscale.flows.prefect.serve import read_deployments, serve

ROOT = Path(__file__).parents[3]
CONFIG: dict[str, Any] = {"dataset": {"name": "x", "images": "a/*.png", "references": "b"}, "store": {"path": "store"}}
GOOD: dict[str, Any] = {
    "name": "nightly",
    "entrypoint": "segscale.flows.prefect.flows.evaluate_dataset",
    "parameters": {"config": CONFIG},
    "schedules": [{"cron": "0 2 * * *", "timezone": "Europe/Vienna", "active": False}],
}


def write(folder: Path, *entries: Any) -> Path:
    path = folder / "prefect.yaml"
    YAML().dump({"deployments": list(entries)}, path)
    return path


def test_the_file_of_the_repository_is_served_but_for_containers() -> None:
    found = read_deployments(ROOT / "deploy" / "prefect.yaml")
    assert [one.name for one in found.deployments] == [
        "evaluate", "nightly", "nightly-predictions", "ingest", "predict", "score", "report", "repair", "train",
    ]  # fmt: skip
    assert found.elsewhere == ("evaluate-docker", "evaluate-kubernetes")
    assert found.datasets == ("lesions",)
    for one in found.deployments:
        assert one.concurrency_limit == 1
        assert "segscale" in one.tags
        assert all(schedule.active is False for schedule in one.schedules or [])


def test_a_deployment_is_as_written_with_paths_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (one,) = read_deployments(write(tmp_path, GOOD)).deployments
    assert one.entrypoint == GOOD["entrypoint"]
    assert one.parameters["config"]["store"]["path"] == str(tmp_path / "store")
    (schedule,) = one.schedules or []
    assert schedule.active is False
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("0 2 * * *", "Europe/Vienna")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "dataset",
    [
        pytest.param({}, id="nothing asked for"),
        pytest.param({"regions": {"all": [1]}, "classes": ["background", "a"]}, id="regions"),
        pytest.param({"volume": 1, "segment": 3, "spacing_mm": [2.5, 0.8, 0.8], "ignore_label": 9}, id="volumes"),
        pytest.param({"segment": "each", "layout": "dicom"}, id="each segment"),
    ],
)
def test_a_server_takes_the_configuration_by_the_schema_of_its_flow(tmp_path: Path, dataset: dict[str, Any]) -> None:
    config = {**CONFIG, "dataset": {**CONFIG["dataset"], **dataset}}
    (one,) = read_deployments(write(tmp_path, {**GOOD, "parameters": {"config": config}})).deployments
    kept = json.loads(json.dumps(one.parameters))
    assert validate(kept, one._parameter_openapi_schema.model_dump_for_openapi(), raise_on_error=False) == []


def test_regions_keep_their_order_in_a_store_that_sorts_tables(tmp_path: Path) -> None:
    labels = {"classes": ["background", "a", "b"], "regions": {"whole": [1, 2], "core": [2]}}
    config = {**CONFIG, "dataset": {**CONFIG["dataset"], **labels}}
    (one,) = read_deployments(write(tmp_path, {**GOOD, "parameters": {"config": config}})).deployments
    kept = json.loads(json.dumps(one.parameters["config"], sort_keys=True))
    assert list(EvaluationConfig.model_validate(kept).dataset.regions.items()) == [("whole", (1, 2)), ("core", (2,))]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        pytest.param("nightly", "expected a table with a name", id="no table"),
        pytest.param({**GOOD, "name": None}, "expected a table with a name", id="no name"),
        pytest.param({**GOOD, "parameters": {}}, "'nightly': dataset: required", id="no configuration"),
        pytest.param({**GOOD, "parameters": [1]}, "parameters: expected a table", id="a list of parameters"),
        pytest.param(
            {**GOOD, "parameters": {"config": CONFIG | {"stroe": {}}}}, "'nightly': stroe: unknown section", id="a typo"
        ),
        pytest.param({**GOOD, "entrypoint": "segscale.flows.prefect.flows.none"}, "expected a flow", id="no such flow"),
        pytest.param({**GOOD, "entrypoint": "segscale.flows.elsewhere.run"}, "expected a flow", id="no such module"),
        pytest.param({**GOOD, "entrypoint": "os.system"}, "expected a flow like", id="no module of ours"),
        pytest.param(
            {**GOOD, "entrypoint": "segscale.flows.config.evaluation.load_config"}, "expected a flow", id="no flow"
        ),
        pytest.param({**GOOD, "schedules": [{"cron": "at night"}]}, "schedules: ", id="no cron"),
        pytest.param({**GOOD, "schedules": [{"rrule": "x"}]}, "schedules: expected cron", id="another schedule"),
        pytest.param({**GOOD, "concurrency_limit": "one"}, "'nightly': ", id="no number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, entry: Any, words: str) -> None:
    path = write(tmp_path, entry)
    with pytest.raises(ConfigError, match=words) as caught:
        read_deployments(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(None, "found none; name it with --file", id="no file"),
        pytest.param("deployments: [", "expected YAML", id="no YAML"),
        pytest.param("a: b", "expected a list named deployments", id="another file"),
        pytest.param("deployments: !!python/object/apply:os.system [x]", "expected", id="code"),
    ],
)
def test_a_file_without_deployments(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "prefect.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_deployments(path)


def test_serving_needs_a_server(tmp_path: Path) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(ConfigError, match="PREFECT_API_URL"):
        serve(write(tmp_path, GOOD))
    nobody = "http://127.0.0.1:1/api"
    with (
        temporary_settings({PREFECT_API_URL: nobody}),
        pytest.raises(ConfigError, match=f"server at {nobody}: Connect"),
    ):
        serve(write(tmp_path, GOOD))


def test_limits_are_named_by_the_data_set() -> None:
    assert limit_name("MS_lesions.2") == "segscale-ms-lesions-2"
