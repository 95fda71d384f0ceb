"""`segscale schedule`: what is refused is refused before Prefect is loaded, in the words of who typed it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segscale.errors import ConfigError
from segscale.flows.prefect import pool, server
from segscale.flows.prefect.pool import Pool
from segscale.flows.prefect.server import Server
from tests.conftest import Outcome

NIGHT = ("--cron", "0 2 * * *")
SOUND = {"dataset": {"name": '"x"', "references": '"masks"'}, "predictions": {"path": '"predictions/*.png"'}}


@pytest.fixture
def no_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads what registers a deployment, and Prefect with it, fails."""
    for name in [name for name in sys.modules if name == "segscale.flows.prefect.schedule"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "segscale.flows.prefect.schedule", None)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "configured_server", lambda: Server("http://127.0.0.1:9/api", "PREFECT_API_URL is set"))
    monkeypatch.setattr(server, "check_answers", lambda _: None)


@pytest.mark.usefixtures("no_prefect", "answering")
@pytest.mark.parametrize(
    ("sections", "arguments", "words"),
    [
        pytest.param(SOUND, ("--cron", "at night"), '--cron: expected five fields, .* got "at night"', id="wrong cron"),
        pytest.param({"dataste": {}}, NIGHT, "dataste: unknown section", id="wrong configuration"),
        pytest.param(SOUND, NIGHT, "dataset.references: .*expected files, found none", id="files that are not there"),
        pytest.param(SOUND, (), "Missing option '--cron'", id="no cron"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    sections: dict[str, dict[str, str]], arguments: tuple[str, ...], words: str, write_config: Callable[..., Path],
    segscale_here: Callable[..., Outcome],
) -> None:  # fmt: skip
    outcome = segscale_here("schedule", write_config(**sections), *arguments)
    assert outcome.code == 2
    assert any(re.search(words, line) for line in outcome.err.splitlines()), outcome.err


@pytest.mark.usefixtures("no_prefect")
def test_no_server(
    write_config: Callable[..., Path], segscale_here: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "configured_server", lambda: None)
    outcome = segscale_here("schedule", write_config(**SOUND), *NIGHT)
    assert outcome.code == 2
    assert "schedule: expected a Prefect server, PREFECT_API_URL is not set" in outcome.err


@pytest.mark.usefixtures("no_prefect", "answering")
def test_no_pool(
    write_config: Callable[..., Path], segscale_here: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_server: Server, name: str) -> Pool:
        raise ConfigError(f"--pool: expected a work pool of the server, got {name!r}")

    monkeypatch.setattr(pool, "find_pool", refuse)
    outcome = segscale_here("schedule", write_config(**SOUND), *NIGHT, "--pool", "nights")
    assert (outcome.code, outcome.err) == (2, "segscale: --pool: expected a work pool of the server, got 'nights'\n")
