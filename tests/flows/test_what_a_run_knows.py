"""What a run says at its end, and that it ends early where its first images all fail alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from PIL import Image

from segscale.errors import FirstImagesError
from segscale.flows import evaluate
from segscale.flows.cli.summary import describe_result
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.first_images import FIRST
from segscale.flows.run import Run
from segscale.flows.workers import Workers
from segscale.storage.reports import open_runs

pytestmark = pytest.mark.slow
SIDE = 24
Configure = Callable[..., EvaluationConfig]


def _config(folder: Path, cluster: dict[str, Any] | None = None, **sections: dict[str, Any]) -> EvaluationConfig:
    document: dict[str, dict[str, Any]] = {
        "dataset": {"name": "d", "images": "images/*.png", "references": "masks/*.png"},
        "predictions": {"path": "ours/fold-1/*"},
        "metrics": {"bootstrap": 20},
        "store": {"path": "store"},
        "report": {"path": "reports", "max_failure_rate": 0.5},
        "cluster": cluster or {},
    }
    for name, keys in sections.items():
        document[name] |= keys
    return parse_config(document, base=folder, source="test")


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        address = {"kind": "address", "address": cluster.scheduler_address}
        with Workers(_config(tmp_path_factory.mktemp("none"), address).cluster) as workers:
            yield workers


@pytest.fixture
def run(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Callable[[EvaluationConfig], Any]:
    monkeypatch.setattr(evaluate, "Run", partial(Run, workers=workers))
    return evaluate.run


def _draw(folder: Path, n_images: int, spoil: Callable[[int, str, np.ndarray], np.ndarray | bytes | None]) -> None:
    """Discs of any size, found a pixel beside; `spoil` makes the content of a file, None leaves it away."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(n_images):
        disc = (np.hypot(rows - 11, columns - 9 - number % 4) < 4 + number % 3).astype(np.uint8)
        drawn = {
            "images": (rows * 9 + columns + number).astype(np.uint8),
            "masks": disc,
            "ours/fold-1": np.roll(disc, 1),
        }
        for role, pixels in drawn.items():
            (folder / role).mkdir(parents=True, exist_ok=True)
            content, path = spoil(number, role, pixels), folder / role / f"scan_{number:02d}.png"
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif content is not None:
                Image.fromarray(content).save(path)


def test_what_a_run_knows_it_says_at_once_and_again(run: Callable[[EvaluationConfig], Any], tmp_path: Path) -> None:
    def spoil(number: int, role: str, pixels: np.ndarray) -> np.ndarray | bytes | None:
        return {
            (1, "ours/fold-1"): None,
            (4, "ours/fold-1"): pixels[:, :9],
            (6, "ours/fold-1"): pixels[:5],
            (7, "images"): b"",
        }.get((number, role), pixels)

    _draw(tmp_path, 12, spoil)
    config = _config(tmp_path)
    first, again = run(config), run(config)
    assert (first.reused, again.reused) == (False, True)
    assert (first.n_images, first.n_failed, first.n_missing) == (12, 4, 3)
    for name in ("reasons", "findings", "n_missing", "page"):
        assert getattr(again, name) == getattr(first, name), name
    pd.testing.assert_frame_equal(again.headline, first.headline)
    said = describe_result(first).splitlines()
    assert said[-1] == f"report: {first.path}"
    assert said[-2] == f"page: {first.path}/report.html"
    assert Path(first.page).is_file()
    assert [line for line in said if line.startswith("  ") and " in " in line and "evidence" not in line] == [
        "  2 in score, ValueError: e.g. scan_04: scan_04.png: expected the size of its reference 24x24, got 24x9",
        "  1 in score, MissingFile: scan_01: prediction: expected a file for image scan_01, none could be read",
        "  1 in score, UnreadableImage: scan_07: scan_07.png: the file is empty (0 bytes); expected a PNG image",
    ]
    assert any(line.startswith("warning: failed images are in no mean") for line in said)
    extra = "; nothing had changed, the report was there"
    assert describe_result(again).replace(extra, "").splitlines() == said
    # The folder of the predictions stands for the model in every table.
    for table in ("per_image", "per_sample", "batch_summed", "intervals", "gap", "failures"):
        assert set(open_runs(str(tmp_path / "reports"), table)["model"]) == {"fold-1"}, table
    assert "<h1>d, predictions fold-1</h1>" in Path(first.page).read_text()
    named = run(_config(tmp_path, predictions={"name": "ours, fold 1"}))
    assert named.path != first.path
    assert set(open_runs(named.path, "gap")["model"]) == {"ours, fold 1"}


