"""Diagnose a written report or a training history: read it, look for signatures of mistakes, show them."""

from __future__ import annotations

from dataclasses import asdict, fields

import pandas as pd

from segscale.errors import ArgumentError, ConfigError
from segscale.flows.reports.histories import is_history, read_history
from segscale.flows.reports.measured import measures_of
from segscale.flows.reports.tables import readable_reports, recorded_settings, whole_table
from segscale.storage.reports import open_report
from segscale.tasks.metrics.diagnose import diagnose
from segscale.tasks.metrics.equal_files import equal_files
from segscale.tasks.metrics.findings import Finding, by_severity, in_words
from segscale.tasks.metrics.measures import SURFACE, about_measures
from segscale.tasks.metrics.reference_signatures import ignored_by
from segscale.tasks.training.diagnosis.diagnose import diagnose_history


def diagnose_path(path: str) -> list[Finding]:
    """What is wrong with the run of a report or with a training. Raises ConfigError, one line, for anything else."""
    return diagnose_training(path) if is_history(path) else diagnose_report(path)


def diagnose_training(path: str) -> list[Finding]:
    """What a training history says against the training. Raises ConfigError for anything but a sound history."""
    history, facts = read_history(path)
    try:
        return diagnose_history(history, facts)
    except ArgumentError as error:
        raise ConfigError(f"{path}: {error}") from None


def diagnose_report(path: str) -> list[Finding]:
    """What is wrong with the run of a report. Raises ConfigError, one line, for anything but a sound report."""
    with readable_reports():
        report = open_report(path)
        settings = recorded_settings(report)
        per_image, dataset = whole_table(report, "per_image"), report.run()["config"].get("dataset", {})
        found = diagnose(
            per_image=per_image,
            per_sample=whole_table(report, "per_sample"),
            batch_summed=whole_table(report, "batch_summed"),
            gap=whole_table(report, "gap"),
            settings=settings,
            ignored=ignored_by(dataset.get("ignore_label", 0), dataset.get("masks", "")),
        )
        measures = measures_of(report, settings, (SURFACE,))
        return by_severity([*found, *equal_files(per_image), *about_measures(measures, settings)])


def describe(findings: list[Finding]) -> str:
    """Each finding in three lines, and how many there are."""
    blocks = [f"{in_words(one)}\n" for one in findings]
    severities = [one.severity for one in findings]
    counts = ", ".join(f"{severities.count(name)} {name}s" for name in ("error", "warning", "note"))
    return "\n".join([*blocks, counts])


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """A row per finding: signature, severity, cause, evidence, remedy."""
    return pd.DataFrame([asdict(one) for one in findings], columns=[field.name for field in fields(Finding)])
