"""Which gap is told first."""

from __future__ import annotations

import pandas as pd
import pytest

from segscale.tasks.metrics.panel import MACRO
from segscale.tasks.report_html.lead import lead_row


@pytest.mark.parametrize(
    ("classes", "regions", "told"),
    [
        pytest.param({1: "lesion"}, set(), "lesion", id="the only foreground class"),
        pytest.param({1: "core", 2: "oedema"}, set(), MACRO, id="of several their mean"),
        pytest.param({1: "lesion", 2: "whole"}, {2}, "lesion", id="a region is no class"),
        pytest.param({0: "background", 1: "lesion"}, set(), "lesion", id="nor does the background count"),
    ],
)
def test_the_gap_that_stands_for_the_run(classes: dict[int, str], regions: set[int], told: str) -> None:
    rows = [*classes.items(), (-1, MACRO), (-1, "all_micro")]
    gaps = pd.DataFrame(rows, columns=["class_index", "class_name"])
    assert lead_row(gaps, regions)["class_name"] == told
