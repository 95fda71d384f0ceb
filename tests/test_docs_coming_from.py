"""docs/coming-from.md: its commands read what nnU-Net and MONAI leave, and its numbers are those of their formulas."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.flows.cli.main import run
from segscale.storage.reports import open_report

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "coming-from.md").read_text(encoding="utf-8")
DRAWN = SimpleNamespace(**runpy.run_path(str(DOCS / "scripts" / "averages.py")))
IDS = [f"drawn_{number:03}" for number in range(4)]
pytestmark = pytest.mark.slow
LABELS = {"background": 0, "kidney": 1, "tumour": 2}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def volume(number: int, shift: int) -> NDArray[np.uint8]:
    """A kidney, and but for the last case a tumour; of the last but one it is not found, but elsewhere."""
    labels = np.zeros((16, 16, 6), np.uint8)
    labels[3 : 10 + number, 4:12, 1:5] = 1
    if number < 3:
        labels[4 + shift : 6 + shift, 5:8, 2:4] = 2
    return labels


def save(path: Path, labels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([0.8, 0.8, 2.5, 1.0])), path)


def dice(reference: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> float:
    total = int(reference.sum() + prediction.sum())
    return 2 * int((reference & prediction).sum()) / total if total else float("nan")


Command = Callable[[str], str]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a line of the page, and gives the report that it names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", "")

    def of_line(line: str) -> str:
        program, *arguments = shlex.split(line)
        assert program == "segscale"
        assert run(arguments) == 0
        return capfd.readouterr().out.rstrip().splitlines()[-1].removeprefix("report: ")

    return of_line


def test_nnunet(tmp_path: Path, typed: Command) -> None:
    raw = tmp_path / "nnUNet_raw" / "Dataset007_Drawn"
    for number, name in enumerate(IDS):
        save(raw / "labelsTs" / f"{name}.nii.gz", volume(number, 0))
        save(tmp_path / "results" / f"{name}.nii.gz", volume(number, 3 if number == 2 else 1))
    described = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": 0, "file_ending": ".nii.gz"}
    for folder in (raw, tmp_path / "results"):
        (folder / "dataset.json").write_text(json.dumps(described))
    (tmp_path / "results" / "plans.json").write_text("{}")
    evaluate, export = blocks("sh")[0].splitlines()
    report = typed(evaluate)
    typed(export.replace("REPORT", report))
    summary = json.loads((tmp_path / "summary.json").read_text())

    def expected(label: int) -> list[float]:
        pairs = [(volume(number, 0), volume(number, 3 if number == 2 else 1)) for number in range(len(IDS))]
        return [dice(reference == label, prediction == label) for reference, prediction in pairs]

    of_labels = {str(label): float(np.nanmean(expected(label))) for label in (1, 2)}
    assert {name: row["Dice"] for name, row in summary["mean"].items()} == pytest.approx(of_labels, abs=1e-12)
    assert summary["foreground_mean"]["Dice"] == pytest.approx(np.mean(list(of_labels.values())), abs=1e-12)
    # What the table of the page says of the tables of the report.
    means = open_report(report).table("per_sample").query("stratum == '' and metric == 'dice'").set_index("class_name")
    assert means.loc["tumour", "mean"] == pytest.approx(of_labels["2"], abs=1e-12)
    assert means.loc["all_macro", "mean"] == pytest.approx(summary["foreground_mean"]["Dice"], abs=1e-12)


def test_monai(tmp_path: Path, typed: Command) -> None:
    for number, name in enumerate(IDS):
        save(tmp_path / "labels" / f"{name}.nii.gz", (volume(number, 0) == 2).astype(np.uint8))
        found = volume(min(number, 1), 1) == 2  # in the last one, which is healthy, too
        save(tmp_path / "output" / name / f"{name}_seg.nii.gz", found.astype(np.uint8))
    report = typed(blocks("sh")[1].strip())
    names: dict[str, Any] = {"report": report}
    (block,) = blocks("python")
    exec(compile(block, "docs/coming-from.md", "exec"), names)
    pairs = [(volume(number, 0) == 2, volume(min(number, 1), 1) == 2) for number in range(len(IDS))]
    with_reference = [dice(*pair) for pair in pairs if pair[0].any()]
    assert len(with_reference) == 3
    assert names["monai_mean"] == pytest.approx(np.mean(with_reference), abs=1e-12)


def test_the_drawn_images_by_each_formula(tmp_path: Path) -> None:
    masks = [(case.mask(case.reference) > 0, case.mask(case.prediction) > 0, case.is_missing) for case in DRAWN.SET]
    given = [dice(reference, prediction) for reference, prediction, is_missing in masks if not is_missing]
    monai = [dice(reference, prediction) for reference, prediction, missing in masks if reference.any() and not missing]
    values = DRAWN.averages(DRAWN.evaluate(tmp_path))
    shown = re.findall(r"^\| .+? \| (\d\.\d{3}) \| (\d):", TEXT, re.MULTILINE)
    expected = [np.nanmean(given), np.mean(monai), values["mean"], values["missing_as_zero"]]
    assert [text for text, _ in shown] == [f"{value:.3f}" for value in expected]
    assert [int(count) for _, count in shown] == [np.count_nonzero(~np.isnan(given)), len(monai), 4, 5]
