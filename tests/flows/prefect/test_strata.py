"""Strata as a flow: what is asked is what the function is asked, and artifacts say what was told."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from segscale.flows.prefect import strata
from segscale.flows.reports.strata import StrataResult
from segscale.tasks.decisions.strata import GAP_COLUMNS, TAIL_COLUMNS


def _rows(columns: dict[str, str | None], **values: Any) -> dict[str, Any]:
    return {name: values.get(name, 0 if kind != "str" else "x") for name, kind in columns.items()}


def test_the_flow_publishes_both_tables_and_returns_how_many_are_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    published: dict[str, Any] = {}
    gaps = pd.DataFrame([_rows(GAP_COLUMNS, told=told, stratum=told) for told in ("alike", "lower", "cannot tell")])

    def find(report: str, **options: Any) -> StrataResult:
        asked.append((report, options))
        return StrataResult(gaps, pd.DataFrame([_rows(TAIL_COLUMNS)]), (), report)

    monkeypatch.setattr(strata, "strata", find)
    monkeypatch.setattr(strata, "publish_table", lambda rows, text, *parts: published.update({parts[0]: (rows, text)}))
    assert strata.report_strata.fn("a", by=("site",), below=0.25) == 1
    ((report, options),) = asked
    assert (report, options["by"], options["below"], options["unit"]) == ("a", ("site",), 0.25, None)
    rows, text = published["strata"]
    assert list(rows["told"]) == ["lower", "cannot tell", "alike"]
    assert text == "1 of 3 strata score lower by more than 0.01"
    assert published["tails"][1] == "dice below 0.25, and the worst 5%"
