"""docs/loss-and-metric.md holds what its script writes from the histories that lie beside it."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
LOSS = SimpleNamespace(**runpy.run_path(str(DOCS / "scripts" / "loss_and_metric.py")))
TRAININGS = list(LOSS.TRAININGS)


@pytest.fixture(scope="module")
def histories() -> dict[str, pd.DataFrame]:
    return {name: LOSS.read(DOCS / LOSS.PARTS / f"{name}.parquet") for name in TRAININGS}


def rows_of(history: pd.DataFrame, split: str) -> pd.DataFrame:
    rows: pd.DataFrame = LOSS.rows_of(history, split)
    return rows


def test_the_page_and_its_figures_are_what_the_script_writes(tmp_path: Path) -> None:
    LOSS.write_page(tmp_path)
    assert (tmp_path / LOSS.PAGE).read_text(encoding="utf-8") == (DOCS / LOSS.PAGE).read_text(encoding="utf-8")
    for name in ("as-asked", "defaults"):
        drawn, kept = (Image.open(folder / LOSS.PARTS / f"{name}.png") for folder in (tmp_path, DOCS))
        assert drawn.size == kept.size
        assert drawn.getcolors(1 << 24) == kept.getcolors(1 << 24)


@pytest.mark.parametrize("name", TRAININGS)
def test_the_parts_of_the_loss_sum_to_it(histories: dict[str, pd.DataFrame], name: str) -> None:
    history = histories[name]
    heads = sum(history[f"head_{k}_loss"] * history[f"head_{k}_weight"] for k in range(1, 5))
    assert (heads + history["regularization"] - history["loss"]).abs().max() < 1e-5


def test_both_trainings_saw_the_same_slices(histories: dict[str, pd.DataFrame]) -> None:
    for split in ("training", "validation"):
        asked, defaults = (rows_of(histories[name], split) for name in ("as-asked", "defaults"))
        assert len(asked) == len(defaults)
        assert asked["n_images"].tolist() == defaults["n_images"].tolist()


def test_as_asked_the_loss_falls_and_is_above_1_while_lesions_are_not_found(histories: dict[str, pd.DataFrame]) -> None:
    """What the question says, in the numbers of its own configuration."""
    training, validation = (rows_of(histories["as-asked"], split) for split in ("training", "validation"))
    assert training["loss"].is_monotonic_decreasing
    assert training["loss"].min() > 1
    assert validation["dice_pooled"].max() < 0.1


def test_with_the_defaults_lesions_are_found(histories: dict[str, pd.DataFrame]) -> None:
    last = rows_of(histories["defaults"], "validation").iloc[-1]
    assert last["dice_pooled"] > 0.3
    assert last["dice_per_sample"] > rows_of(histories["as-asked"], "validation")["dice_per_sample"].max()


def test_every_number_of_a_history_can_be_found_in_the_page(histories: dict[str, pd.DataFrame]) -> None:
    page = (DOCS / LOSS.PAGE).read_text(encoding="utf-8")
    for name in ("as-asked", "defaults"):
        last: Any = rows_of(histories[name], "validation").iloc[-1]
        row = next(line for line in page.splitlines() if line.startswith(f"| {last['epoch']} | validation") and (
            f"{last['loss']:.3f}" in line
        ))  # fmt: skip
        assert f"{last['dice_pooled']:.3f}" in row
