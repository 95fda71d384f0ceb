"""The gate as a flow: the state of the run is the verdict, and artifacts say why."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from prefect.client.schemas.objects import StateType

from segscale.flows.prefect import gate
from segscale.flows.reports.gate import GateResult
from segscale.tasks.decisions.gate import COLUMNS


def _result(verdict: str) -> GateResult:
    row = {name: 0.0 if kind == "float64" else 1 if kind == "Int64" else "x" for name, kind in COLUMNS.items()}
    return GateResult(verdict, f"{verdict}: of 1", pd.DataFrame([{**row, "verdict": verdict}]), (), (), "a", "b")


@pytest.mark.parametrize(
    ("verdict", "kind", "name"),
    [
        ("pass", StateType.COMPLETED, "Completed"),
        ("fail", StateType.FAILED, "Fail"),
        ("cannot tell", StateType.FAILED, "Cannot tell"),
    ],
)
def test_the_state_is_the_verdict(verdict: str, kind: StateType, name: str) -> None:
    state = gate.state_of(_result(verdict))
    assert (state.type, state.name, state.message) == (kind, name, f"{verdict}: of 1")


def test_what_is_asked_is_what_the_function_is_asked_and_artifacts_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    published: dict[Any, Any] = {}

    def judge(base: str | None, new: str, **options: Any) -> GateResult:
        asked.append((base, new, options))
        return _result("fail")

    monkeypatch.setattr(gate, "gate", judge)
    monkeypatch.setattr(gate, "publish_table", lambda rows, text, *parts: published.update({parts[0]: (rows, text)}))
    monkeypatch.setattr(gate, "publish_text", lambda text, said, *parts: published.update({parts: (text, said)}))
    state = gate.gate_reports.fn("new", base="old", margin={"dice": 0.1}, by=("site",))
    assert state.name == "Fail"
    ((base, new, options),) = asked
    assert (base, new, options["margin"], options["by"], options["unit"]) == (
        "old",
        "new",
        {"dice": 0.1},
        ("site",),
        None,
    )
    rows, text = published["gate"]
    assert (list(rows), text) == (gate.SHOWN, "fail: of 1")
    assert published["gate", "verdict"][0].startswith("## ❌ segscale gate: fail")
