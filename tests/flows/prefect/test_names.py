"""What runs and tasks are called."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from prefect.runtime import flow_run

from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.prefect import names

GIVEN = {"dataset": {"name": "lesions", "images": "a", "references": "b"}}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(GIVEN, id="as a deployment holds it"),
        pytest.param(EvaluationConfig.model_validate(GIVEN), id="as the command line gives it"),
    ],
)
def test_a_run_is_named_by_data_set_and_date(config: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_run, "parameters", {"config": config}, raising=False)
    assert re.fullmatch(r"lesions \d{4}-\d\d-\d\d \d\d:\d\d \S+", names.name_of_run())


def test_the_time_is_the_one_that_it_was_due_at(monkeypatch: pytest.MonkeyPatch) -> None:
    due = dt.datetime(2026, 12, 1, 2, tzinfo=dt.UTC)
    monkeypatch.setattr(flow_run, "scheduled_start_time", due, raising=False)
    assert names.name_of("lesions", "score") == f"score lesions {due.astimezone():%Y-%m-%d %H:%M %Z}"
