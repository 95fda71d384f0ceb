"""Pictures of the cases of a run, from its files and from what is kept, compared with the arrays."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segscale.flows import overlays
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.report import write_tables
from segscale.flows.run import Run
from segscale.flows.score import score_files
from segscale.flows.shards.retry import Finished
from segscale.tasks.overlays import drawing
from segscale.tasks.overlays.shown import Shown, cut, reduced

N_IMAGES, SIDE = 5, 40


class Here:
    """Workers that are this process."""

    def stream(self, work: Callable[..., Any], jobs: Iterable[Any], *given: Any, **_: Any) -> Iterator[Any]:
        return (Finished(job.key, work(job, *given), 1) for job in jobs)


def _square(size: int, top: int) -> np.ndarray:
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    drawn[top : top + size, 5 : 5 + size] = 255
    return drawn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Squares, of which predictions are moved down by one pixel more from image to image; bright where it is seen."""
    for number in range(N_IMAGES):
        for name, pixels in (
            ("masks", _square(10, 5)),
            ("ours", _square(10, 5 + number)),
            ("images", np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)),
        ):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / f"case{number}.png")
    return tmp_path


def _config(folder: Path, asked: str, **dataset: str) -> EvaluationConfig:
    document = {
        "dataset": {"name": "set", "references": "masks/*.png", **dataset},
        "predictions": {"path": "ours/*.png"},
        "metrics": {"bootstrap": 0, "batch_sizes": [1]},
        "store": {"path": "store"},
        "report": {"path": "reports", "overlays": asked},
    }
    return parse_config(document, base=folder, source="test")


def _page(config: EvaluationConfig, before_report: Callable[[], object] = lambda: None) -> str:
    run = Run(config, workers=Here())  # type: ignore[arg-type]
    stages = [score_files(run)]
    before_report()
    return Path(write_tables(run, stages).page.removeprefix("file://")).read_text("utf-8")


def _pictures(page: str) -> dict[str, np.ndarray]:
    found = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="(\w+),', page)
    return {name: np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data, name in found}


def _expected(number: int, pixels: np.ndarray | None = None) -> np.ndarray:
    masks = _square(10, 5) > 0, _square(10, 5 + number) > 0, np.zeros((SIDE, SIDE), bool)
    return drawing.drawn(reduced(cut(Shown(*masks, pixels))))


def test_outlines_are_those_of_the_files(folder: Path) -> None:
    page = _page(_config(folder, "labels"))
    pictures = _pictures(page)
    assert sorted(pictures) == [f"case{number}" for number in range(N_IMAGES)]
    for number in range(N_IMAGES):
        assert (pictures[f"case{number}"] == _expected(number)).all()
    assert "This page holds no pixel of an image of the data set" in page


def test_pixels_of_the_images_are_shown_where_they_are_asked_for_and_said(folder: Path) -> None:
    page = _page(_config(folder, "image", images="images/*.png"))
    ramp = np.arange(SIDE * SIDE, dtype=np.float64).reshape(SIDE, SIDE)
    low, high = np.percentile(ramp, [1, 99])
    expected = _expected(2, np.clip((ramp - low) / (high - low), 0, 1).astype(np.float32))
    assert (_pictures(page)["case2"] == expected).all()
    assert "This page holds pixels of the data set." in page


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        pytest.param("none", "This page holds no pixel of the data set.", id="not asked for"),
        pytest.param("image", "the data set names no images", id="no images"),
    ],
)
def test_without_pictures_images_are_named(folder: Path, asked: str, words: str) -> None:
    page = _page(_config(folder, asked))
    assert _pictures(page) == {}
    assert words in page
    assert "case4</span><br><strong>Dice 0." in page


def test_files_that_are_gone_or_changed_are_named_and_not_drawn(folder: Path) -> None:
    def lose() -> None:
        (folder / "ours" / "case1.png").unlink()
        Image.fromarray(_square(3, 3)).save(folder / "masks" / "case2.png")

    page = _page(_config(folder, "labels"), lose)
    assert sorted(_pictures(page)) == ["case0", "case3", "case4"]
    assert "their files or labels are no longer there as they were counted" in page
    assert {name for name in ("case1", "case2") if f"{name}</span>" in page} == {"case1", "case2"}


def test_images_beyond_what_is_read_for_a_page_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst, the middle and the best come before the second of each."""
    monkeypatch.setattr(overlays, "MOST_VOXELS", 3 * SIDE * SIDE)
    page = _page(_config(folder, "labels"))
    assert sorted(_pictures(page)) == ["case0", "case2", "case4"]
    assert "they are larger than what a page is given time for" in page


def test_a_report_with_other_pictures_has_another_name(folder: Path) -> None:
    names = {asked: Run(_config(folder, asked), workers=Here()) for asked in ("labels", "none")}  # type: ignore[arg-type]
    found = {asked: write_tables(run, [score_files(run)]).run_id for asked, run in names.items()}
    assert found["labels"] != found["none"]
