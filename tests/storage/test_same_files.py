"""One file in two places of a data set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from segscale.errors import ListingError
from segscale.storage.same_files import refuse_same_files, shared_files
from segscale.storage.sources import ROLES, file_version
from tests.storage.made_files import make


def _rows(folder: Path, *rows: tuple[str, ...]) -> pd.DataFrame:
    listing = pd.DataFrame({"image_id": [f"case {place}" for place in range(len(rows))]})
    for place, role in enumerate(ROLES[: len(rows[0])]):
        listing[role] = [f"file://{folder}/{row[place]}" if row[place] else "" for row in rows]
        listing[f"{role}_version"] = [file_version(url) if url else "" for url in listing[role]]
    return listing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six files of equal bytes, a link and a second name of the first, and a folder linked."""
    make(tmp_path, *(f"d/{name}.png" for name in "abcdef"))
    for name in "abcdef":
        (tmp_path / f"d/{name}.png").write_bytes(b"the same")
    (tmp_path / "d/link.png").symlink_to("a.png")
    (tmp_path / "d/hard.png").hardlink_to(tmp_path / "d/a.png")
    (tmp_path / "e").symlink_to("d")
    return tmp_path


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("d/a.png", "d/a.png")], "image and reference of 'case 0' are the same file, a.png: expected"),
        ([("d/b.png", "d/c.png"), ("d/a.png", "d/link.png")], "'case 1' are the same file, a.png and link.png .links"),
        ([("d/a.png", "d/hard.png")], "image and reference of 'case 0'"),
        ([("d/a.png", "d/b.png", "e/a.png")], "image and prediction of 'case 0'"),
        ([("d/a.png", "d/b.png", "d/b.png")], "reference and prediction of 'case 0'"),
        ([("d/a.png", "d/a.png"), ("d/b.png", "d/b.png")], "and so are those of 1 other image"),
        ([("d/a.png", "d/b.png"), ("e/a.png", "d/c.png")], "the images 'case 0' and 'case 1' are the same file"),
        ([("d/link.png", "d/b.png"), ("d/hard.png", "d/c.png")], "which would count twice"),
    ],
)
def test_what_is_refused(folder: Path, rows: list[tuple[str, ...]], words: str) -> None:
    with pytest.raises(ListingError, match=f"{words}.*dataset.same_files = true"):
        refuse_same_files(_rows(folder, *rows))


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([("d/a.png", "d/b.png", "d/c.png"), ("d/d.png", "d/e.png", "d/f.png")], id="equal bytes alone"),
        pytest.param([("d/none.png", "d/none.png")], id="what is not there is missing, not the same"),
        pytest.param([("d/a.png", "", ""), ("d/b.png", "", "")], id="none at all"),
        pytest.param([("d/a.png", "d/b.png"), ("d/c.png", "d/b.png")], id="a reference of two images"),
    ],
)
def test_what_is_not(folder: Path, rows: list[tuple[str, ...]]) -> None:
    refuse_same_files(_rows(folder, *rows))


def test_the_inode_of_a_poor_file_system_proves_nothing(folder: Path) -> None:
    """Where all files are said to have one inode and the same times, and none has a second name."""
    rows = _rows(folder, ("d/b.png", "d/c.png"), ("d/d.png", "d/e.png"))
    for role in ROLES[:2]:
        rows[f"{role}_version"] = "8:1:1:1"
    refuse_same_files(rows)
    assert list(shared_files(rows)) == []


@pytest.mark.parametrize("name", ["d/b.png", "e/b.png"])
def test_shared_references_and_predictions_are_said(folder: Path, name: str) -> None:
    rows = _rows(folder, ("d/a.png", "d/b.png", "d/c.png"), ("d/d.png", name, "d/c.png"))
    assert [note.text for note in shared_files(rows)] == [
        f"{role}s: 1 image with the same file as another one: case 0 and case 1" for role in ROLES[1:3]
    ]
    assert (
        list(shared_files(rows[["image_id", "image", "image_version", "reference", "reference_version"]].iloc[:1]))
        == []
    )
