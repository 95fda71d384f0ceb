"""Tables of a written report for the commands that read one: how it was scored, and rows as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import pandas as pd

from flows.config import ConfigError
from storage.reports import Report, ReportError
from tasks.metrics.settings import ScoreSettings

IDENTITY = ("run_id", "dataset", "model")


@contextmanager
def readable_reports() -> Iterator[None]:
    """Turn what is wrong with a report, or cannot be asked of it, into a ConfigError of one line."""
    try:
        yield
    except ConfigError:
        raise
    except KeyError as error:
        raise ConfigError(f"a table of the report lacks the column {error}; was it written by segscale?") from None
    except (ValueError, OSError) as error:
        raise ConfigError(" ".join(str(error).split())) from None


def recorded_settings(report: Report) -> ScoreSettings:
    """How the scores of a report were made, from its run.json. Raises ReportError where that is not recorded."""
    names = [field.name for field in fields(ScoreSettings)]
    run = report.run()
    try:
        metrics = run["config"]["metrics"]
        # JSON has lists where the settings have tuples.
        values: dict[str, Any] = {
            name: tuple(metrics[name]) if isinstance(metrics[name], list) else metrics[name] for name in names
        }
        if not set(IDENTITY) <= set(run):
            raise KeyError(IDENTITY)
        return ScoreSettings(**values)
    except (KeyError, TypeError, ValueError):
        raise ReportError(
            f"{report.path}/run.json: expected the metrics of a Segscale run, got something else"
        ) from None


def tables_as_json(tables: Mapping[str, pd.DataFrame]) -> str:
    """One object: the rows of each table, by its name; null for what is undefined."""
    return json.dumps({name: _records(table) for name, table in tables.items()}, allow_nan=False)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object)
    return [
        {str(name): value for name, value in row.items()} for row in plain.where(plain.notna(), None).to_dict("records")
    ]
