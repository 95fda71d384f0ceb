"""docs/gate.md holds what its commands say of real images, and describes every column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segscale.tasks.decisions.gate import COLUMNS
from segscale.tasks.decisions.questions import DECIDABLE
from tests.console_page import NUCLEI, ROOT, assert_played

TEXT = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not (NUCLEI / "manifest.csv").exists(), reason="the nuclei set is not here; set SEGSCALE_DATA")
def test_the_example_prints_what_is_shown(tmp_path: Path) -> None:
    assert_played(TEXT, tmp_path, {"gate": (0, 1, 4)})


def test_every_column_and_metric_is_described() -> None:
    rows = TEXT[TEXT.index("`strata`: a row per") : TEXT.index("`--junit FILE`: a test")]
    assert [name for name in COLUMNS if not re.search(rf"\b{name}\b", rows)] == []
    metrics = TEXT[TEXT.index("**The metrics**") : TEXT.index("Distances, volume")]
    assert re.findall(r"\b[a-z]+_?[a-z_]*\b", metrics.split("better: ")[1]) == list(DECIDABLE)
