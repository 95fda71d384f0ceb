"""The gap drawn: from the per-sample mean to the pooled score, term by term."""

import math

from markupsafe import Markup

from segscale.tasks.report_html import plots
from segscale.tasks.report_html.gap_sentence import Gap, sentence

LABELS = {"covariance": "size and score", "smoothing": "smoothing", "undefined": "nothing to score"}
"""The terms as the plot calls them."""


def gap_plot(gap: Gap) -> Markup | None:
    """The terms as bars between both scores, those of 0 left out; None where a number is undefined."""
    if any(math.isnan(value) for value in (gap.per_sample_mean, gap.pooled, *gap.terms.values())):
        return None
    steps = [(LABELS[name], value) for name, value in gap.terms.items() if value]
    return Markup(
        plots.draw_gap(steps, gap.per_sample_mean, gap.pooled, "gap", f"From mean to pooled. {sentence(gap)}")
    )
