"""`segscale init` and `segscale check`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome
from tests.drawn_pairs import draw


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = draw(tmp_path / "liver", {"reference": "data/{id}_mask.png", "prediction": "data/{id}_pred.png"})
    monkeypatch.chdir(folder)
    return folder


def test_a_draft_is_checked_as_it_is(here: Path, segscale_here: Callable[..., Outcome]) -> None:
    printed = segscale_here("init", "data")
    assert (printed.code, printed.err) == (0, "")
    (here / "printed.toml").write_text(printed.out)
    written = segscale_here("init", "data", "--output", "written.toml")
    assert (written.code, written.out) == (0, "")
    assert written.err == "written to written.toml; next: segscale check written.toml\n"
    assert (here / "written.toml").read_text() == printed.out
    checked = segscale_here("check", "printed.toml")
    assert (checked.code, checked.err) == (0, "")
    assert checked.out.endswith("nothing would fail or warn\n")


def test_nothing_is_overwritten(here: Path, segscale_here: Callable[..., Outcome]) -> None:
    (here / "mine.toml").write_text("mine")
    ended = segscale_here("init", "data", "--output", "mine.toml")
    assert (ended.code, ended.out) == (2, "")
    assert "mine.toml is there already and is not overwritten" in ended.err
    assert (here / "mine.toml").read_text() == "mine"
    ended = segscale_here("init", "data", "--output", "nowhere/mine.toml")
    assert (ended.code, "expected a file that can be written" in ended.err) == (2, True)


def test_what_is_left_to_decide_is_an_exit_code(here: Path, segscale_here: Callable[..., Outcome]) -> None:
    for path in (here / "data").glob("*_pred.png"):
        path.unlink()
    draw(here, {"image": "images/{id}.png"})
    ended = segscale_here("init", "data", "images")
    assert ended.code == 1
    assert "to be decided: model.path: no predictions were found" in ended.err
    assert "# To be decided: model.path" in ended.out


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("folders", [(), ("nowhere",)])
def test_init_of_nothing(segscale_here: Callable[..., Outcome], folders: tuple[str, ...]) -> None:
    ended = segscale_here("init", *folders)
    assert (ended.code, ended.out) == (2, "")


def test_exit_codes_of_check(here: Path, segscale_here: Callable[..., Outcome]) -> None:
    segscale_here("init", "data", "--output", "drafted.toml")
    (here / "data" / "case01_pred.png").unlink()
    ended = segscale_here("check", "drafted.toml", "--json")
    assert ended.code == 1
    document = json.loads(ended.out)
    assert document["remarks"] == [{"severity": "fails", "text": "1 of 12 images have no prediction: case01"}]
    assert {"name": "size", "text": "24x32 (height x width)"} in document["facts"]
    (here / "drafted.toml").write_text("[dataset]\n")
    ended = segscale_here("check", "drafted.toml")
    assert (ended.code, ended.out) == (2, "")
