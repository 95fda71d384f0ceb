"""How a run ends at the server: which state, and what its message says."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.states import Failed

from segscale.errors import ConfigError
from segscale.flows.config.sections import Report
from segscale.flows.prefect import ending
from segscale.flows.prefect.ending import end_of_run, end_of_stage, result_of
from segscale.flows.report import RunResult
from segscale.flows.stage import StageSummary
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.reasons import Reason


@pytest.fixture(autouse=True)
def rested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done so that nobody tries the run again."""
    found: list[str] = []
    monkeypatch.setattr(ending, "let_it_rest", lambda: found.append("rests"))
    return found


def run_with(n_images: int, n_failed: int, **known: Any) -> RunResult:
    return RunResult("/reports/d/0a", "0a", n_images, n_failed, False, pd.DataFrame(), **known)


@pytest.mark.parametrize(
    ("n_images", "n_failed", "rate", "failed"),
    [
        pytest.param(180, 0, 0.0, False, id="a sound run"),
        pytest.param(180, 1, 0.0, True, id="one image, none allowed"),
        pytest.param(100, 29, 0.29, False, id="as many as allowed, whose product with the rate is rounded down"),
        pytest.param(100, 30, 0.29, True, id="one more than allowed"),
        pytest.param(3, 3, 1.0, False, id="all, and all are allowed"),
        pytest.param(0, 0, 0.0, False, id="a stage with nothing to do"),
    ],
)
def test_above_the_rate_a_run_is_failed_for_good(
    n_images: int, n_failed: int, rate: float, failed: bool, rested: list[str]
) -> None:
    allowed = Report(max_failure_rate=rate)
    result, summary = run_with(n_images, n_failed), StageSummary("score", 3, 1, 2, n_images, n_failed, 0.5)
    states: list[Any] = [end_of_run(result, allowed), end_of_stage(summary, allowed)]
    assert {state.type for state in states} == {StateType.FAILED if failed else StateType.COMPLETED}
    assert rested == ["rests"] * 2 * failed
    for state in states:
        assert ("more than report.max_failure_rate" in state.message) is failed
    assert [result_of(state) for state in states] == [result, summary]


def test_the_message_has_counts_reasons_findings_and_the_report() -> None:
    kinds = [Reason("score", f"Kind{place}", 20 - place, f"i{place}", f"why {place}") for place in range(7)]
    findings = (
        Finding("a", "error", "label values differ", "3 of 4", "r"),
        Finding("b", "warning", "few images", "4", "r"),
    )
    state: Any = end_of_run(
        run_with(180, 130, n_missing=7, reasons=tuple(kinds), findings=findings), Report(max_failure_rate=0.05)
    )
    said = state.message.split("; ")
    assert state.message.startswith(
        "180 images, 130 failed (7 of them without a usable prediction; see failures.parquet); "
        "more than report.max_failure_rate = 0.05 allows; 20 in score, Kind0: e.g. i0: why 0; "
    )
    # Five reasons of 20 + 19 + 18 + 17 + 16 images, and the rest of 130.
    assert said[-5:] == [
        "16 in score, Kind4: e.g. i4: why 4",
        "40 for other reasons",
        "error: label values differ (3 of 4)",
        "warning: few images (4)",
        "report: /reports/d/0a",
    ]


def test_a_failed_run_still_gives_its_result_and_an_error_is_raised() -> None:
    result = run_with(2, 1)
    kept: State[Any] = Failed(data=ending.FailedImagesError("1 failed", result))
    assert result_of(kept) is result
    raised: State[Any] = Failed(data=ConfigError("dataset: nothing there"))
    with pytest.raises(ConfigError, match="nothing there"):
        result_of(raised)
