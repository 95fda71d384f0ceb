"""The gap between both aggregations for people who look at Prefect: a sentence and a plot, no pixel of an image."""

from __future__ import annotations

import base64
import re

from segscale.storage.reports import Report

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~])")
_STANDALONE = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'width="640" style="background:#fff" '
)
"""What an image needs that an element of a page does without: names, a width, paper under the ink."""


def gap_of_report(report: Report) -> str:
    """The gap of a report as Markdown: the sentence of its page and, where there are batches to compare, the plot.

    The plot is drawn of scores of whole batches, and stands in the text itself: a server shows it that cannot reach the
    report.
    """
    # Only who shows one pays for matplotlib.
    from segscale.tasks.report_html import plots
    from segscale.tasks.report_html.class_section import gap_of
    from segscale.tasks.report_html.curves import batch_curve
    from segscale.tasks.report_html.gap_sentence import sentence
    from segscale.tasks.report_html.headline import rows_of, whole_set
    from segscale.tasks.report_html.lead import lead_row

    gaps = whole_set(report.table("gap"))
    head = gaps["head"].iloc[-1]
    gaps = rows_of(gaps, metric="dice", head=head)
    names = report.run()["config"]["dataset"].get("regions") or {}
    row = lead_row(gaps, set(gaps.loc[gaps["class_name"].isin(list(names)).to_numpy(bool), "class_index"]))
    gap = gap_of(row)
    said = _as_text(sentence(gap))
    curve = batch_curve(report.table("batch_summed"), int(row["class_index"]), head)
    if curve is None or curve.sizes.size == 1:
        return said
    drawn = plots.draw_batch_sizes(curve, gap.per_sample_mean, gap.pooled, "gap", sentence(gap))
    return f"{said}\n\n![Dice by images per batch, from the per-sample mean to pooled]({_as_url(drawn)})"


def _as_text(text: str) -> str:
    """Words as Markdown shows them unchanged, whatever names of classes hold."""
    return _SPECIAL.sub(r"\\\1", text)


def _as_url(svg: str) -> str:
    image = svg.replace("<svg ", _STANDALONE, 1).encode()
    return f"data:image/svg+xml;base64,{base64.b64encode(image).decode()}"
