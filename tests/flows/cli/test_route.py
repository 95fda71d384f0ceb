"""Which way a job goes, and that one line says so."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from segscale.errors import ConfigError
from segscale.flows.cli.route import run_job
from segscale.flows.prefect import flows, own_server, server
from segscale.flows.prefect.server import Server

SERVER = Server("http://127.0.0.1:4200/api", "PREFECT_API_URL is set")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    """A job, and what of it was called in which order."""
    calls: list[str] = []

    def run(_config: object, observer: Any) -> str:
        calls.append("check")
        with observer.turn():
            calls.append("run")
        return "the result"

    def flow(_config: object, *, return_state: bool) -> State[str]:
        assert return_state
        calls.append("flow")
        return Completed(data="the result")

    by_run: dict[Any, Any] = flows.FLOW_OF
    monkeypatch.setitem(by_run, run, flow)
    monkeypatch.setattr(server, "check_answers", lambda _: calls.append("server"))
    monkeypatch.setattr(own_server, "start_own_server", lambda: calls.append("own server"))
    return SimpleNamespace(check=lambda _: calls.append("check"), run=run), calls


@pytest.mark.parametrize(
    ("configured", "prefect", "expected", "said"),
    [
        pytest.param(None, False, ["check", "run"], "prefect: left out", id="nobody asked"),
        pytest.param(
            None, True, ["check", "own server", "flow"], "prefect: a server of this run alone", id="--prefect"
        ),
        pytest.param(
            SERVER, False, ["check", "server", "flow"], "prefect: shown at http://127.0.0.1:4200/api", id="a server"
        ),
        pytest.param(SERVER, True, ["check", "server", "flow"], "prefect: shown at http", id="both"),
    ],
)
def test_the_way(
    configured: Server | None, prefect: bool, expected: list[str], said: str, asked: tuple[Any, list[str]],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(server, "configured_server", lambda: configured)
    monkeypatch.setattr("segscale.flows.cli.route.logger.propagate", True)
    job, calls = asked
    nothing: Any = None
    with caplog.at_level(logging.INFO, logger="segscale"):
        assert run_job(job, nothing, prefect) == "the result"
    assert calls == expected
    (line,) = caplog.messages
    assert line.startswith(said)


@pytest.mark.parametrize("configured", [None, SERVER])
def test_what_cannot_run_says_one_line_and_starts_nothing(
    configured: Server | None, asked: tuple[Any, list[str]],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def refuse(*_: object) -> None:
        raise ConfigError("dataset: nothing there")

    monkeypatch.setattr(server, "configured_server", lambda: configured)
    monkeypatch.setattr("segscale.flows.cli.route.logger.propagate", True)
    job, calls = asked
    job.check = refuse
    if configured is None:
        job.run = refuse
    nothing: Any = None
    with caplog.at_level(logging.INFO, logger="segscale"), pytest.raises(ConfigError, match="nothing there"):
        run_job(job, nothing, prefect=False)
    assert (calls, caplog.messages) == ([], [])


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        pytest.param(None, ["run of files"], id="plain: the run takes it"),
        pytest.param(
            SERVER, ["check of files"], id="a server: the check does, and a flow gets the configuration alone"
        ),
    ],
)
def test_what_is_known_is_handed_on(
    configured: Server | None, expected: list[str], asked: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "configured_server", lambda: configured)
    job, _ = asked
    taken: list[str] = []
    job.check = lambda _, listed: taken.append(f"check {listed}")
    if configured is None:
        job.run = lambda _, _observer, listed: taken.append(f"run {listed}")
    nothing: Any = None
    run_job(job, nothing, None, listed="of files")
    assert taken == expected


def test_every_job_has_its_flow() -> None:
    defined = {value.name for value in vars(flows).values() if isinstance(value, Flow)}
    assert {flow.name for flow in flows.FLOW_OF.values()} == defined
    assert all(run.__module__.startswith("segscale.flows.") for run in flows.FLOW_OF)
