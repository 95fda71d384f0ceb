"""Which way a job goes, and that one line says so."""

from __future__ import annotations

import logging

import pytest

from segscale.flows.cli import route
from segscale.flows.prefect.server import Server

SERVER = Server("http://127.0.0.1:4200/api", "PREFECT_API_URL is set")


@pytest.mark.parametrize(
    ("server", "asked", "expected", "said"),
    [
        pytest.param(None, False, False, "prefect: left out", id="nobody asked"),
        pytest.param(None, True, True, "prefect: a server of this run alone", id="--prefect"),
        pytest.param(SERVER, False, True, "prefect: shown at http://127.0.0.1:4200/api", id="a server is configured"),
        pytest.param(SERVER, True, True, "prefect: shown at http://127.0.0.1:4200/api", id="both"),
    ],
)
def test_the_way(
    server: Server | None, asked: bool, expected: bool, said: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(route, "configured_server", lambda: server)
    monkeypatch.setattr("segscale.flows.cli.route.logger.propagate", True)
    with caplog.at_level(logging.INFO, logger="segscale"):
        assert route.through_prefect(asked) is expected
    (line,) = caplog.messages
    assert line.startswith(said)
