"""docs/paper-figure.ipynb runs, and holds what its cells give."""

from __future__ import annotations

import base64
import json
import re
import runpy
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOK = DOCS / "paper-figure.ipynb"
PNG = b"\x89PNG\r\n\x1a\n"


def cells() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in made if cell["cell_type"] == "code"]


def given(cells: list[Any]) -> list[str]:
    """What the cells gave as text, in their order."""
    return [
        "".join(output["data"]["text/plain"])
        for cell in cells
        for output in cell["outputs"]
        if "text/plain" in output.get("data", {})
    ]


def pictures(cells: list[Any]) -> list[bytes]:
    outputs = [output.get("data", {}) for cell in cells for output in cell["outputs"]]
    return [base64.b64decode("".join(data["image/png"])) for data in outputs if "image/png" in data]


@pytest.mark.slow
def test_the_cells_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As any Python would run them, without a kernel."""
    monkeypatch.chdir(DOCS)
    with mpl.rc_context({"backend": "agg"}):
        names: dict[str, Any] = {}
        for number, cell in enumerate(cells()):
            exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec"), names)
        assert (names["work"] / "figure.pdf").read_bytes().startswith(b"%PDF")
    numbers: pd.DataFrame = names["numbers"]
    assert len(numbers) == 4
    assert ((numbers["low"] < numbers["Dice"]) & (numbers["Dice"] < numbers["high"])).all()
    for value in numbers[["Dice", "low", "high"]].to_numpy().ravel():
        assert f"{value:.3f}" in "\n".join(given(cells())), "what stands in the notebook"


def test_the_notebook_is_executed_and_small() -> None:
    assert all(cell["execution_count"] for cell in cells())
    (picture,) = pictures(cells())
    assert picture.startswith(PNG)
    assert NOTEBOOK.stat().st_size < 150_000


@pytest.mark.nightly(part="docs")
def test_it_gives_the_same_in_a_kernel() -> None:
    found = runpy.run_path(str(DOCS / "scripts" / "notebook.py"))["executed"]()
    made = [cell for cell in found.cells if cell["cell_type"] == "code"]
    # The size of a figure in words differs with fonts; its picture is there or not.
    plain = [re.sub(r"<Figure size .*?>", "<Figure>", text) for text in given(made)]
    assert plain == [re.sub(r"<Figure size .*?>", "<Figure>", text) for text in given(cells())]
    assert len(pictures(made)) == 1
