"""A good night and a bad one of `segscale schedule`, on a real server: state, message, word of it, artifacts, logs."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.prefect_team import AUTH, BIN, Team, move_images

pytestmark = pytest.mark.nightly(part="prefect")

EVERY_MINUTE = {"0 2": "* *"}
"""The same command, for whom a night begins within a minute."""
BROKEN = 5


@dataclass(frozen=True)
class Night:
    """What a run left."""

    run: dict[str, Any]
    artifacts: dict[str, dict[str, Any]]
    logs: list[dict[str, Any]]
    posted: tuple[str, ...]
    """What had been told to somebody when it was over."""


def schedule(team: Team, option: str, *arguments: str, **instead: str) -> str:
    """Run the command of docs/prefect.md that schedules deploy/lesions.toml with this option first; what it says."""
    process = start(team, option, "schedule", *arguments, **instead)
    code = process.wait(timeout=240)
    assert code == 0, team.log("schedule")
    return team.log("schedule")


def start(team: Team, option: str, log: str, *arguments: str, **instead: str) -> subprocess.Popen[bytes]:
    command = team.written(f"segscale schedule deploy/lesions.toml {option}")
    for word, given in instead.items():
        command = command.replace(word, given)
    program, *given_arguments = shlex.split(command)
    return team.start(log, BIN / program, *given_arguments, *arguments)


@pytest.fixture(scope="module")
def scheduled(team: Team, phantoms: Path) -> Team:
    """deploy/lesions.toml with the paths of this test, deployed to a pool, due every minute."""
    stems = sorted(path.stem for path in (phantoms / "images").glob("*.png"))
    move_images(phantoms, team.folder / "lesions", stems[:32])
    path = team.folder / "deploy" / "lesions.toml"
    path.write_text(path.read_text().replace("/srv/segscale/", f"{team.folder}/"))
    assert "expected a work pool of the server, got 'segscale'; there is none" in refused(team, "--pool")
    team.run("prefect work-pool create segscale ")
    said = schedule(team, "--pool", **EVERY_MINUTE)
    assert "no worker is there yet: prefect worker start --pool segscale" in said
    assert "schedule: evaluate-dataset/lesions, next " in said
    return team


def refused(team: Team, option: str) -> str:
    process = start(team, option, "refused")
    assert process.wait(timeout=240) == 2, team.log("refused")
    return team.log("refused")


@pytest.fixture(scope="module")
def worker(scheduled: Team) -> subprocess.Popen[bytes]:
    # A team that wants lost machines to be tried again has bad nights tried once all the same.
    environment = {**scheduled.environment, "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_FLOWS_DEFAULT_RETRIES": "2"}
    program, *arguments = shlex.split(scheduled.written("prefect worker start"))
    return scheduled.start("worker", BIN / program, *arguments, env=environment)


def look(team: Team, run: dict[str, Any], worker: subprocess.Popen[bytes]) -> Night:
    return Night(run, team.artifacts(), team.logs(run, worker, "worker"), tuple(team.posted))


@pytest.fixture(scope="module")
def good(scheduled: Team, worker: subprocess.Popen[bytes]) -> Night:
    run = scheduled.finished("lesions", 1, worker, "worker")
    night = look(scheduled, run, worker)
    # From now on it is due at two in the night, so that it does not begin beside what comes.
    schedule(scheduled, "--pool")
    return night


@pytest.fixture(scope="module")
def bad(scheduled: Team, good: Night, worker: subprocess.Popen[bytes]) -> Night:
    predictions = sorted((scheduled.folder / "lesions" / "predictions").iterdir())
    for path in predictions[:BROKEN]:
        path.write_bytes(b"no image")
    before = {run["id"] for run in scheduled.runs("lesions")}
    scheduled.news.clear()
    scheduled.run("prefect deployment run evaluate-dataset/lesions")
    finished = scheduled.finished("lesions", len(before & ended(scheduled)) + 1, worker, "worker")
    assert finished["id"] not in {good.run["id"]}
    assert scheduled.news.wait(timeout=120), "nobody was told"
    return look(scheduled, finished, worker)


def ended(team: Team) -> set[str]:
    return {run["id"] for run in team.runs("lesions") if run["end_time"]}


def test_scheduling_again_replaces_the_schedule(scheduled: Team, good: Night) -> None:
    assert good
    found = scheduled.deployment("lesions")
    assert [one["schedule"]["cron"] for one in found["schedules"]] == ["0 2 * * *"]
    assert (found["work_pool_name"], found["tags"]) == ("segscale", ["segscale", "nightly"])
    assert found["global_concurrency_limit"]["limit"] == 1
    limit = httpx.get(f"{scheduled.api}/v2/concurrency_limits/segscale-lesions", timeout=30, auth=AUTH)
    assert limit.json()["limit"] == 1


def test_a_good_night_begins_by_its_schedule_and_nobody_is_told(good: Night) -> None:
    assert good.run["auto_scheduled"]
    assert good.run["state_type"] == "COMPLETED"
    assert good.run["state"]["message"].startswith("32 images, 0 failed; ")
    assert good.posted == ()


def test_a_bad_night_is_failed_once_with_counts_and_reasons(bad: Night, scheduled: Team) -> None:
    assert bad.run["state_type"] == "FAILED"
    assert bad.run["run_count"] == 1
    said = bad.run["state"]["message"]
    assert said.startswith(
        "32 images, 5 failed (5 of them without a usable prediction; see failures.parquet); more than "
    )
    assert "report.max_failure_rate = 0.02 allows; 5 in score, UnreadableImage: e.g. phantom_0000: " in said
    assert "; warning: failed images are in no mean" in said
    report = Path(said.rpartition("report: ")[2])
    assert json.loads((report / "run.json").read_text())["n_failed"] == BROKEN
    assert report.is_relative_to(scheduled.folder / "reports" / "lesions")


def test_the_automation_says_so(bad: Night) -> None:
    (told,) = bad.posted
    assert "Segscale: lesions Failed" in told
    assert "32 images, 5 failed" in told
    assert bad.run["name"] in told


def test_runs_and_tasks_are_named_and_log_what_segscale_says(scheduled: Team, good: Night, bad: Night) -> None:
    for night in (good, bad):
        assert re.fullmatch(r"lesions \d{4}-\d\d-\d\d \d\d:\d\d \S+", night.run["name"])
        flow_runs = {"id": {"any_": [night.run["id"]]}}
        tasks = {one["name"] for one in scheduled.ask("task_runs/filter", flow_runs=flow_runs)}
        assert tasks == {f"{stage} {night.run['name']}" for stage in ("score", "report")}
        own = [one for one in night.logs if one["name"] == "segscale"]
        assert any(re.match(r"score: \d+ shards? to do", one["message"]) for one in own)
        assert any(re.match(r"score: \d+ images in ", one["message"]) for one in own)
        assert all(one["task_run_id"] for one in own if one["message"].startswith("score: "))


def test_artifacts_are_the_headline_the_gap_the_failures_and_a_link(good: Night, bad: Night) -> None:
    for night in (good, bad):
        headline = json.loads(night.artifacts["segscale-lesions"]["data"])
        assert {"per-sample", "pooled"} <= set(headline[0])
        assert re.match(r"Pooled Dice of lesion ", night.artifacts["segscale-lesions-gap"]["data"])
        run_id = night.run["state"]["message"].rpartition("/")[2]
        page = f"https://reports.example/lesions/{run_id}/report.html"
        assert page in night.artifacts["segscale-lesions-page"]["data"]
    assert "segscale-lesions-failures" not in good.artifacts
    assert len(json.loads(bad.artifacts["segscale-lesions-failures"]["data"])) == BROKEN
    (reason,) = json.loads(bad.artifacts["segscale-lesions-reasons"]["data"])
    assert reason["n_images"] == BROKEN


def embedded(text: str) -> Iterator[tuple[str, bytes]]:
    for kind, content in re.findall(r"data:([\w/+.-]+);base64,([A-Za-z0-9+/=]+)", text):
        yield kind, base64.b64decode(content)


def test_no_pixel_of_the_data_set_is_at_the_server(scheduled: Team, good: Night, bad: Night) -> None:
    assert good
    assert bad
    everything = scheduled.ask("artifacts/filter", limit=200)
    found = [one for artifact in everything for one in embedded(json.dumps(artifact))]
    assert len(found) == 2, "a plot of the gap for each night"
    for kind, content in found:
        # A drawing of lines and letters; pixels would stand in an element `image`.
        assert kind == "image/svg+xml"
        names = {element.tag.rpartition("}")[2] for element in ET.fromstring(content).iter()}
        assert names <= {"svg", "defs", "style", "clipPath", "g", "path", "rect", "text", "use"}
        assert b"data:" not in content
    told = json.dumps(
        [everything, *(scheduled.ask(f"{what}/filter", limit=200) for what in ("logs", "flow_runs", "task_runs"))]
    )
    assert "file://" not in told
    for path in (scheduled.folder / "lesions").rglob("*.png"):
        data = path.read_bytes()
        if len(data) > 100:
            assert base64.b64encode(data[33:93]).decode() not in told, path


def test_without_a_pool_the_command_itself_runs_what_is_due(
    scheduled: Team, bad: Night, worker: subprocess.Popen[bytes]
) -> None:
    assert bad
    assert "evaluate-dataset/lesions is deployed to the work pool 'segscale' already" in refused(scheduled, "--cron")
    worker.send_signal(signal.SIGINT)
    worker.wait(timeout=120)
    found = scheduled.deployment("lesions")
    httpx.delete(f"{scheduled.api}/deployments/{found['id']}", timeout=60, auth=AUTH).raise_for_status()
    process = start(scheduled, "--cron", "serving", **EVERY_MINUTE)
    run = scheduled.finished("lesions", 1, process, "serving")
    assert run["state_type"] == "FAILED"
    assert run["state"]["message"].startswith("32 images, 5 failed")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130, scheduled.log("serving")
    said = scheduled.log("serving")
    assert "by this process; stop with Ctrl-C, which pauses the schedule" in said
    assert "Traceback" not in said
    assert scheduled.deployment("lesions")["paused"]


def test_a_file_called_alike_does_not_take_the_place_of_another(scheduled: Team, bad: Night) -> None:
    assert bad
    other = scheduled.folder / "other" / "deploy"
    other.mkdir(parents=True)
    shutil.copy2(scheduled.folder / "deploy" / "lesions.toml", other)
    program, *arguments = shlex.split(scheduled.written("segscale schedule deploy/lesions.toml --cron"))
    process = scheduled.start("alike", BIN / program, *arguments, cwd=other.parent)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=240)
    assert process.returncode == 2, scheduled.log("alike")
    assert "was not made of this file" in scheduled.log("alike")
