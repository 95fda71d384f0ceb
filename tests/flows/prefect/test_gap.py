"""The gap as Prefect shows it: words, and a drawing that holds no pixel of an image."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd

from segscale.flows.prefect.gap import gap_of_report
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report, encode_report_table, write_report
from segscale.tasks.metrics.panel import MACRO
from segscale.tasks.report_html.gap_sentence import Gap, sentence

DRAWN = {"svg", "defs", "style", "clipPath", "g", "path", "rect", "text", "use"}
"""Elements of a drawing; `image`, `foreignObject` and whatever else could hold pixels are none."""


def report_of(folder: Path, name: str, mean: float, pooled: float) -> Report:
    """A report of one class with a table of gaps and no other."""
    same = {"unit": "image", "stratum": "", "class_index": 1, "class_name": name, "head": "", "metric": "dice"}
    terms = {"covariance_term": 0.25, "smoothing_term": 0.0, "undefined_term": 0.0}
    gap = pd.DataFrame([{**same, "per_sample_mean": mean, "pooled": pooled, "gap": 0.25, **terms}])
    table = pd.concat([gap, gap.assign(class_index=-1, class_name=MACRO)], ignore_index=True)
    contents = {"gap.parquet": encode_report_table(table)}
    return write_report(ObjectStore(str(folder)), contents, {"run_id": "0a", "config": {"dataset": {"regions": {}}}})


def test_the_sentence_of_the_page_and_a_drawing(tmp_path: Path) -> None:
    said, drawn = gap_of_report(report_of(tmp_path, "lesion", 0.5, 0.75)).split("\n\n")
    assert said == sentence(Gap("Dice", "lesion", 0.5, 0.75, 0.25, 0.0, 0.0))
    found = re.fullmatch(r"!\[[^\]]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", drawn)
    assert found
    drawing = ET.fromstring(base64.b64decode(found[1]))
    assert {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in drawing.iter()} <= DRAWN
    assert b"data:" not in base64.b64decode(found[1])


def test_where_there_is_nothing_to_draw_the_sentence_stands_alone(tmp_path: Path) -> None:
    assert "![" not in gap_of_report(report_of(tmp_path, "lesion", float("nan"), float("nan")))


def test_a_name_of_a_class_is_no_markdown(tmp_path: Path) -> None:
    report = report_of(tmp_path, "[x](http://x) *a* <b>", 0.5, 0.5)
    assert r"\[x\](http://x) \*a\* \<b\>" in gap_of_report(report)
