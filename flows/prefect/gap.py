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
    """The gap of a report as Markdown: the sentence of its page and, where every number is defined, its plot.

    The plot stands in the text itself: a server shows it that cannot reach the report.
    """
    # Only who shows one pays for matplotlib.
    from segscale.tasks.report_html.class_section import gap_of
    from segscale.tasks.report_html.gap_plot import gap_plot
    from segscale.tasks.report_html.gap_sentence import sentence
    from segscale.tasks.report_html.headline import rows_of, whole_set
    from segscale.tasks.report_html.lead import lead_row

    gaps = whole_set(report.table("gap"))
    gaps = rows_of(gaps, metric="dice", head=gaps["head"].iloc[-1])
    names = report.run()["config"]["dataset"].get("regions") or {}
    gap = gap_of(lead_row(gaps, set(gaps.loc[gaps["class_name"].isin(list(names)).to_numpy(bool), "class_index"])))
    said, drawn = _as_text(sentence(gap)), gap_plot(gap)
    return (
        said if drawn is None else f"{said}\n\n![From the per-sample mean to the pooled score]({_as_url(str(drawn))})"
    )


def _as_text(text: str) -> str:
    """Words as Markdown shows them unchanged, whatever names of classes hold."""
    return _SPECIAL.sub(r"\\\1", text)


def _as_url(svg: str) -> str:
    image = svg.replace("<svg ", _STANDALONE, 1).encode()
    return f"data:image/svg+xml;base64,{base64.b64encode(image).decode()}"