def test_missing_predictions_count_as_missed_in_what_is_written(
    run: Callable[[EvaluationConfig], Any], tmp_path: Path
) -> None:
    missing, empty = {2, 5, 8}, {5, 9}

    def spoil(number: int, role: str, pixels: np.ndarray) -> np.ndarray | None:
        if role == "ours/fold-1" and number in missing:
            return None
        return np.zeros_like(pixels) if number in empty and role != "images" else pixels

    _draw(tmp_path, 10, spoil)
    result = run(_config(tmp_path, metrics={"empty": "one"}))
    dice, hits, errors, missed = [], 0, 0, 0
    for number in range(10):
        mask = np.asarray(Image.open(tmp_path / "masks" / f"scan_{number:02d}.png")) > 0
        if number in missing:
            dice.append(0.0)
            missed += int(mask.sum())
            continue
        found = np.asarray(Image.open(tmp_path / "ours/fold-1" / f"scan_{number:02d}.png")) > 0
        both, total = int((mask & found).sum()), int(mask.sum() + found.sum())
        hits, errors = hits + 2 * both, errors + total - 2 * both
        dice.append(2 * both / total if total else 1.0)
    row = result.headline.query("metric == 'dice'").iloc[0]
    assert row["missing as 0"] == pytest.approx(np.mean(dice))
    assert row["pooled, missed"] == pytest.approx(hits / (hits + errors + missed))
    assert row["pooled"] == pytest.approx(hits / (hits + errors))
    per_image = open_runs(result.path, "per_image").query("class_index == 1")
    assert set(per_image.loc[per_image["prediction_missing"], "image_id"]) == {f"scan_{n:02d}" for n in missing}


@pytest.mark.parametrize(
    ("role", "n_images", "n_bad"),
    [
        pytest.param("masks", 3, 3, id="every reference of a small set"),
        pytest.param("ours/fold-1", 5, 5, id="every prediction of a small set"),
        pytest.param("ours/fold-1", FIRST + 4, FIRST, id="the first predictions of a larger one"),
    ],
)
def test_where_the_first_images_fail_alike_there_is_no_report(
    run: Callable[[EvaluationConfig], Any], tmp_path: Path, role: str, n_images: int, n_bad: int
) -> None:
    _draw(tmp_path, n_images, lambda number, of, pixels: pixels[:7] if of == role and number < n_bad else pixels)
    which = f"all {n_bad} images" if n_bad == n_images else f"all of the first {n_bad} of {n_images} images"
    small = {"shard_images": 8}
    for _ in range(2):
        # What was committed meanwhile does not change how it ends.
        with pytest.raises(FirstImagesError, match=rf"^score: {which} failed with ValueError, e\.g\. scan_00: "):
            run(_config(tmp_path, store=small))
    assert not (tmp_path / "reports").exists() or not list((tmp_path / "reports").rglob("run.json"))
    result = run(_config(tmp_path, store=small, report={"max_failure_rate": 1.0}))
    assert (result.n_failed, result.n_missing) == (n_bad, 0 if role == "masks" else n_bad)


def test_one_sound_image_among_the_first_is_enough(run: Callable[[EvaluationConfig], Any], tmp_path: Path) -> None:
    _draw(tmp_path, 6, lambda number, role, pixels: pixels[:7] if role == "ours/fold-1" and number != 3 else pixels)
    result = run(_config(tmp_path))
    assert (result.n_images, result.n_failed) == (6, 5)
