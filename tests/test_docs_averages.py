"""docs/averages.md and its pictures are what the script writes, and its numbers are those of plain NumPy and pandas."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.test_docs_why import assert_same_page

DOCS = Path(__file__).parents[1] / "docs"
PAGE = SimpleNamespace(**runpy.run_path(str(DOCS / "scripts" / "averages.py")))


@pytest.mark.parametrize("name", [PAGE.PAGE, PAGE.CASES, PAGE.AVERAGES])
def test_page_and_pictures_are_what_the_script_writes(name: str, written: Path) -> None:
    found, expected = ((folder / name).read_text(encoding="utf-8") for folder in (written, DOCS))
    assert_same_page(found, expected, 0.01 if name.endswith(".svg") else None)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("averages")
    PAGE.write_page(folder)
    return folder


def counted() -> pd.DataFrame:
    """The drawn images, counted without Segscale."""
    rows = []
    for case in PAGE.SET:
        reference, prediction = case.mask(case.reference) > 0, case.mask(case.prediction) > 0
        tp, fp, fn = (reference & prediction).sum(), (~reference & prediction).sum(), (reference & ~prediction).sum()
        rows.append((case.name, case.patient, case.is_missing, int(tp), int(fp), int(fn)))
    return pd.DataFrame(rows, columns=["name", "patient", "missing", "tp", "fp", "fn"])


def dice(rows: pd.DataFrame) -> pd.Series:
    return 2 * rows["tp"] / (2 * rows["tp"] + rows["fp"] + rows["fn"])


def test_the_averages_are_those_of_pandas(tmp_path: Path) -> None:
    rows = counted()
    sound, sums = rows[~rows["missing"]], ["tp", "fp", "fn"]
    patients = sound.groupby("patient")[sums].sum()
    expected = {
        "mean": dice(sound).mean(),
        "median": dice(sound).median(),
        "missing_as_zero": dice(rows).mean(),
        "empty_one": dice(sound).fillna(1).mean(),
        "empty_zero": dice(sound).fillna(0).mean(),
        "per_patient": dice(patients).mean(),
        "pooled": dice(sound[sums].sum().to_frame().T).item(),
        "pooled_missed": dice(rows[sums].sum().to_frame().T).item(),
    }
    found = PAGE.averages(PAGE.evaluate(tmp_path))
    assert found == pytest.approx(expected, abs=1e-12)
    assert len(set(np.round(list(found.values()), 3))) >= 7, "a set on which the averages differ"


def test_the_published_numbers_follow_from_each_other() -> None:
    published = PAGE.Published()
    numbers = (published.mean_dice, published.pooled, published.empty_as_zero)
    assert [round(number, 3) for number in numbers] == [0.460, 0.637, 0.170]
