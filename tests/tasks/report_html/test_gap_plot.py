import re
from dataclasses import replace

import numpy as np

from segscale.tasks.report_html.gap_plot import gap_plot
from segscale.tasks.report_html.gap_sentence import Gap

GAP = Gap("Dice", "lesion", 0.5, 0.75, 0.3, -0.05, 0.0)


def test_terms_stand_between_both_scores_with_their_sizes() -> None:
    svg = gap_plot(GAP)
    assert svg is not None
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"0.500", "+0.300", "−0.050", "0.750", "size and score", "smoothing"} <= set(texts)  # noqa: RUF001
    assert "nothing to score" not in texts
    assert "carried by the covariance term" in svg


def test_what_is_undefined_is_not_drawn() -> None:
    assert gap_plot(replace(GAP, pooled=np.nan)) is None
