"""Strata and tails of a written report: read, told, shown."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pandas as pd

from segscale.flows.reports.gate import independence
from segscale.flows.reports.tables import foreground_counts, readable_reports, recorded_settings, tables_as_json
from segscale.storage.reports import open_report
from segscale.tasks.decisions.strata import StrataAsked, strata

ORDER = ("lower", "higher", "cannot tell", "alike")


@dataclass(frozen=True, slots=True)
class StrataResult:
    """What is told of the strata of a run: gaps, tails, notes, report."""

    gaps: pd.DataFrame
    """A row per stratum and class: docs/strata.md says what its columns are."""
    tails: pd.DataFrame
    """A row per stratum, the whole set first, and class."""
    notes: tuple[str, ...]
    """What was taken as independent, a sentence each."""
    report: str
    """Path of the report."""


def report_strata(
    path: str, asked: StrataAsked, by: tuple[str, ...] | None, unit: str | None, cluster_by: str | None,
    head: str | None,
) -> StrataResult:  # fmt: skip
    """The strata of the report in a folder; None is what the run has. Raises ConfigError, one line."""
    with readable_reports():
        asked.check()
        report = open_report(path)
        given = {"group_by": by, "unit": unit, "cluster_by": cluster_by}
        chosen = {name: value for name, value in given.items() if value is not None}
        settings = recorded_settings(report).changed(folds="", **chosen)
        rows = foreground_counts(report, *settings.group_by, settings.unit, settings.cluster_by)
        found = strata(rows, settings, asked, head)
    return StrataResult(found.gaps, found.tails, (independence(settings.unit, settings.cluster_by),), report.path)


def describe(found: StrataResult) -> str:
    """A sentence for each row, gaps that are told first, and what they rest on."""
    gaps = found.gaps.sort_values("told", key=lambda one: one.map(ORDER.index), kind="stable")
    parts = [*gaps["sentence"], "", *found.tails["sentence"], "", *found.notes, f"report: {found.report}"]
    return "\n".join(parts if len(gaps) else parts[1:])


def to_json(found: StrataResult) -> str:
    """One object: report, and the rows as `gaps`, `tails` and `notes`."""
    notes = pd.DataFrame({"note": found.notes}, dtype="str")
    tables = {"gaps": found.gaps, "tails": found.tails, "notes": notes}
    return json.dumps(json.loads(tables_as_json(tables, report=found.report)), indent=2)
