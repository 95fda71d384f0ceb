"""Write docs/reconcile.md, whose numbers are what the command says: python docs/scripts/reconcile.py

The set is drawn: 81 cases of which 51 have nothing to find and nothing found, with the three numbers of a published
table. `docs/reconcile/summary.json` is what nnunetv2 2.8.1 wrote of it; `--draw FOLDER` draws it for nnU-Net.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import segscale
from segscale.flows.reports.reconcile import describe

DOCS = Path(__file__).parents[1]
TEMPLATE = Path(__file__).with_name("reconcile.template.md")
SUMMARY = DOCS / "reconcile" / "summary.json"
PAGE = "reconcile.md"
SIDE = 32
N_LESIONS, N_EMPTY = 30, 51
LOST = ("case_03", "case_17", "case_30")
"""Cases without a prediction in the second example."""


def counts() -> list[tuple[int, int]]:
    """Pixels of each lesion, and how many of them are found; as many are found beside it as are missed."""
    sizes = [round(4 * 1.17**number) for number in range(N_LESIONS)]
    found = [round(size * 0.73 * (number / (N_LESIONS - 1)) ** 0.59) for number, size in enumerate(sizes)]
    # So that the mean Dice is .460 and the pooled one .637, as published.
    found[16] -= 1
    found[29] += 1
    return list(zip(sizes, found, strict=True))


def draw(folder: Path, without: Sequence[str] = ()) -> None:
    """References in labelsTs/ and predictions in predictions/, of label 1; `without` has no prediction."""
    for number, (size, found) in enumerate([*counts(), *[(0, 0)] * N_EMPTY]):
        reference, prediction = np.zeros((2, SIDE * SIDE), np.uint8)
        reference[:size] = 1
        prediction[size - found : 2 * size - found] = 1
        for role, mask in (("labelsTs", reference), ("predictions", prediction)):
            name = f"case_{number + 1:02}"
            if role == "predictions" and name in without:
                continue
            (folder / role).mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.reshape(SIDE, SIDE)).save(folder / role / f"{name}.png")


def evaluated(folder: Path) -> str:
    """The report of what was drawn, with empty cases as 0."""
    report = segscale.evaluate(
        references=folder / "labelsTs",
        predictions=folder / "predictions",
        classes=["background", "lesion"],
        output=folder / "output",
        settings={"metrics": {"empty": "zero", "bootstrap": 0}, "dataset": {"label_values": [0, 1]}},
    )
    return str(report.path)


def shown(report: str) -> str:
    """What `segscale reconcile` prints, with the names of the page."""
    said = describe(segscale.reconcile(report, str(SUMMARY)))
    return said.replace(report, "REPORT").replace(str(SUMMARY), "summary.json")


def write_page(folder: Path) -> None:
    """Write the page into `folder`."""
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, without in (("published", ()), ("lost", LOST)):
        with tempfile.TemporaryDirectory() as made:
            draw(Path(made), without)
            page = page.replace(f"<<{name}>>", shown(evaluated(Path(made))))
    (folder / PAGE).write_text(page, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DOCS)
    parser.add_argument("--draw", type=Path, help="draw the set there, and write no page")
    asked = parser.parse_args(arguments)
    if asked.draw:
        draw(asked.draw)
    else:
        write_page(asked.folder)


if __name__ == "__main__":
    main()
