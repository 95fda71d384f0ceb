"""Surfaces and lesions on the page and at the end of a run: which rows, under which names."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.storage.reports import Report
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report_html.measured import FEW, distance_unit, measured_rows
from segscale.tasks.report_html.page import RUN_KEYS, render_report

ROOT = Path(__file__).parents[3]
NAMES = ("per_sample", "batch_summed", "intervals", "surface")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Of two and of three classes, the second with units and a prediction that is missing."""
    write = runpy.run_path(str(ROOT / "benchmarks" / "made_report.py"))["write_made_report"]
    folder = tmp_path_factory.mktemp("measured")
    plain = ScoreSettings(bootstrap=20)
    return {
        "two": write(folder / "two", 24, settings=plain, measures=True),
        "three": write(
            folder / "three", 24, n_classes=3, settings=plain.changed(unit="patient_id"), missing_every=6, measures=True
        ),
        "pixels": write(folder / "pixels", 8, settings=plain),
    }


def tables_of(report: Report) -> dict[str, Any]:
    files = report.run()["files"]
    return {name: report.table(name) for name in NAMES if f"{name}.parquet" in files}


def test_of_one_class_nothing_is_said_over_classes(reports: dict[str, Report]) -> None:
    tables = tables_of(reports["two"])
    rows = measured_rows(tables, distance_unit(tables))
    assert {row.class_name for row in rows} == {"class_1"}
    names = [row.metric for row in rows]
    assert names[:5] == ["HD (px)", "HD95 (px)", "ASSD (px)", "MASD (px)", "NSD within 2 px"]
    assert names[-5:] == ["lesion F1", "lesion sensitivity", "lesion precision", "lesion Dice", "panoptic quality"]
    assert all((row.pooled is None) == ("lesion" not in row.metric and "panoptic" not in row.metric) for row in rows)
    per_sample = tables["per_sample"].query("class_name == 'class_1' and metric == 'hd95' and stratum == ''")
    assert rows[1].per_sample.value == per_sample["mean"].item()
    assert rows[1].per_sample.method == "bca"


def test_of_several_classes_means_over_them_and_units(reports: dict[str, Report]) -> None:
    tables = tables_of(reports["three"])
    rows = measured_rows(tables, distance_unit(tables), FEW)
    assert {row.metric for row in rows} == {"HD95 (px)", "NSD within 2 px", "lesion F1", "lesion Dice"}
    assert {row.class_name for row in rows} == {
        "class_1", "class_2", "mean over foreground classes", "foreground classes summed",
    }  # fmt: skip
    first = rows[0]
    assert first.per_unit is not None
    assert first.missing_as_worst.value > first.per_sample.value


def test_a_run_that_measured_nothing_has_no_rows(reports: dict[str, Report]) -> None:
    tables = tables_of(reports["pixels"])
    assert distance_unit(tables) == ""
    assert measured_rows(tables, "") == ()


def test_the_unit_is_that_of_the_rows_that_have_one() -> None:
    assert distance_unit({"surface": pd.DataFrame({"distance_unit": [None, "mm"]})}) == "mm"


def test_the_page_names_the_keys_of_what_was_measured(reports: dict[str, Report]) -> None:
    def page(name: str) -> str:
        report = reports[name]
        tables = {file.removesuffix(".parquet"): report.table(file.removesuffix(".parquet"))
                  for file in report.run()["files"] if file.endswith(".parquet")}  # fmt: skip
        asked = {"surface": name != "pixels", "lesions": name != "pixels", "lesion_rule": "overlap"}
        run = {**dict.fromkeys(RUN_KEYS, ""), **report.run(), "versions": {}, "plan": None}
        run["config"] = {"metrics": {**run["config"]["metrics"], **asked}}
        return render_report(tables, run).decode()

    assert "Surfaces and lesions</h2>" in page("two")
    assert "lesion_rule" in page("two")
    plain = page("pixels")
    assert "Surfaces and lesions" not in plain
    assert "lesion_rule" not in plain
