"""Calibration of a written report: read, compute, show, export the map."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segscale.errors import ConfigError, ReportError
from segscale.flows.reports.gate import independence
from segscale.flows.reports.tables import COLUMNS, readable_reports, recorded_settings, tables_as_json
from segscale.storage.nearby import why_not_written
from segscale.storage.reports import Report, encode_report_table, open_report
from segscale.storage.table_csv import encode_csv
from segscale.tasks.calibration import calibrate
from segscale.tasks.calibration.panel import parts
from segscale.tasks.metrics.chosen_head import chosen_head
from segscale.tasks.metrics.count_columns import COUNTS
from segscale.tasks.metrics.panel import SPACING, panel_of
from segscale.tasks.metrics.per_image import IS_REGION, PREDICTION_MISSING, REFERENCE_PIXELS
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.size_strata import is_lesion_size, is_size
from segscale.tasks.metrics.units import with_units
from segscale.tasks.refusal import there_are

KINDS = (".csv", ".json", ".parquet")
"""As what a map is exported."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked of a report. Where something is None, its own settings hold."""

    by: tuple[str, ...] = ()
    unit: str | None = None
    cluster_by: str | None = None
    head: str | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities are from frequencies: errors, reliability, recalibration, map, notes, report.

    docs/calibration.md says what the columns are.
    """

    errors: pd.DataFrame
    """A row per stratum, class, metric (ece, ace, mce, bias) and aggregation (pooled, per_sample)."""
    reliability: pd.DataFrame
    """A row per stratum, class and bin."""
    recalibration: pd.DataFrame
    """A row per class: what a map made of other images does."""
    map: pd.DataFrame
    """A row per class and bin: the probability to put in the place of those in the bin."""
    notes: tuple[str, ...]
    """What the numbers rest on, a sentence each."""
    report: str


def calibrate_report(path: str, asking: Asking) -> Calibration:
    """The calibration of the report in a folder. Raises ConfigError where it is unusable or has no probabilities."""
    with readable_reports():
        report = open_report(path)
        settings = _settings(report, asking)
        per_image, thresholds = _tables(report, settings)
        if asking.head is not None:
            chosen_head(per_image, asking.head)
            per_image = per_image[per_image["head"].astype(str) == asking.head].reset_index(drop=True)
            thresholds = thresholds[thresholds["head"].astype(str) == asking.head].reset_index(drop=True)
        found = list(parts(with_units(panel_of(per_image), settings), thresholds, settings))
        errors = [row for part in found for row in calibrate.errors(part, settings.confidence, settings.seed)]
        whole = [part for part in found if not part.keys["stratum"]]
        maps = [calibrate.recalibration(part, settings.confidence, settings.seed) for part in whole]
        return Calibration(
            calibrate.of_rows(errors, calibrate.COLUMNS),
            _joined([calibrate.reliability(part) for part in found], calibrate.RELIABILITY_COLUMNS),
            calibrate.of_rows([row for _, row in maps], calibrate.CROSS_COLUMNS),
            _joined([table for table, _ in maps], calibrate.MAP_COLUMNS),
            _notes(settings), report.path,
        )  # fmt: skip


def _settings(report: Report, asking: Asking) -> ScoreSettings:
    given = {"unit": asking.unit, "cluster_by": asking.cluster_by}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = recorded_settings(report).changed(group_by=asking.by, folds="", **chosen)
    if any(map(is_lesion_size, settings.group_by)):
        raise ConfigError(f"group_by: expected strata of images, got {list(asking.by)}: lesions have no probabilities")
    return settings


def _tables(report: Report, settings: ScoreSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`per_image` and `thresholds` without the background, no more of their columns than are needed."""
    if "thresholds.parquet" not in report.run()["files"]:
        raise ReportError(
            f"{report.path}: expected thresholds.parquet, which reports of probabilities have, found none: its "
            "predictions are label maps, and nothing tells how sure they were"
        )
    there = report.columns("per_image")
    needed = {*COLUMNS["per_image"], *COUNTS}
    missing = sorted(needed - set(there))
    if missing:
        raise ReportError(f"{report.path}/per_image.parquet: expected the columns of a report, {missing} are missing")
    _expect_columns(there, settings)
    sizes = SPACING if any(map(is_size, settings.group_by)) else ()
    wanted = needed | {IS_REGION, PREDICTION_MISSING, REFERENCE_PIXELS, *settings.columns, *sizes}
    foreground = (pc.field("class_index") != 0) | pc.field("class_index").is_null()
    per_image = report.table("per_image", [name for name in there if name in wanted], where=foreground)
    pairs = [name for name in report.columns("thresholds") if name.startswith(("true_positive_", "predicted_"))]
    if not pairs or len(pairs) % 2:
        raise ReportError(f"{report.path}/thresholds.parquet: expected pairs of columns, got {len(pairs)} columns")
    thresholds = report.table("thresholds", ["image_id", "class_index", "head", *pairs], where=foreground)
    pa.default_memory_pool().release_unused()
    return per_image, thresholds


def _expect_columns(there: list[str], settings: ScoreSettings) -> None:
    named = [("group_by", name) for name in settings.group_columns]
    for key, name in (*named, ("unit", settings.unit), ("cluster_by", settings.cluster_by)):
        if name and name not in there:
            raise ConfigError(f"{key}: expected a column of per_image, got {name!r}; {there_are(there)}")


def _joined(tables: list[pd.DataFrame], columns: dict[str, str]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True).astype(columns) if tables else calibrate.of_rows([], columns)


def _notes(settings: ScoreSettings) -> tuple[str, ...]:
    return (
        independence(settings.unit, settings.cluster_by),
        "two numbers are bounds: where in its bin a probability lies is not in the report",
        "images without a prediction have no probabilities: they are counted and in no number",
    )


def describe(found: Calibration) -> str:
    """A sentence for each row, and what they rest on."""
    return "\n".join(
        [*found.errors["sentence"], "", *found.recalibration["sentence"], "", *found.notes, f"report: {found.report}"]
    )


def to_json(found: Calibration) -> str:
    """One object: report; the rows of errors, reliability, recalibration and map; notes."""
    tables = {
        "errors": found.errors, "reliability": found.reliability, "recalibration": found.recalibration,
        "map": found.map, "notes": pd.DataFrame({"note": found.notes}, dtype="str"),
    }  # fmt: skip
    return json.dumps(json.loads(tables_as_json(tables, report=found.report)), indent=2)


def check_map_file(file: str) -> None:
    """Raise ConfigError for a file of another kind than KINDS."""
    if Path(file).suffix not in KINDS:
        raise ConfigError(f"map: expected a file that ends in {', '.join(KINDS)}, got {file}")


def write_map(file: str, found: Calibration) -> None:
    """Write the map anew, as what the ending of the file says. ConfigError where it cannot be written."""
    check_map_file(file)
    kind, path = Path(file).suffix, Path(file)
    if kind == ".parquet":
        data = encode_report_table(found.map)
    elif kind == ".csv":
        data = encode_csv(found.map)
    else:
        data = (tables_as_json({"map": found.map}, report=found.report) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        reason = why_not_written(str(path.parent), error)
        raise ConfigError(f"{file}: expected a place that can be written: {reason}") from None
