"""Tables of a written report for the commands that read one: how it was scored, and rows as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segscale.errors import ArgumentError, ConfigError, DataError, ReportError
from segscale.storage.reports import Report
from segscale.tasks.metrics.aggregate import BATCH_SUMMED_COLUMNS, PER_SAMPLE_COLUMNS
from segscale.tasks.metrics.count_columns import COUNTS
from segscale.tasks.metrics.gap import COLUMNS as GAP_COLUMNS
from segscale.tasks.metrics.pairing import HASHES
from segscale.tasks.metrics.panel import SPACING
from segscale.tasks.metrics.per_image import IS_REGION, PREDICTION_MISSING, REFERENCE_PIXELS
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.size_strata import is_size

IDENTITY = ("run_id", "dataset", "model")
OVER_IMAGES = ("per_sample", "batch_summed", "intervals", "gap", "failures")
"""Tables that say something of a set, not of each of its images alone, and the images that failed."""
COLUMNS: Mapping[str, Collection[str]] = {
    "per_image": ("image_id", "class_index", "class_name", "head", "threshold", "status"),
    "per_sample": PER_SAMPLE_COLUMNS,
    "batch_summed": BATCH_SUMMED_COLUMNS,
    "gap": GAP_COLUMNS,
}
"""Without these a table is not what it says; counts and hashes are asked for where they are read."""
_OF_COUNTS = frozenset({
    *COLUMNS["per_image"], *COUNTS, *HASHES, IS_REGION, PREDICTION_MISSING, REFERENCE_PIXELS,
}) - {"threshold"}  # fmt: skip
NEWER_SETTINGS = {"unit": "", "folds": "", "missed_distance": "worst"}
"""Settings that runs of older versions do not record, with what they did."""


@contextmanager
def readable_reports() -> Iterator[None]:
    """Turn what is wrong with a report, or cannot be asked of it, into a ConfigError of one line."""
    try:
        yield
    except ConfigError:
        raise
    except (DataError, ArgumentError, OSError) as error:
        raise ConfigError(" ".join(str(error).split())) from None


def recorded_settings(report: Report) -> ScoreSettings:
    """How the scores of a report were made, from its run.json. Raises ReportError where that is not recorded."""
    run = report.run()
    try:
        metrics = {**NEWER_SETTINGS, **run["config"]["metrics"]}
        if not set(IDENTITY) <= set(run):
            raise KeyError(IDENTITY)
        return ScoreSettings(**{name: metrics[name] for name in ScoreSettings.model_fields})
    except (KeyError, TypeError, ValueError):
        raise ReportError(
            f"{report.path}/run.json: expected the metrics of a Segscale run, got something else"
        ) from None


def recorded_threshold_count(report: Report) -> int:
    """threshold_count of run.json. Raises ReportError where thresholds.parquet has columns for other thresholds."""
    n_kept = sum(name.startswith("predicted_") for name in report.columns("thresholds"))
    recorded = report.run()["config"]["metrics"].get("threshold_count")
    if type(recorded) is not int or recorded != n_kept + 1:
        raise ReportError(
            f"{report.path}/run.json: threshold_count: expected {n_kept + 1}, as thresholds.parquet has {n_kept} "
            f"thresholds, got {recorded!r}"
        )
    return recorded


def whole_table(report: Report, name: str) -> pd.DataFrame:
    """A table of the report with all of COLUMNS. Raises ReportError naming what is missing."""
    table = report.table(name)
    missing = [column for column in COLUMNS[name] if column not in table.columns]
    if missing:
        raise ReportError(f"{report.path}/{name}.parquet: expected the columns of a report, {missing} are missing")
    return table


def foreground_counts(report: Report, *columns: str) -> pd.DataFrame:
    """The counts of `per_image` without those of the background, with what says which images they are of.

    Some more columns where there are such. Of a million images all of them are gigabytes. Raises ReportError naming
    what is missing.
    """
    there = report.columns("per_image")
    missing = [name for name in (*COLUMNS["per_image"], *COUNTS) if name not in there]
    if missing:
        raise ReportError(f"{report.path}/per_image.parquet: expected the columns of a report, {missing} are missing")
    of_classes = pc.field("class_index")
    wanted = _OF_COUNTS.union(columns, SPACING if any(map(is_size, columns)) else ())
    rows = report.table(
        "per_image", [name for name in there if name in wanted], where=(of_classes != 0) | of_classes.is_null()
    )
    # 64 bits of a hash tell files apart as surely as 256 do, unless somebody forges one, and are a quarter as large.
    rows = rows.assign(**{name: rows[name].str[:16] for name in HASHES if name in rows})
    pa.default_memory_pool().release_unused()
    return rows


def tables_as_json(tables: Mapping[str, pd.DataFrame], **facts: str) -> str:
    """One object: some facts, then the rows of each table, by its name; null for what is undefined."""
    return json.dumps({**facts, **{name: _records(table) for name, table in tables.items()}}, allow_nan=False)


def report_as_json(report: Report) -> str:
    """One object: `report`, the folder, and the rows of its tables over images."""
    return tables_as_json({name: report.table(name) for name in OVER_IMAGES}, report=report.path)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object)
    return [
        {str(name): value for name, value in row.items()} for row in plain.where(plain.notna(), None).to_dict("records")
    ]
