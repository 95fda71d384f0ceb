"""What lies in the data roots of a manifest, and what only says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.roots import DataRoots
from storage.sources import ListingError, read_manifest


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """data/ with images, a link into itself and links that leave it; beside it other/ and data-2/."""
    for name in ("data/images", "other", "data-2"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("data/images/a.png", "other/secret.png", "data-2/b.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "data" / "within").symlink_to("images")
    (tmp_path / "data" / "away").symlink_to(tmp_path / "other")
    (tmp_path / "data" / "images" / "link.png").symlink_to(tmp_path / "other" / "secret.png")
    (tmp_path / "door").symlink_to(tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("{tmp}/data/images/a.png", True, id="in the root"),
        pytest.param("file://{tmp}/data/images/a.png", True, id="as a URL"),
        pytest.param("{tmp}/data/images/missing.png", True, id="a file that is missing is a failed image, no escape"),
        pytest.param("{tmp}/data/images/../images/a.png", True, id="out and back in"),
        pytest.param("{tmp}/data/within/a.png", True, id="a link inside"),
        pytest.param("{tmp}/door/images/a.png", True, id="another way to the root"),
        pytest.param("{tmp}/data/../other/secret.png", False, id="dots"),
        pytest.param("file://{tmp}/data/../other/secret.png", False, id="dots in a URL"),
        pytest.param("{tmp}/data/away/secret.png", False, id="through a linked folder"),
        pytest.param("{tmp}/data/away/../data/images/a.png", True, id="dots after a link go up from where it leads"),
        pytest.param("{tmp}/data/images/link.png", False, id="a linked file"),
        pytest.param("{tmp}/data-2/b.png", False, id="a name that begins like the root"),
        pytest.param("{tmp}/data", False, id="the root itself"),
        pytest.param("/etc/passwd", False, id="absolute"),
        pytest.param("memory://data/a.png", False, id="another file system"),
        pytest.param("http://127.0.0.1:1/a.png", False, id="the network, which is not asked"),
        pytest.param("simplecache::file://{tmp}/data/images/a.png", False, id="a chain of file systems"),
        pytest.param("nope://x/a.png", False, id="no file system at all"),
    ],
)  # fmt: skip
def test_local_roots(folders: Path, url: str, expected: bool) -> None:
    assert DataRoots((str(folders / "data"),)).hold(url.format(tmp=folders)) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("memory://bucket/set/a.png", True, id="in the prefix"),
        pytest.param("memory://bucket/set/../other/a.png", False, id="dots"),
        pytest.param("memory://bucket/set-2/a.png", False, id="a prefix of the name alone"),
        pytest.param("memory://elsewhere/a.png", False, id="another bucket"),
        pytest.param("file:///bucket/set/a.png", False, id="the local disk"),
        pytest.param("/bucket/set/a.png", False, id="likewise, without a protocol"),
    ],
)
def test_roots_elsewhere(url: str, expected: bool) -> None:
    assert DataRoots(("memory://bucket/set",)).hold(url) is expected


def test_a_manifest_that_leads_out_is_refused_with_its_row_and_the_remedy(folders: Path) -> None:
    manifest = folders / "data" / "m.csv"
    manifest.write_text("image_id,image,reference\na,images/a.png,images/a.png\nb,images/a.png,../other/secret.png\n")
    with pytest.raises(ListingError, match=r"the reference of 'b' leads out of the data roots.*dataset\.roots"):
        read_manifest(str(manifest))
    assert len(read_manifest(str(manifest), roots=[str(folders / "other")])) == 2


def test_relative_manifests_have_the_working_folder_as_root(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders / "data")
    Path("m.csv").write_text("image_id,image,reference\na,images/a.png,images/a.png\n")
    assert len(read_manifest("m.csv")) == 1
    Path("m.csv").write_text(f"image_id,image,reference\na,{os.path.relpath('/etc/passwd')},images/a.png\n")
    with pytest.raises(ListingError, match="leads out"):
        read_manifest("m.csv")
