"""The calibration of a report as a flow: its tables are artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segscale.flows.prefect import calibration

REPORT = str(Path(__file__).parents[2] / "fixtures" / "0bb167e" / "reports" / "drawn" / "first")


def test_tables_are_artifacts_and_the_map_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    published: dict[Any, Any] = {}
    monkeypatch.setattr(
        calibration, "publish_table", lambda rows, text, *parts: published.update({parts: (rows, text)})
    )
    file = tmp_path / "map.csv"
    calibration.calibrate_report.fn(REPORT, by=("patient",), map_file=str(file))
    assert list(published) == [
        ("calibration", "errors"),
        ("calibration", "recalibration"),
        ("calibration", "map"),
    ]
    rows, text = published["calibration", "errors"]
    assert list(rows) == calibration.SHOWN
    assert "images of one patient are taken together" in text
    assert file.exists()
