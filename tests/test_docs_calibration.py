"""docs/calibration.md describes every column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from segscale.tasks.calibration.calibrate import COLUMNS, CROSS_COLUMNS, MAP_COLUMNS, RELIABILITY_COLUMNS

TEXT = (Path(__file__).parents[1] / "docs" / "calibration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("errors", COLUMNS),
        ("reliability", RELIABILITY_COLUMNS),
        ("recalibration", CROSS_COLUMNS),
        ("map", MAP_COLUMNS),
    ],
)
def test_every_column_is_described(table: str, columns: Mapping[str, str]) -> None:
    (rows,) = re.findall(rf"^`{table}`: .*\n((?:: .*\n|  .*\n)*)", TEXT, re.MULTILINE)
    described = f"{rows} {TEXT[TEXT.index(f'`{table}`: ') :].splitlines()[0]}"
    assert [name for name in columns if not re.search(rf"\b{name}\b", described)] == []
