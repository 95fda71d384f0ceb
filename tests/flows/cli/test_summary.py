"""The end of a run on the terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd

from segscale.flows.cli.summary import describe_result
from segscale.flows.report import RunResult
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.reasons import Reason

HEADLINE = pd.DataFrame(
    {
        "class": ["lesion"], "metric": ["dice"], "per-sample": [0.81], "failed as 0": [0.5], "missing as 0": [0.7],
        "pooled": [0.9], "pooled, missed": [0.8],
    }
)  # fmt: skip


def _lines(**changes: Any) -> list[str]:
    plain: dict[str, Any] = {
        "path": "/r/d/0a", "run_id": "0a", "n_images": 8, "n_failed": 0, "reused": False, "headline": HEADLINE,
    }  # fmt: skip
    return describe_result(RunResult(**plain | changes)).splitlines()


def test_of_a_sound_run_no_more_than_its_scores() -> None:
    assert _lines() == [
        " class metric  per-sample  pooled", "lesion   dice      0.8100  0.9000", "", "8 images, 0 failed",
        "page: /r/d/0a/report.html", "report: /r/d/0a",
    ]  # fmt: skip


def test_what_failed_and_what_is_wrong_stand_between_scores_and_report() -> None:
    reasons = (Reason("score", "MissingFile", 2, "a", "prediction: none"), Reason("ingest", "E", 1, "b", "b.png: torn"))
    findings = (Finding("x", "error", "a cause", "some evidence", "a remedy"),)
    lines = _lines(n_failed=3, n_missing=2, reasons=reasons, findings=findings, reused=True)
    assert " ".join(lines[0].split()) == "class metric per-sample failed as 0 missing as 0 pooled pooled, missed"
    assert lines[3].startswith("8 images, 3 failed (2 of them without a usable prediction; see failures.parquet)")
    assert lines[3].endswith("; nothing had changed, the report was there")
    assert lines[4:] == [
        "  2 in score, MissingFile: e.g. a: prediction: none", "  1 in ingest, E: b: b.png: torn",
        "", "error: a cause", "  evidence: some evidence", "  remedy:   a remedy", "",
        "page: /r/d/0a/report.html", "report: /r/d/0a",
    ]  # fmt: skip
