"""Judge a written report, against another one or against fixed floors: read, decide, show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from segscale.errors import ConfigError
from segscale.flows.reports.tables import foreground_counts, readable_reports, recorded_settings, tables_as_json
from segscale.storage.reports import open_report
from segscale.tasks.decisions.gate import gate
from segscale.tasks.decisions.questions import asked

DEFAULT_MARGIN = {"dice": 0.01}
"""What is asked where a base is named and neither a margin nor a floor."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a gate asks. Where something is None, the settings of the base hold, of the new run where there is none."""

    margins: Mapping[str, float]
    floors: Mapping[str, float]
    superior: Sequence[str] = ()
    aggregations: Sequence[str] = ("per_sample",)
    by: tuple[str, ...] = ()
    unit: str | None = None
    cluster_by: str | None = None
    head: str | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate decided: verdict, summary, strata, left_out, notes, base, new. True where the verdict is "pass"."""

    verdict: str
    """"pass", "fail" or "cannot tell"."""
    summary: str
    """The verdict in a sentence, with what was asked."""
    strata: pd.DataFrame
    """A row per stratum, class, metric, aggregation and question: docs/gate.md says what its columns are."""
    left_out: tuple[str, ...]
    """Classes and strata of which neither run has anything, so that nothing was asked, a sentence each."""
    notes: tuple[str, ...]
    """What was taken as independent, and other facts that the verdict rests on, a sentence each."""
    base: str
    """Path of the report that would be replaced; "" where floors alone are asked."""
    new: str

    def __bool__(self) -> bool:
        """Whether the verdict is "pass"."""
        return self.verdict == "pass"


def gate_reports(base: str | None, new: str, asking: Asking) -> GateResult:
    """Judge the report in a folder. Raises ConfigError, one line, where one is unusable or they cannot be compared."""
    with readable_reports():
        _expect_enough(base, asking)
        asks_nothing = base is not None and not (asking.margins or asking.floors)
        margins = DEFAULT_MARGIN if asks_nothing else asking.margins
        questions = asked(margins, asking.floors, asking.superior, asking.aggregations)
        report, of_base = open_report(new), None if base is None else open_report(base)
        of_new, own = recorded_settings(report), None if of_base is None else recorded_settings(of_base)
        given = {"unit": asking.unit, "cluster_by": asking.cluster_by}
        chosen = {name: value for name, value in given.items() if value is not None}
        settings = (own or of_new).changed(group_by=asking.by, folds="", **chosen)
        named = (*settings.group_by, settings.unit, settings.cluster_by)
        found = gate(
            None if of_base is None else foreground_counts(of_base, *named), foreground_counts(report, *named),
            None if own is None else (own, of_new), settings, questions, asking.head,
        )  # fmt: skip
    notes = [independence(settings.unit, settings.cluster_by)]
    if asks_nothing:
        notes.append("no margin was given: dice=0.01 was asked for")
    return GateResult(
        found.verdict, found.summary, found.strata, found.left_out, tuple(notes),
        "" if of_base is None else of_base.path, report.path,
    )  # fmt: skip


def _expect_enough(base: str | None, asking: Asking) -> None:
    if base is None and (asking.margins or asking.superior):
        raise ConfigError("margin: expected two reports, BASE and NEW, got one: name BASE, or ask for a floor")
    if base is None and not asking.floors:
        raise ConfigError("floor: expected one, as there is no BASE to hold NEW against, got none")


def independence(unit: str, cluster_by: str) -> str:
    """What is taken as independent of each other, as a sentence."""
    what = f"{unit}, each with its images summed," if unit else "images"
    if cluster_by:
        return f"{what} of one {cluster_by} are taken together, those of different ones as independent"
    return f"{what} are taken as independent of each other: no cluster_by says that some belong together"


def describe(found: GateResult) -> str:
    """The verdict, a sentence for each row, those that do not pass first, and what it rests on."""
    order = {"fail": 0, "cannot tell": 1, "pass": 2}
    rows = found.strata.sort_values("verdict", key=lambda one: one.map(order), kind="stable")
    sides = [f"BASE: {found.base}"] if found.base else []
    return "\n".join(
        [found.summary, "", *rows["sentence"], "", *found.left_out, *found.notes, *sides, f"NEW: {found.new}"]
    )


def to_json(found: GateResult) -> str:
    """One object: verdict, summary, base, new, notes; the rows as `strata`, and `left_out`."""
    facts: dict[str, Any] = {"verdict": found.verdict, "summary": found.summary, "base": found.base, "new": found.new}
    tables = {
        "strata": found.strata,
        "left_out": pd.DataFrame({"reason": found.left_out}, dtype="str"),
        "notes": pd.DataFrame({"note": found.notes}, dtype="str"),
    }
    return json.dumps(json.loads(tables_as_json(tables, **facts)), indent=2)
