"""Write docs/averages.md with its pictures: python docs/scripts/averages.py [FOLDER]

Six small images are drawn, evaluated by `segscale.evaluate`, and the page is `averages.template.md` with the numbers of
that report; FOLDER, by default docs/, gets page and pictures.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

import segscale
from segscale.storage.reports import Report
from segscale.tasks.metrics.settings import EmptyPolicy, ScoreSettings
from segscale.tasks.plot_style import INK, PER_SAMPLE, POOLED, QUIET, STYLE
from segscale.tasks.rescore import rescore

PAGE, CASES, AVERAGES = "averages.md", "averages-cases.svg", "averages-values.svg"
TEMPLATE = Path(__file__).with_name("averages.template.md")
SIDE = 12
PIXELS = {3: ("both", "#009E73"), 1: ("prediction only", POOLED), 2: ("reference only", PER_SAMPLE)}
"""How pixels are shown: 2 of the reference, 1 of the prediction."""
Box = tuple[int, int, int, int]
"""First and behind the last row, first and behind the last column."""


@dataclass(frozen=True, slots=True)
class Case:
    """One drawn image."""

    name: str
    patient: str
    reference: Box | None
    prediction: Box | None
    is_missing: bool = False
    """Nobody wrote a prediction."""

    def mask(self, box: Box | None) -> NDArray[np.uint8]:
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        if box:
            drawn[box[0] : box[1], box[2] : box[3]] = 1
        return drawn


SET = (
    Case("large", "A", (2, 10, 2, 10), (2, 10, 2, 9)),
    Case("small", "A", (5, 7, 5, 7), (5, 7, 6, 8)),
    Case("missed", "B", (3, 5, 7, 9), None),
    Case("healthy", "B", None, None),
    Case("false alarm", "C", None, (8, 9, 3, 5)),
    Case("no file", "C", (4, 7, 4, 7), None, is_missing=True),
)


@dataclass(frozen=True, slots=True)
class Published:
    """What a published summary.json of nnU-Net says of one label."""

    n_cases: int = 81
    n_defined: int = 30
    mean_dice: float = 0.46000302863738124
    true_positive: int = 8073
    false_positive: int = 1137
    false_negative: int = 8046
    """Sums over all cases: the means that stand there times 81."""

    @property
    def pooled(self) -> float:
        return 2 * self.true_positive / (2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def empty_as_zero(self) -> float:
        return self.mean_dice * self.n_defined / self.n_cases


def evaluate(work: Path) -> Report:
    """The report of the drawn images."""
    for folder in ("masks", "predictions"):
        (work / folder).mkdir()
    for case in SET:
        Image.fromarray(255 * case.mask(case.reference)).save(work / "masks" / f"{case.name}.png")
        if not case.is_missing:
            Image.fromarray(255 * case.mask(case.prediction)).save(work / "predictions" / f"{case.name}.png")
    pd.DataFrame({"image_id": [case.name for case in SET], "patient": [case.patient for case in SET]}).to_csv(
        work / "patients.csv", index=False
    )
    return segscale.evaluate(
        predictions=str(work / "predictions"),
        references=str(work / "masks"),
        by=str(work / "patients.csv"),
        unit="patient",
        output=str(work / "report"),
    )


def chosen(table: pd.DataFrame, unit: str = "image", **where: Any) -> pd.Series:
    """The one row of Dice of the foreground, over the whole set."""
    wanted = {"unit": unit, "stratum": "", "class_index": 1, "metric": "dice", **where}
    rows = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
    assert len(rows) == 1, f"{len(rows)} rows of {wanted}"
    return rows.iloc[0]


def averages(report: Report) -> dict[str, float]:
    """Every average of the page, by its name there."""
    per_image = report.table("per_image")
    per_sample, batched = report.table("per_sample"), report.table("batch_summed")
    of_images, pooled = chosen(per_sample), chosen(batched, pooled=True)

    def with_empty(policy: EmptyPolicy) -> float:
        changed = rescore(per_image, ScoreSettings(batch_sizes=(1,), bootstrap=0, empty=policy))
        return float(chosen(changed["per_sample"])["mean"])

    return {
        "mean": float(of_images["mean"]),
        "median": float(of_images["median"]),
        "missing_as_zero": float(of_images["mean_missing_as_zero"]),
        "empty_one": with_empty("one"),
        "empty_zero": with_empty("zero"),
        "per_patient": float(chosen(per_sample, unit="patient")["mean"]),
        "pooled": float(pooled["mean"]),
        "pooled_missed": float(pooled["pooled_missing_as_missed"]),
    }


def case_rows(report: Report) -> list[list[str]]:
    """The images: what was counted and what follows."""
    table = report.table("per_image")
    lesion = table[table["class_index"] == 1].set_index("image_id")
    rows = []
    for case in SET:
        found = lesion.loc[case.name]
        counts = [found[name] for name in ("true_positive", "false_positive", "false_negative")]
        shown = ["unknown" if pd.isna(count) else str(int(count)) for count in counts]
        dice: str = "undefined" if pd.isna(found["dice"]) else f"{found['dice']:.3f}"
        rows.append([case.name, case.patient, *shown, "none" if case.is_missing else dice])
    return rows


def patient_rows(report: Report) -> list[list[str]]:
    table = report.table("per_unit")
    lesion = table[table["class_index"] == 1]
    names = ("true_positive", "false_positive", "false_negative")
    return [[str(row["unit_value"]), *(str(int(row[name])) for name in names), f"{row['dice']:.3f}"]
            for _, row in lesion.iterrows()]  # fmt: skip


def draw_cases(rows: list[list[str]]) -> str:
    """SVG: the pixels of each image that both have, that one has, that none has."""
    with style.context(["default", STYLE, _SVG]):
        figure = Figure(figsize=(7.6, 1.75), facecolor="white")
        for place, (axes, case) in enumerate(zip(figure.subplots(ncols=len(SET)), SET, strict=True)):
            reference, prediction = case.mask(case.reference), case.mask(case.prediction)
            codes = 2 * reference + prediction
            for row, column in np.argwhere(codes):
                axes.add_patch(Rectangle((column, SIDE - 1 - row), 0.9, 0.9, color=PIXELS[codes[row, column]][1], lw=0))
            axes.set(aspect="equal", xlim=(0, SIDE), ylim=(0, SIDE), xticks=[], yticks=[], facecolor="#f2f2f2")
            axes.set(title=case.name, xlabel=f"Dice {rows[place][-1]}")
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        for place, (text, colour) in enumerate(PIXELS.values()):
            figure.text(0.02 + 0.16 * place, 0.03, f"■ {text}", color=colour)
        figure.subplots_adjust(left=0.01, right=0.99, top=0.86, bottom=0.2, wspace=0.12)
        return _svg(figure)


def draw_averages(values: dict[str, float], published: Published) -> str:
    """SVG: every average of the drawn set, and those of the published one."""
    shown = [
        (f"published: mean over {published.n_defined} defined", published.mean_dice, PER_SAMPLE),
        ("published: empty as zero", published.empty_as_zero, PER_SAMPLE),
        ("published: pooled", published.pooled, POOLED),
        ("drawn: mean", values["mean"], PER_SAMPLE),
        ("drawn: mean, empty as one", values["empty_one"], PER_SAMPLE),
        ("drawn: mean, empty as zero", values["empty_zero"], PER_SAMPLE),
        ("drawn: mean, missing as zero", values["missing_as_zero"], PER_SAMPLE),
        ("drawn: mean over patients", values["per_patient"], INK),
        ("drawn: pooled", values["pooled"], POOLED),
        ("drawn: pooled, missing as missed", values["pooled_missed"], POOLED),
    ]
    with style.context(["default", STYLE, _SVG]):
        figure = Figure(figsize=(7.6, 3.0), facecolor="white")
        axes = figure.subplots()
        markers = {PER_SAMPLE: "o", POOLED: "s", INK: "D"}
        for place, (_, value, colour) in enumerate(shown):
            axes.plot([0, value], [-place, -place], color="#dddddd", linewidth=1)
            axes.plot([value], [-place], markers[colour], color=colour)
            axes.text(value + 0.015, -place, f"{value:.3f}", va="center", color=INK)
        axes.axhline(-2.5, color=QUIET, linewidth=0.8)
        axes.set(xlim=(0, 1), xlabel="Dice", yticks=[-place for place in range(len(shown))])
        axes.set_yticklabels([name for name, _, _ in shown])
        axes.grid(visible=False, axis="y")
        figure.subplots_adjust(left=0.32, right=0.98, top=0.98, bottom=0.15)
        return _svg(figure)


_SVG = {"svg.fonttype": "none", "svg.hashsalt": "segscale"}


def _svg(figure: Figure) -> str:
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return sink.getvalue().replace(" \n", "\n")


def write_page(folder: Path) -> None:
    """Write page and pictures into `folder`."""
    published = Published()
    with tempfile.TemporaryDirectory() as work:
        report = evaluate(Path(work))
        values, rows, patients = averages(report), case_rows(report), patient_rows(report)
        gap = chosen(report.table("gap"))
    page = TEMPLATE.read_text(encoding="utf-8").format(
        **values,
        published=published,
        undefined=published.n_cases - published.n_defined,
        cases=_lines(rows),
        patients=_lines(patients),
        gap=gap,
    )
    (folder / PAGE).write_text(page, encoding="utf-8")
    (folder / CASES).write_text(draw_cases(rows), encoding="utf-8")
    (folder / AVERAGES).write_text(draw_averages(values, published), encoding="utf-8")


def _lines(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    write_page(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
