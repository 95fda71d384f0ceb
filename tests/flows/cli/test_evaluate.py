"""`segscale evaluate`: what it refuses, in the words of its options, before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import list_dataset
from segscale.flows.layouts.listed import DatasetListing
from tests.conftest import Outcome
from tests.drawn_pairs import IDS, SIZE, disc, draw, save

BOTH = ("--predictions", "preds", "--references", "masks")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with pairs in it, and with things that are none."""
    folder = draw(tmp_path / "liver", {"reference": "masks/{id}.png", "prediction": "preds/{id}.png"})
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "case01.md").write_text("no mask")
    draw(folder, {"prediction": "others/{id}.png"}, ("x1", "x2"))
    for number, name in enumerate(IDS):
        pixels = disc(number)
        pixels[0, :3] = (1, 2, 3)
        save(folder / "many" / f"{name}.png", pixels)
    for number, name in enumerate(IDS):
        save(folder / "sevens" / f"{name}.png", disc(number, value=7))
    (folder / "noids.csv").write_text("name;site\nx;a\n")
    monkeypatch.chdir(folder)
    return folder


REFUSED = [
    pytest.param(("preds", "masks"), "expected --predictions DIR and --references DIR, got 'preds' 'masks'", id="bare"),
    pytest.param((*BOTH, "extra"), "got 'extra' without an option: tools disagree which", id="one too many"),
    pytest.param(("--references", "masks"), "--predictions: expected a folder or a pattern, got none", id="one only"),
    pytest.param(("--predictions", "masks", "--references", "masks"), "expected two places", id="the same twice"),
    pytest.param(("--predictions", "masks", "--references", "preds"), "are exchanged", id="exchanged"),
    pytest.param(("--predictions", "no", "--references", "masks"), "--predictions: .*there is no .*/no", id="absent"),
    pytest.param(("--predictions", "empty", "--references", "masks"), "--predictions: .*empty is empty", id="empty"),
    pytest.param(("--predictions", "preds", "--references", "empty"), "--references: .*empty is empty", id="no set"),
    pytest.param(
        ("--predictions", "others", "--references", "masks"),
        "--predictions: expected .* (case01|x1)",
        id="no pair at all",
    ),
    pytest.param(
        ("--predictions", "many", "--references", "masks"),
        r"prediction case01\.png: expected 0 and one other value .*\(name them in --classes, and --set "
        r"'dataset\.label_values = \[0, 1, 2, 3, 255\]'\), instances \(--set 'dataset\.foreground = \"any\"'\)",
        id="more values than classes",
    ),
    pytest.param(
        ("--predictions", "sevens", "--references", "masks"), "prediction .* has 7", id="other values than references"
    ),
    pytest.param((*BOTH, "--classes", "tumour"), "--classes: expected two names or more", id="one class"),
    pytest.param((*BOTH, "--classes", "a,a"), "classes: expected 2 to 255 different names", id="equal classes"),
    pytest.param((*BOTH, "--by", "noids.csv"), "--by: .*expected a column image_id, or id", id="a table without ids"),
    pytest.param((*BOTH, "--by", "nowhere.csv"), "--by: .*nowhere.csv: expected a table, found none", id="no table"),
    pytest.param((*BOTH, "--group-by", "site"), "--group-by: expected a column", id="a column of nothing"),
    pytest.param(
        (*BOTH, "--output", "preds/out"), "--output: .*lies in a folder that --predictions lists", id="inside"
    ),
    pytest.param(
        (*BOTH, "--output", "noids.csv"),
        r"--output: expected .* written, got .*noids\.csv is a file, no folder",
        id="a file",
    ),
    pytest.param((*BOTH, "--output", "noids.csv/deep"), r"noids\.csv is a file, no folder", id="below a file"),
    pytest.param((*BOTH, "--output", "/proc/nothing"), "no folder can be made in /proc", id="where none can be made"),
    pytest.param((*BOTH, "--output", ""), "--output: got an empty text", id="an empty folder"),
    pytest.param((*BOTH, "--classes", ""), "--classes: got an empty text", id="empty classes"),
    pytest.param((*BOTH, "--group-by", ""), "--group-by: got an empty text", id="an empty column"),
    pytest.param(("--predictions", "", "--references", "masks"), "--predictions: got an empty text", id="empty"),
    pytest.param((*BOTH, "--set", "metrics.x=1"), "metrics.x: unknown key", id="an unknown key"),
    pytest.param((*BOTH, "--set", "x"), "--set: expected section.key=value", id="no key"),
    pytest.param((*BOTH, "--set", "metrics.threshold=2"), "metrics.threshold: .* got 2", id="out of range"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refused(here: Path, segscale_here: Callable[..., Outcome], arguments: tuple[str, ...], message: str) -> None:
    ended = segscale_here("evaluate", *arguments)
    assert (ended.code, ended.out) == (2, "")
    last = ended.err.splitlines()[-1]
    assert last.startswith("segscale: ")
    assert re.search(message, last), last
    assert not (here / "segscale-report" / "reports" / "liver").exists()


def test_the_first_line_says_which_is_which(here: Path, segscale_here: Callable[..., Outcome]) -> None:
    (here / "preds" / "case07.png").unlink()
    save(here / "preds" / "case99.png", disc(1))
    save(here / "preds" / "case01.png", np.full(SIZE, 9, np.uint8))
    ended = segscale_here("evaluate", *BOTH)
    # What its labels are stops it, after it has said what it would take.
    assert ended.code == 2
    first = ended.err.splitlines()[0]
    assert first == "references: masks, 12 files; predictions: preds, 11 paired, 1 missing, 1 left over"


def test_strata_are_said_before_the_run_and_the_set_is_listed_once(
    here: Path, segscale_here: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[EvaluationConfig] = []

    def list_it(config: EvaluationConfig) -> DatasetListing:
        listed.append(config)
        return list_dataset(config)

    monkeypatch.setattr("segscale.flows.run.list_dataset", list_it)
    rows = [f"{name};p{number // 2};{'ab'[number % 2]};{'xy'[number // 6]}" for number, name in enumerate(IDS)]
    (here / "table.csv").write_text("\n".join(["image_id;patient;view;site", *rows]))
    save(here / "preds" / "case01.png", np.full(SIZE, 9, np.uint8))
    ended = segscale_here("evaluate", *BOTH, "--by", "table.csv", "--set", "metrics.unit=patient")
    assert (ended.code, len(listed)) == (2, 1)
    first, second, last = ended.err.splitlines()
    assert first.startswith("references: masks, 12 files")
    assert second == "strata: site, as columns of few values; --group-by names others"
    assert "prediction case01.png" in last
