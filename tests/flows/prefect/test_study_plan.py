"""The plan of a study as a flow: what is asked is what the function is asked, and artifacts hold it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from segscale.flows.prefect import study_plan
from segscale.flows.reports.study_plan import PlanResult
from segscale.tasks.decisions.study_plan import PLAN_COLUMNS


def test_the_flow_publishes_sizes_and_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    published: dict[Any, Any] = {}
    row = {name: 0 if kind != "str" else "x" for name, kind in PLAN_COLUMNS.items()}
    sizes = pd.DataFrame([{**row, "told": told} for told in ("more", "enough", "more")])

    def find(report: str, second: str | None, **options: Any) -> PlanResult:
        asked.append((report, second, options))
        return PlanResult(sizes, sizes, (), report, "")

    monkeypatch.setattr(study_plan, "plan", find)
    monkeypatch.setattr(study_plan, "publish_table", lambda rows, text, *parts: published.update({parts: (rows, text)}))
    assert study_plan.plan_study.fn("a", "b", width=0.1, by=("site",)) == 2
    ((report, second, options),) = asked
    assert (report, second, options["width"], options["by"], options["difference"]) == ("a", "b", 0.1, ("site",), None)
    assert published["plan",][1] == "2 of 3 goals need more than there is"
    assert ("plan", "curves") in published
