"""Write docs/quickstart.md and docs/first-steps.md, whose transcripts are what the commands say.

python docs/scripts/first_steps.py

The sets are drawn, the commands are run in a folder that ends with it, and what they print is put into the page. What
differs from machine to machine stands there as one of them had it: folders, the name of a run, workers, seconds.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DOCS = Path(__file__).parents[1]
PAGES = ("quickstart.md", "first-steps.md")
IDS = [f"case{number:02}" for number in range(1, 25)]
SIZE = (96, 128)
HERE = (sys.executable, "-m", "segscale")
HOME = "/home/you"
RUNS = ("3c1f0d9a7be2", "7e52a8c4d016", "b90d36f1e8a7")
"""Names that runs go by on the pages, the first of a page first."""
WIDTH = 120
_PROGRESS = re.compile(r"^(numba|score|scan|ingest|report|prefect): ")
_ADDRESS = re.compile(r"\b[0-9a-f]{12}\b")
_TIME = re.compile(r"about [^,]+ on \d+ workers?")


def disc(rows: float, columns: float, radius: float) -> NDArray[np.float64]:
    """Distance of each pixel to the edge of a disc, positive inside."""
    y, x = np.indices(SIZE)
    inside: NDArray[np.float64] = radius - np.hypot(y - rows, x - columns)
    return inside


def drawn(number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A reference, 0 and 255, and probabilities of somebody who draws it a little too small and beside."""
    generator = np.random.default_rng(number)
    rows, columns, radius = generator.uniform(30, 60), generator.uniform(30, 90), generator.uniform(3, 18)
    reference = np.where(disc(rows, columns, radius) > 0, 255, 0).astype(np.uint8)
    shifted = disc(rows + generator.normal(0, 2), columns + generator.normal(0, 2), radius - 0.7)
    return reference, (1 / (1 + np.exp(-shifted))).astype(np.float32)


def draw_folders(folder: Path) -> None:
    """References, and predictions of two networks called alike; of the first, one is missing."""
    for number, name in enumerate(IDS):
        reference, probabilities = drawn(number)
        _save(folder / "masks" / f"{name}.png", reference)
        if number != 16:
            _save(folder / "unet" / f"{name}.png", np.where(probabilities >= 0.5, 255, 0).astype(np.uint8))
        _save(folder / "retrained" / f"{name}.png", np.where(probabilities >= 0.35, 255, 0).astype(np.uint8))


def draw_flat(folder: Path) -> None:
    """All in one folder, told apart by suffixes; one prediction is missing."""
    for number, name in enumerate(IDS):
        reference, probabilities = drawn(number)
        _save(folder / f"{name}_mask.png", reference)
        if number != 16:
            _save(folder / f"{name}_pred.png", np.where(probabilities >= 0.5, 255, 0).astype(np.uint8))


def draw_cases(folder: Path) -> None:
    """A folder for each case."""
    for number, name in enumerate(IDS):
        reference, probabilities = drawn(number)
        _save(folder / name / "mask.png", reference)
        _save(folder / name / "prediction.npy", probabilities)


def draw_study(folder: Path) -> None:
    """Files with names of their own, and a table saved by a spreadsheet that separates by semicolons."""
    rows = ["image_id;reference;prediction;patient;scanner"]
    for number, name in enumerate(IDS):
        reference, probabilities = drawn(number)
        _save(folder / "drawn" / f"{7 * number:03}.png", reference)
        _save(folder / "found" / f"{name}-unet.npy", probabilities)
        patient, scanner = f"P{number // 4}", "AB"[number // 4 % 2]
        rows.append(f"{name};drawn/{7 * number:03}.png;found/{name}-unet.npy;{patient};{scanner}")
    (folder / "cases.csv").write_text("\ufeff" + "\r\n".join(rows) + "\r\n", encoding="utf-8")


def _save(path: Path, pixels: NDArray[np.uint8] | NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def run(work: Path, command: str, program: Sequence[str] = HERE) -> str:
    """What a command of `program` prints, as it stands in a terminal; lines about progress are left out."""
    arguments = [part.strip("'") for part in command.split()[1:]]
    done = subprocess.run(
        [*program, *arguments],
        cwd=work,
        env={**os.environ, "PREFECT_API_URL": "", "COLUMNS": str(WIDTH), "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command}: exit code {done.returncode}: {done.stderr}")
    said = [line for line in done.stderr.splitlines() if not _PROGRESS.match(line)]
    return "\n".join([f"$ {command}", *said, *done.stdout.splitlines()])


def quickstart(work: Path, program: Sequence[str] = HERE) -> dict[str, str]:
    """What stands in the places of the quickstart, said by `program`."""
    folder = work / "liver"
    draw_folders(folder)
    reports = folder / "segscale-report" / "reports" / "liver"
    first = run(folder, "segscale evaluate --predictions unet --references masks", program)
    (before,) = reports.iterdir()
    second = run(folder, "segscale evaluate --predictions retrained --references masks", program)
    (after,) = set(reports.iterdir()) - {before}
    names = [one.relative_to(folder).as_posix() for one in (before, after)]
    compared = run(folder, f"segscale compare {' '.join(names)}", program)
    return {"evaluate": first, "compare": f"{second}\n\n{compared}", "run": before.name}


def first_steps(work: Path) -> dict[str, str]:
    """What stands in the places of the page on other ways to keep files."""
    draw_flat(work / "liver")
    draw_cases(work / "kidneys")
    draw_study(work / "study")
    shown = {
        "evaluate": [
            "segscale evaluate --predictions 'liver/{id}_pred.png' --references 'liver/{id}_mask.png'",
        ],
        "flat": ["segscale init liver --output liver.toml", "segscale check liver.toml"],
        "cases": [
            "segscale init kidneys --output kidneys.toml",
            "segscale check kidneys.toml",
            "segscale run kidneys.toml",
        ],
        "study": [
            "segscale init study --output study.toml",
            "segscale check study.toml",
            "segscale run study.toml",
        ],
    }
    texts = {name: "\n\n".join(run(work, command) for command in commands) for name, commands in shown.items()}
    (report,) = (work / "segscale-report" / "reports").glob("*/*")
    files = {
        "evaluate_toml": report / "evaluate.toml",
        "liver_toml": work / "liver.toml",
        "kidneys_toml": work / "kidneys.toml",
        "study_toml": work / "study.toml",
    }
    return texts | {name: path.read_text(encoding="utf-8").rstrip("\n") for name, path in files.items()}


def page_text(page: str, work: Path, program: Sequence[str] = HERE) -> str:
    """The text of one of the pages; what its commands made is left in the empty folder `work`.

    `program`: what runs the commands of the quickstart.
    """
    text = Path(__file__).with_name(page.replace(".md", ".template.md")).read_text(encoding="utf-8")
    for name, shown in (quickstart(work, program) if page == "quickstart.md" else first_steps(work)).items():
        text = text.replace(f"<<{name}>>", shown.replace(str(work), HOME))
    runs = list(dict.fromkeys(_ADDRESS.findall(text)))
    for name, shown in zip(runs, RUNS[: len(runs)], strict=True):
        text = text.replace(name, shown)
    return _TIME.sub("about 2 s on 2 workers", text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DOCS)
    folder = parser.parse_args(arguments).folder
    for page in PAGES:
        with tempfile.TemporaryDirectory() as work:
            (folder / page).write_text(page_text(page, Path(work).resolve()), encoding="utf-8")


if __name__ == "__main__":
    main()
