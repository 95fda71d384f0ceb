"""docs/recipes.md: each question has one answer in pandas, Polars and DuckDB, where Segscale has it too the same."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.storage.reports import Report, open_report
from segscale.tasks.metrics.settings import ScoreSettings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
LIBRARIES = ("pandas", "polars", "duckdb")
RECIPES = {
    section.splitlines()[0]: re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    for section in TEXT.split("\n## ")[1:]
}
RUN = "0a1b2c3d4e5f"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs over one data set, with failed images and missing predictions."""
    write = runpy.run_path(str(ROOT / "benchmarks" / "made_report.py"))["write_made_report"]
    root = tmp_path_factory.mktemp("recipes")
    settings = ScoreSettings(
        batch_sizes=(8,), bootstrap=0, unit="patient_id", group_by=("site", "reference_volume:0,100,1000")
    )
    for seed, run_id in enumerate((RUN, "999999999999")):
        where = root / "reports" / "nuclei" / run_id
        more = {"failed_every": 20, "missing_every": 15, "measures": True}
        write(where, 90, settings=settings, run_id=run_id, dataset="nuclei", seed=seed, **more)
    return root


def answer(recipe: str, library: str) -> pd.DataFrame:
    """What a block of the page has as its answer."""
    block = RECIPES[recipe][LIBRARIES.index(library)]
    names: dict[str, Any] = {}
    exec(compile(block, f"docs/recipes.md, {recipe}, {library}", "exec"), names)
    found = names["answer"]
    frame: pd.DataFrame = found if library == "pandas" else found.to_pandas() if library == "polars" else found.df()
    return frame.reset_index(drop=True)


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_three_have_one_answer(recipe: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for library, block in zip(LIBRARIES, RECIPES[recipe], strict=True):
        assert f"import {library}" in block
    first, *others = (answer(recipe, library) for library in LIBRARIES)
    assert len(first)
    for other in others:
        pd.testing.assert_frame_equal(first, other, check_dtype=False, rtol=0, atol=1e-12)


@pytest.fixture
def report(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.chdir(folder)
    return open_report(f"reports/nuclei/{RUN}")


def of_dice(table: pd.DataFrame, unit: str = "image") -> pd.DataFrame:
    rows = (table["class_index"] == 1) & (table["metric"] == "dice") & (table["unit"] == unit)
    return table[rows].set_index("stratum")


def test_sites_are_those_of_the_report(report: Report) -> None:
    found = answer("Mean and pooled Dice of each site", "pandas").set_index("site")
    means, batched = of_dice(report.table("per_sample")), report.table("batch_summed")
    pooled = of_dice(batched[batched["pooled"]])
    for site, row in found.iterrows():
        assert row["mean"] == pytest.approx(means.loc[f"site={site}", "mean"], abs=1e-12)
        assert row["pooled"] == pytest.approx(pooled.loc[f"site={site}", "mean"], abs=1e-12)
        assert row["n_failed"] == means["n_failed"][f"site={site}"]
    assert found["n_failed"].sum() > 0


def test_patients_are_those_of_the_report(report: Report) -> None:
    found = answer("The mean over patients", "pandas").iloc[0]
    expected = of_dice(report.table("per_sample"), "patient_id").loc[""]
    assert found["mean"] == pytest.approx(expected["mean"], abs=1e-12)
    assert found["n_patients"] == expected["n_defined"]


def test_missing_ones_are_those_of_the_report(report: Report) -> None:
    found = answer("Missing predictions as zero, undefined ones left out", "pandas").iloc[0]
    expected = of_dice(report.table("per_sample")).loc[""]
    assert found["mean"] == pytest.approx(expected["mean_missing_as_zero"], abs=1e-12)
    assert found["n"] == expected["n_defined"] + expected["n_missing"]


def test_sizes_are_those_of_the_report(report: Report) -> None:
    found = answer("Dice by size of the reference", "pandas").set_index("at_least")["mean"]
    means = of_dice(report.table("per_sample"))["mean"]
    bins = {0: "(0,100)", 100: "[100,1000)", 1000: "[1000,inf)"}
    assert found.to_dict() == pytest.approx({low: means[f"reference_volume={name}"] for low, name in bins.items()})
