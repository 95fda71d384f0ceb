"""What is found out about a work pool before Prefect is loaded."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from segscale.errors import ConfigError
from segscale.flows.prefect.pool import Pool, find_pool
from segscale.flows.prefect.server import Server

SERVER = Server("http://127.0.0.1:4200/api", "PREFECT_API_URL is set")
PROCESS: dict[str, Any] = {"name": "nights", "status": "READY", "base_job_template": {"variables": {"properties": {}}}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server answers under which path, and what it was asked."""
    found: dict[str, Any] = {"answers": {}, "requests": []}

    def answer(request: httpx.Request) -> httpx.Response:
        found["requests"].append(request)
        code, body = found["answers"].get(request.url.path, (404, {"detail": "not found"}))
        if code is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(code, text=json.dumps(body))

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: real(transport=httpx.MockTransport(answer), **given))
    return found


def of_image(**image: str) -> dict[str, Any]:
    return {**PROCESS, "base_job_template": {"variables": {"properties": {"image": image}}}}


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        pytest.param(200, PROCESS, Pool("nights", True), id="a pool with workers"),
        pytest.param(200, {**PROCESS, "status": "NOT_READY"}, Pool("nights", False), id="nobody works there yet"),
        pytest.param(200, of_image(default="segscale:0.1.0-cpu"), Pool("nights", True), id="containers of an image"),
        pytest.param(401, {}, None, id="who may ask is for Prefect to say"),
        pytest.param(None, {}, None, id="and so is a certificate"),
    ],
)
def test_a_pool_that_is_there(
    code: int | None, body: dict[str, Any], expected: Pool | None, asked: dict[str, Any]
) -> None:
    asked["answers"]["/api/work_pools/nights"] = (code, body)
    assert find_pool(SERVER, "nights") == expected


@pytest.mark.parametrize(
    ("others", "words"),
    [
        pytest.param([{"name": "b"}, {"name": "a"}], "there are a, b; make it with", id="others"),
        pytest.param([], "there is none; make it with `prefect work-pool create nights", id="none"),
    ],
)
def test_a_pool_that_is_not_there_is_said_with_those_that_are(
    others: list[dict[str, str]], words: str, asked: dict[str, Any]
) -> None:
    asked["answers"]["/api/work_pools/filter"] = (200, others)
    with pytest.raises(ConfigError, match=f"--pool: expected a work pool of the server, got 'nights'; {words}"):
        find_pool(SERVER, "nights")


def test_containers_of_no_named_image_would_hold_no_segscale(asked: dict[str, Any]) -> None:
    asked["answers"]["/api/work_pools/nights"] = (200, of_image())
    with pytest.raises(ConfigError, match="nights starts containers, of an image that nobody has named"):
        find_pool(SERVER, "nights")
