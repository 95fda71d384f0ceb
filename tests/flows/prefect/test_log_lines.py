"""Which log lines reach the server, and under whose name."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from prefect.logging import handlers

from segscale.flows.prefect.log_lines import log_lines_at_the_server

RUN = "6f1e1d5e-8d1a-4b1f-9d1e-000000000001"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(handlers, "emit_api_log", found.append)
    return found


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """Segscale's, as a worker of Prefect has it: nobody has set anything."""
    found = logging.getLogger("segscale")
    monkeypatch.setattr(found, "handlers", [])
    monkeypatch.setattr(found, "level", logging.NOTSET)
    found.manager._clear_cache()  # type: ignore[attr-defined]  # a logger remembers which levels it lets through
    return found


def test_lines_of_a_run_go_to_the_server_also_those_of_its_threads(
    sent: list[dict[str, Any]], logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", RUN)
    with log_lines_at_the_server():
        logger.info("score: 2 shards to do")
        logger.debug("nobody asked")
        thread = threading.Thread(target=logger.warning, args=("of a thread",))
        thread.start()
        thread.join()
    logger.warning("after the run")
    assert [(one["message"], one["flow_run_id"], one["task_run_id"]) for one in sent] == [
        ("score: 2 shards to do", RUN, None),
        ("of a thread", RUN, None),
    ]
    assert (logger.handlers, logger.level) == ([], logging.NOTSET)


def test_a_quiet_command_stays_quiet(
    sent: list[dict[str, Any]], logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", RUN)
    logger.setLevel(logging.WARNING)
    with log_lines_at_the_server():
        logger.info("progress")
        logger.warning("something is wrong")
    assert [one["message"] for one in sent] == ["something is wrong"]


def test_nothing_comes_twice_where_prefect_was_asked_for_it(
    sent: list[dict[str, Any]], logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", RUN)
    own = handlers.APILogHandler()
    logger.addHandler(own)
    with log_lines_at_the_server():
        assert logger.handlers == [own]
    assert sent == []


def test_without_a_run_nothing_is_sent(sent: list[dict[str, Any]], logger: logging.Logger) -> None:
    with log_lines_at_the_server():
        logger.warning("alone")
    assert (sent, logger.handlers) == ([], [])
