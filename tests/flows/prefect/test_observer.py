"""Prefect as an observer: what it retries, and what a run is told where Prefect does not answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from segscale.errors import (
    ArgumentError,
    ClusterLostError,
    ConfigError,
    DamagedStoreError,
    PermanentError,
    ReportError,
    StoreRefusedError,
)
from segscale.flows.observer import UNOBSERVED
from segscale.flows.prefect import observer


@dataclass(frozen=True)
class State:
    """As much of Prefect's as is asked."""

    error: Exception

    def result(self, *, raise_on_failure: bool) -> Exception:
        assert not raise_on_failure
        return self.error


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        pytest.param(ConfigError(""), False, id="the configuration stays as wrong as it is"),
        pytest.param(ReportError(""), False, id="so does the data"),
        pytest.param(StoreRefusedError(""), False, id="a store that cannot do it"),
        pytest.param(DamagedStoreError(""), False, id="what is damaged, until somebody repairs it"),
        pytest.param(ClusterLostError(""), True, id="another cluster may come"),
        pytest.param(PermanentError(""), True, id="on other workers"),
        pytest.param(OSError(), True, id="the network may be back"),
        pytest.param(ArgumentError(""), True, id="a defect may meet other circumstances"),
        pytest.param(ValueError(), True, id="a defect that is a ValueError is no bad data"),
    ],
)
def test_prefect_tries_a_stage_again_by_type(error: Exception, helps: bool) -> None:
    state: Any = State(error)
    assert observer._may_help(None, None, state) is helps


def test_nobody_calls_a_stage_once_and_hears_nothing() -> None:
    calls: list[str] = []
    assert UNOBSERVED.stage("ingest", lambda: calls.append("once"), retries=2) is None
    assert calls == ["once"]
    with UNOBSERVED.turn():
        UNOBSERVED.progress("ingest")(50.0)
