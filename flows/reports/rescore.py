"""Rescore a written report: read what is needed of it, score anew, show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from segscale.errors import ConfigError
from segscale.flows.reports.measured import OtherDistances, measures_of, refuse_without_lesions
from segscale.flows.reports.tables import (
    IDENTITY,
    readable_reports,
    recorded_settings,
    recorded_threshold_count,
    tables_as_json,
)
from segscale.storage.reports import Report, open_report
from segscale.tasks.metrics.measures import LESIONS, SURFACE, measured_headline
from segscale.tasks.metrics.per_image import n_classes_of
from segscale.tasks.metrics.surface_metrics import UNIT
from segscale.tasks.metrics.units import check_units
from segscale.tasks.reasons import counts_in_words
from segscale.tasks.rescore import (
    Changes,
    Plan,
    at_threshold,
    headline,
    plan_rescore,
    rescore,
    without_torn_strata,
)


@dataclass(frozen=True, slots=True)
class Rescoring:
    """A report with other settings, its counts read and at the threshold asked for."""

    report: Report
    run: Mapping[str, Any]
    plan: Plan
    per_image: pd.DataFrame
    measures: Mapping[str, pd.DataFrame]
    """Of the tables surface and lesions what their scores are made of."""

    @property
    def notes(self) -> list[str]:
        """What the numbers were made with, as lines."""
        settings, lines = self.plan.settings, []
        n_classes = n_classes_of(self.per_image)
        if self.plan.index is not None:
            lines.append(f"threshold {self.plan.threshold}")
            if n_classes > 2:
                lines.append("at a threshold each class is scored against the rest, not by argmax as in the run")
        else:
            lines.append("threshold as in the run" if n_classes == 2 else "predicted classes as in the run")
        lines.append(
            f"Tversky alpha {settings.tversky_alpha} (false positives), beta {settings.tversky_beta} (false "
            f"negatives); smooth {settings.smooth}; empty {settings.empty}"
        )
        measured = [name for name in (SURFACE, LESIONS) if f"{name}.parquet" in self.run["files"]]
        if measured and self.plan.index is not None:
            lines.append(f"{' and '.join(measured)} left out: they were measured at the threshold of the run")
        if SURFACE in self.measures:
            units = sorted(self.measures[SURFACE][UNIT].dropna().unique())
            known = f"distances in {' and '.join(units)}; " if units else ""
            lines.append(f"{known}missed_distance {settings.missed_distance}")
        if self.plan.left_out:
            names = ", ".join(self.plan.left_out)
            lines.append(f"strata of the run left out, as they cut a {settings.unit} apart: {names}")
        return lines


def changes_of(options: Mapping[str, Any]) -> Changes:
    """The options that were given; those that were not are None or empty."""
    return Changes(**{name: value for name, value in options.items() if value is not None and value != ()})


def open_rescoring(path: str, changes: Changes) -> Rescoring:
    """Read the columns that the changes need. Raises ConfigError, one line, for a wrong report or a wrong change."""
    with readable_reports():
        report = open_report(path)
        run, own = report.run(), recorded_settings(report)
        threshold_count = None
        if changes.threshold is not None:
            if "thresholds.parquet" not in run["files"]:
                raise ConfigError(f"threshold: {path} keeps no thresholds, its predictions are label maps")
            threshold_count = recorded_threshold_count(report)
        plan = plan_rescore(own, threshold_count, report.columns("per_image"), changes)
        per_image = report.table("per_image", plan.per_image_columns)
        if plan.index is not None:
            thresholds = report.table("thresholds", plan.thresholds_columns)
            per_image = at_threshold(per_image, thresholds, plan.index)
        plan = without_torn_strata(plan, changes, per_image)
        check_units(per_image.drop_duplicates("image_id"), plan.settings)
        others = OtherDistances(changes.nsd_tolerances, changes.percentiles)
        measures = measures_of(report, plan.settings, others=others) if plan.index is None else {}
        refuse_without_lesions(plan.settings.group_by, report)
    return Rescoring(report, run, plan, per_image, measures)


def describe(rescoring: Rescoring) -> str:
    """The headline table as at the end of a run, and what it was made with."""
    table = headline(rescoring.per_image, rescoring.plan.settings)
    n_failed, n_missing = int(table.pop("n_failed").iloc[0]), table.pop("n_missing").iloc[0]
    has_missing = n_missing is not pd.NA and n_missing > 0
    dispensable = {
        "stratum": not rescoring.plan.settings.group_by,
        "head": len(table["head"].unique()) == 1,
        "failed as 0": n_failed == 0,
        "missing as 0": not has_missing,
        "pooled, missed": not has_missing,
    }
    table = table.drop(columns=[column for column, is_idle in dispensable.items() if is_idle])
    n_images = rescoring.per_image["image_id"].nunique()
    lines = [
        table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="undefined"),
        *_measured(rescoring, has_missing),
        "",
        *rescoring.notes,
        counts_in_words(n_images, n_failed, n_missing),
        f"report: {rescoring.report.path}",
    ]
    return "\n".join(lines)


def _measured(rescoring: Rescoring, has_missing: bool) -> list[str]:
    """Surfaces and lesions as a table of their own, where the run measured any."""
    table = measured_headline(rescoring.per_image, rescoring.plan.settings, rescoring.measures)
    if table.empty:
        return []
    idle = [*(["head"] if len(table["head"].unique()) == 1 else []), *([] if has_missing else ["missing as worst"])]
    return ["", table.drop(columns=idle).to_string(index=False, float_format=lambda one: f"{one:.4f}", na_rep="-")]


def tables_of(rescoring: Rescoring) -> dict[str, pd.DataFrame]:
    """per_sample, batch_summed and gap with the report's columns."""
    identity = {name: rescoring.run[name] for name in IDENTITY}
    tables = rescore(rescoring.per_image, rescoring.plan.settings, rescoring.measures)
    for table in tables.values():
        for place, (name, value) in enumerate(identity.items()):
            table.insert(place, name, value)
    return tables


def to_json(rescoring: Rescoring) -> str:
    """One object: the tables as lists of rows; null for undefined."""
    return tables_as_json(tables_of(rescoring))
