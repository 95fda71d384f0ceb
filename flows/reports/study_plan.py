"""How large a study must be, from a written report or from two: read, planned, shown."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pandas as pd

from segscale.flows.reports.gate import independence
from segscale.flows.reports.tables import foreground_counts, readable_reports, recorded_settings, tables_as_json
from segscale.storage.reports import open_report
from segscale.tasks.decisions.study_plan import StudyAsked, study_plan


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What a study needs: sizes, curves, notes, report, second."""

    sizes: pd.DataFrame
    """A row per stratum, class, aggregation and goal: docs/plan.md says what its columns are."""
    curves: pd.DataFrame
    """What other sizes would tell."""
    notes: tuple[str, ...]
    """What was taken as independent, a sentence each."""
    report: str
    """Path of the report."""
    second: str
    """Path of the report that it is compared with; "" where there is none."""


def plan_reports(
    report: str, second: str | None, asked: StudyAsked, by: tuple[str, ...], unit: str | None, cluster_by: str | None,
    head: str | None,
) -> PlanResult:  # fmt: skip
    """The plan from the report in a folder, or from two; None is what the first has. ConfigError, one line."""
    with readable_reports():
        asked.check()
        runs = [open_report(one) for one in (report, second) if one is not None]
        recorded = [recorded_settings(one) for one in runs]
        given = {"unit": unit, "cluster_by": cluster_by}
        chosen = {name: value for name, value in given.items() if value is not None}
        settings = recorded[0].changed(group_by=by, folds="", **chosen)
        rows = [foreground_counts(one, *by, settings.unit, settings.cluster_by) for one in runs]
        of_second = rows[1] if len(rows) == 2 else None
        both = None if of_second is None else (recorded[0], recorded[1])
        found = study_plan(rows[0], of_second, both, settings, asked, head)
    notes = (
        independence(settings.unit, settings.cluster_by),
        "in brackets: with the variance as low and as high as these clusters leave it open",
    )
    paths = [one.path for one in runs]
    return PlanResult(found.sizes, found.curves, notes, paths[0], paths[1] if len(paths) == 2 else "")


def describe(found: PlanResult) -> str:
    """A sentence for each row, and what they rest on."""
    sides = [f"report: {found.report}", *([f"second: {found.second}"] if found.second else [])]
    return "\n".join([*found.sizes["sentence"], "", *found.notes, *sides])


def to_json(found: PlanResult) -> str:
    """One object: report, second, and the rows as `sizes`, `curves` and `notes`."""
    notes = pd.DataFrame({"note": found.notes}, dtype="str")
    tables = {"sizes": found.sizes, "curves": found.curves, "notes": notes}
    return json.dumps(json.loads(tables_as_json(tables, report=found.report, second=found.second)), indent=2)
