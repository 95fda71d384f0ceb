"""Settings from run.json, errors of one line, rows as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segscale.errors import ArgumentError, ConfigError, ReportError
from segscale.flows.reports.tables import (
    foreground_counts,
    readable_reports,
    recorded_settings,
    tables_as_json,
    whole_table,
)
from segscale.storage.reports import open_report
from segscale.tasks.metrics.settings import ScoreSettings


def test_settings_are_those_the_run_was_scored_with(write_run: Callable[..., str]) -> None:
    chosen = ScoreSettings(smooth=1.0, empty="smooth", batch_sizes=(3, 5), group_by=("site",), bootstrap=7)
    assert recorded_settings(open_report(write_run("run", [(3, 1, 1)], settings=chosen))) == chosen


@pytest.mark.parametrize(
    "metrics",
    [
        pytest.param(None, id="no configuration"),
        pytest.param({"smooth": 0.0}, id="settings are missing"),
        pytest.param([1, 2], id="not a table of settings"),
    ],
)
def test_a_run_without_its_settings_is_no_report(write_run: Callable[..., str], metrics: object) -> None:
    path = write_run("run", [(3, 1, 1)])
    run = Path(path, "run.json")
    run.write_text(json.dumps({**json.loads(run.read_text()), "config": {"metrics": metrics}}))
    with pytest.raises(ReportError, match=r"run\.json: expected the metrics of a Segscale run"):
        recorded_settings(open_report(path))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(ReportError("two\n  lines"), "two lines", id="made one line"),
        pytest.param(ArgumentError("by: expected"), "by: expected", id="of a table that was asked for what it lacks"),
        pytest.param(IsADirectoryError("a folder"), "a folder", id="of the file system"),
        pytest.param(ConfigError("as it is"), "as it is", id="said already"),
    ],
)
def test_errors_of_reports_are_one_line(error: Exception, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught, readable_reports():
        raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [KeyError, ValueError])
def test_what_was_not_foreseen_is_not_called_a_wrong_report(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="a mistake of ours") as caught, readable_reports():
        raise kind("a mistake of ours")
    assert type(caught.value) is kind


@pytest.mark.parametrize("name", ["per_image", "per_sample", "batch_summed", "gap"])
def test_columns_that_a_table_lacks_are_named(
    write_run: Callable[..., str], overwrite_table: Callable[[str, str, pd.DataFrame], None], name: str
) -> None:
    report = open_report(write_run("run", [(3, 1, 1)]))
    assert len(whole_table(report, name))
    overwrite_table(report.path, name, report.table(name).drop(columns="head"))
    with pytest.raises(
        ReportError, match=rf"{name}\.parquet: expected the columns of a report, \['head'\] are missing"
    ):
        whole_table(report, name)


def test_rows_as_json() -> None:
    table = pd.DataFrame({"score": [0.5, np.nan], "n": pd.array([3, None], "Int64"), "name": ["a", None]})
    expected = {"rows": [{"score": 0.5, "n": 3, "name": "a"}, {"score": None, "n": None, "name": None}], "none": []}
    assert json.loads(tables_as_json({"rows": table, "none": table.iloc[:0]})) == expected


def test_counts_of_the_foreground_are_all_but_the_background_and_few_columns(
    write_run: Callable[..., str], overwrite_table: Callable[[str, str, pd.DataFrame], None]
) -> None:
    report = open_report(write_run("run", [(3, 1, 1), (2, 0, 5)]))
    whole = report.table("per_image").assign(site="north", spacing_d_mm=1.0)
    whole.loc[3, ["class_index", "status"]] = [None, "failed"]
    overwrite_table(report.path, "per_image", whole)
    rows = foreground_counts(report, "site")
    expected = whole[whole["class_index"].isna() | (whole["class_index"] > 0)].reset_index(drop=True)
    assert len(rows) == len(expected) < len(whole)
    assert {"site", "true_positive", "soft_intersection", "reference_sum", "status"} <= set(rows)
    assert not {"dice", "spacing_d_mm", "error"} & set(rows)
    hashes = [name for name in map(str, rows) if name.endswith("_sha256")]
    assert hashes
    for name in rows:
        pd.testing.assert_series_equal(rows[name], expected[name].str[:16] if name in hashes else expected[name])
    assert "spacing_d_mm" in foreground_counts(report, "reference_volume:0,100"), "sizes in mm3 need it"
    overwrite_table(report.path, "per_image", whole.drop(columns="true_positive"))
    with pytest.raises(ReportError, match=r"columns of a report, \['true_positive'\] are missing"):
        foreground_counts(report)
