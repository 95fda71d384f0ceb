"""Reconciling as a flow: what is asked is what the function is asked, and artifacts hold what it found."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from segscale.flows.prefect import reconcile
from segscale.flows.reports.reconcile import Reconciliation


def test_the_flow_publishes_totals_steps_and_what_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    published: dict[Any, Any] = {}
    totals = pd.DataFrame({"verdict": ["explained", "cannot tell", "undefined"]})
    steps, cases, alone = (pd.DataFrame({"row": [name]}) for name in ("steps", "cases", "alone"))

    def find(report: str, summary: str, **options: Any) -> Reconciliation:
        asked.append((report, summary, options))
        return Reconciliation(report, summary, "version 2", totals, steps, cases, alone, ("labels by value",))

    monkeypatch.setattr(reconcile, "reconcile", find)
    monkeypatch.setattr(reconcile, "publish_table", lambda rows, text, *parts: published.update({parts: (rows, text)}))
    assert reconcile.reconcile_report.fn("a", "summary.json", head="last") == 1
    assert asked == [("a", "summary.json", {"head": "last"})]
    assert set(published) == {("reconcile", name) for name in ("totals", "steps", "alone")}
    rows, text = published["reconcile", "alone"]
    assert (list(rows["row"]), text) == (["alone"], "1 of 3 numbers are not explained; labels by value")
