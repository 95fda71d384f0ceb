"""docs/plan.md holds what its commands say of real images, and describes every column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segscale.tasks.decisions.study_plan import CURVE_COLUMNS, PLAN_COLUMNS, TIMES
from tests.console_page import NUCLEI, ROOT, assert_played

TEXT = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not (NUCLEI / "manifest.csv").exists(), reason="the nuclei set is not here; set SEGSCALE_DATA")
def test_the_example_prints_what_is_shown(tmp_path: Path) -> None:
    assert_played(TEXT, tmp_path, {"plan": (0,)})


def test_every_column_is_described() -> None:
    rows = TEXT[TEXT.index("## The columns") : TEXT.index("## References")]
    assert {*PLAN_COLUMNS, *CURVE_COLUMNS} - {*re.findall(r"`([a-z_]+)`", rows)} == set()
    assert (f"{len(TIMES)} sizes" in rows, TIMES[0], TIMES[-1]) == (True, 0.25, 16)
