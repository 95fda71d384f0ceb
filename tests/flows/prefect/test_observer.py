"""Prefect as an observer: what it retries, and what a run is told where Prefect does not answer."""

from __future__ import annotations

from typing import Any

import pytest

from segscale.flows.config.evaluation import ConfigError
from segscale.flows.errors import ClusterLostError
from segscale.flows.observer import UNOBSERVED
from segscale.flows.prefect import observer


class State:
    """As Prefect hands it to the question whether to retry."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self, raise_on_failure: bool) -> Exception:
        assert not raise_on_failure
        return self._error


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        pytest.param(ConfigError("store.path: none"), False, id="the configuration stays as it is"),
        pytest.param(ClusterLostError("gone"), True, id="a cluster may come back"),
        pytest.param(OSError("no route"), True, id="so may a network"),
    ],
)
def test_what_is_tried_again(error: Exception, helps: bool) -> None:
    state: Any = State(error)
    assert observer._may_help(None, None, state) is helps


def test_nobody_calls_a_stage_once_and_hears_nothing() -> None:
    calls: list[str] = []
    assert UNOBSERVED.stage("ingest", lambda: calls.append("once"), retries=2) is None
    assert calls == ["once"]
    with UNOBSERVED.turn():
        UNOBSERVED.progress("ingest")(50.0)
