"""Trees of DICOM series and the segmentations that were drawn on them."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from segscale.flows.layouts.dicom_tree import identity_of
from segscale.storage.listing import list_files
from tests.flows.layouts.made_dicom import SECRET, save, seg, series
from tests.flows.layouts.made_sets import configured, listed, places, refused, told
from tests.tasks.readers.dicom_made import SERIES, ct_slice, item, values

LAYOUT = {"layout": "dicom", "references": "tree"}
OTHER = "1.2.3.2000"


def _id(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:16]


def _tree(root: Path) -> Path:
    series(root / "p1/ct")
    series(root / "p2/ct", OTHER)
    seg(root / "p1/seg/1.dcm")
    seg(root / "p2/seg/1.dcm", OTHER)
    return root


def test_series_and_segmentations_by_uids(tmp_path: Path) -> None:
    _tree(tmp_path / "tree")
    listing = listed(tmp_path, LAYOUT)
    rows = dict(zip(listing.images["image_id"], places(listing, "image", tmp_path), strict=True))
    assert rows == {_id(SERIES): "tree/p1/ct/", _id(OTHER): "tree/p2/ct/"}
    drawn = dict(zip(listing.images["image_id"], places(listing, "reference", tmp_path), strict=True))
    assert drawn == {_id(SERIES): "tree/p1/seg/1.dcm", _id(OTHER): "tree/p2/seg/1.dcm"}
    assert told(listing) == []


def test_the_version_is_that_of_a_pattern_of_folders(tmp_path: Path) -> None:
    _tree(tmp_path / "tree")
    by_url = list_files(f"{tmp_path}/tree/*/ct/").files.set_index("url")["version"]
    images = listed(tmp_path, LAYOUT).images.set_index("image")["image_version"]
    assert images.to_dict() == by_url.to_dict()


def test_a_root_that_is_the_series_itself(tmp_path: Path) -> None:
    series(tmp_path / "tree")
    seg(tmp_path / "tree/seg/1.dcm")
    assert places(listed(tmp_path, LAYOUT), "image", tmp_path) == ["tree/"]


def test_images_in_another_tree(tmp_path: Path) -> None:
    series(tmp_path / "scans/a")
    seg(tmp_path / "tree/whatever.dcm")
    listing = listed(tmp_path, LAYOUT | {"images": "scans"})
    assert places(listing, "image", tmp_path) == ["scans/a/"]
    assert places(listing, "reference", tmp_path) == ["tree/whatever.dcm"]


@pytest.mark.parametrize("predictions", ["second", "tree/second"])
def test_a_second_reader(tmp_path: Path, predictions: str) -> None:
    """Also where the predictions lie in the tree of the references."""
    _tree(tmp_path / "tree")
    seg(tmp_path / predictions / "any name.dcm")
    listing = listed(tmp_path, LAYOUT, predictions={"path": predictions})
    found = dict(zip(listing.images["image_id"], places(listing, "prediction", tmp_path), strict=True))
    assert found == {_id(SERIES): f"{predictions}/any name.dcm", _id(OTHER): ""}


def test_segmentations_alone(tmp_path: Path) -> None:
    """Two readers of series that are not there."""
    seg(tmp_path / "tree/1.dcm")
    seg(tmp_path / "second/2.dcm")
    listing = listed(tmp_path, LAYOUT, predictions={"path": "second"})
    assert list(listing.images["image_id"]) == [_id(SERIES)]
    assert set(listing.images["image"]) == {""}


def test_what_is_left_out(tmp_path: Path) -> None:
    _tree(tmp_path / "tree")
    series(tmp_path / "tree/p3/ct", "1.2.3.3000")
    save(tmp_path / "tree/p1/ct/notes.txt", b"of somebody")
    assert told(listed(tmp_path, LAYOUT)) == [
        "references: 1 file without an image, or of another kind, left out: p1/ct/notes.txt",
        "images: 1 series without a reference left out: p3/ct",
    ]


def _two_series_in_a_folder(tree: Path) -> None:
    save(tree / "p1/ct/9.dcm", ct_slice(values(1)[0], 9.0, SeriesInstanceUID=OTHER))


def _one_series_in_two_folders(tree: Path) -> None:
    shutil.copytree(tree / "p1/ct", tree / "p1/copy")


def _seg_beside_its_series(tree: Path) -> None:
    shutil.move(tree / "p1/seg/1.dcm", tree / "p1/ct/seg.dcm")


def _two_readers(tree: Path) -> None:
    seg(tree / "p1/seg/2.dcm")


def _refers_to_nothing(tree: Path) -> None:
    seg(tree / "p1/seg/1.dcm", ReferencedSeriesSequence=[])


def _refers_to_both(tree: Path) -> None:
    seg(tree / "p1/seg/1.dcm", ReferencedSeriesSequence=[item(SeriesInstanceUID=uid) for uid in (SERIES, OTHER)])


def _of_other_series(tree: Path) -> None:
    for name in ("p1/seg/1.dcm", "p2/seg/1.dcm"):
        seg(tree / name, "1.2.9")
    (tree / "p2/seg/1.dcm").unlink()


def _no_segmentations(tree: Path) -> None:
    shutil.rmtree(tree / "p1/seg")
    shutil.rmtree(tree / "p2/seg")


def _no_series(tree: Path) -> None:
    shutil.rmtree(tree / "p1/ct")
    shutil.rmtree(tree / "p2/ct")


def _cut(tree: Path) -> None:
    path = tree / "p1/ct/1.dcm"
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(_two_series_in_a_folder, "p1/ct: holds images of 2 series (3 and 1 files)", id="two series"),
        pytest.param(_one_series_in_two_folders, "p1/copy and p1/ct hold files of one series", id="one series twice"),
        pytest.param(
            _seg_beside_its_series,
            "p1/ct: holds 1 segmentation (seg.dcm) beside 3 images of a series: put segmentations in folders of",
            id="a segmentation among slices",
        ),
        pytest.param(_two_readers, "p1/seg/1.dcm and p1/seg/2.dcm are both references of", id="two readers"),
        pytest.param(_refers_to_nothing, "p1/seg/1.dcm: does not say which series it was drawn on", id="no reference"),
        pytest.param(_refers_to_both, "p1/seg/1.dcm: says that it was drawn on 2 series", id="two references"),
        pytest.param(_of_other_series, "expected the series that references were drawn on", id="other series"),
        pytest.param(_no_segmentations, "expected DICOM segmentations (SEG), found none", id="no segmentation"),
        pytest.param(_no_series, "expected series of images that a network sees, found none", id="no series"),
        pytest.param(_cut, "p1/ct/1.dcm: ", id="a damaged slice"),
    ],
)
def test_what_is_refused(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    damage(_tree(tmp_path / "tree"))
    message = refused(tmp_path, LAYOUT)
    assert message.startswith(("dataset.references: ", "dataset.images: "))
    assert words in message
    assert SECRET not in message


def test_a_pattern_is_refused(tmp_path: Path) -> None:
    _tree(tmp_path / "tree")
    assert "expected the folder of a tree" in refused(tmp_path, LAYOUT | {"references": "tree/*"})


def test_nothing_of_a_patient_is_listed(tmp_path: Path) -> None:
    """Nor the UIDs as they are."""
    _tree(tmp_path / "tree")
    listing = listed(tmp_path, LAYOUT)
    written = f"{listing.images.to_dict()}{listing.notes}{listing.roles}"
    assert all(secret not in written for secret in (SECRET, SERIES, OTHER))


@pytest.mark.parametrize("size", [2**16, 2**21])
def test_headers_longer_than_what_is_read_first(tmp_path: Path, size: int) -> None:
    """A header goes on behind the first bytes that are read, and behind the first million."""
    header = pydicom.dcmread(io.BytesIO(ct_slice(values(1)[0], 0.0)))
    header.add_new(0x00291010, "OB", b"\0" * size)
    path = tmp_path / "long.dcm"
    header.save_as(path)
    identity = identity_of(f"file://{path}", str(size), path.name)
    assert identity is not None
    assert identity.series_id == hashlib.sha256(SERIES.encode()).hexdigest()[:32]
    assert identity.has_pixels


def test_real_series_and_segmentation(tmp_path: Path) -> None:
    data = os.environ.get("SEGSCALE_DATA", Path(__file__).parents[4] / "shared" / "data")
    root = Path(data) / "formats" / "dcmqi_dicom_seg"
    if not root.is_dir():
        pytest.skip("no real files here; set SEGSCALE_DATA")
    shutil.copytree(root / "ct-3slice", tmp_path / "tree/ct")
    (tmp_path / "tree/seg").mkdir()
    shutil.copy(root / "liver.dcm", tmp_path / "tree/seg")
    listing = listed(tmp_path, LAYOUT)
    assert places(listing, "image", tmp_path) == ["tree/ct/"]
    assert places(listing, "reference", tmp_path) == ["tree/seg/liver.dcm"]
    shutil.copy(root / "partial_overlaps.dcm", tmp_path / "tree/seg")
    assert "are both references of" in refused(tmp_path, LAYOUT)
    assert configured(tmp_path, LAYOUT).dataset.layout == "dicom"
