"""Diagnose a written report: read its tables, look for signatures of mistakes, show them."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import PurePath

import pandas as pd

from flows.config import ConfigError
from flows.report_tables import readable_reports, recorded_settings
from storage.reports import open_report
from tasks.metrics.diagnose import diagnose
from tasks.metrics.findings import Finding

HISTORY_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".keras", ".log")


def diagnose_report(path: str) -> list[Finding]:
    """What is wrong with the run of a report. Raises ConfigError, one line, for anything but a sound report."""
    if PurePath(path).suffix in HISTORY_SUFFIXES:
        raise ConfigError(f"diagnose {path}: training histories are not built yet; expected the folder of a report")
    with readable_reports():
        report = open_report(path)
        settings = recorded_settings(report)
        return diagnose(
            per_image=report.table("per_image"),
            per_sample=report.table("per_sample"),
            batch_summed=report.table("batch_summed"),
            gap=report.table("gap"),
            settings=settings,
        )


def describe(findings: list[Finding]) -> str:
    """Each finding in three lines, and how many there are."""
    blocks = [
        f"{one.severity}: {one.cause}\n  evidence: {one.evidence}\n  remedy:   {one.remedy}\n" for one in findings
    ]
    severities = [one.severity for one in findings]
    counts = ", ".join(f"{severities.count(name)} {name}s" for name in ("error", "warning", "note"))
    return "\n".join([*blocks, counts])


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """A row per finding: signature, severity, cause, evidence, remedy."""
    return pd.DataFrame([asdict(one) for one in findings], columns=[field.name for field in fields(Finding)])
