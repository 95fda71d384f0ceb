"""Names of files, and those that nobody can tell apart."""

from __future__ import annotations

import pytest

from segscale.storage.file_names import (
    beside_headers,
    confusable,
    differing_by_case,
    is_litter,
    may_hold_an_array,
    stem,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "a"),
        ("sub/a.png", "a"),
        ("a.b.png", "a.b"),
        ("scan.nii.gz", "scan"),
        ("scan.NII.GZ", "scan"),
        ("a", "a"),
        ("x_0001.tiff", "x_0001"),
        ("a.hdr.gz", "a"),
        ("a.raw.gz", "a"),
        ("case.seg.nrrd", "case"),
        ("case.Seg.NRRD", "case"),
        ("case.seg.nhdr", "case"),
        ("case.seg.png", "case.seg"),
        ("seg.nrrd", "seg"),
        (".seg.nrrd", ".seg"),
        ("a.gz", "a"),
        ("ct/1.2.840/", "1.2.840"),
    ],
)
def test_stem(name: str, expected: str) -> None:
    assert stem(name) == expected


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("a.PNG", True),
        ("a.nii.gz", True),
        ("s/a.npz", True),
        ("a.seg.nrrd", True),
        ("a.hdr", True),
        ("a.img", True),
        ("a.zraw", True),
        ("a.IMA", True),
        ("summary.json", False),
        ("postprocessing.pkl", False),
        ("a", False),
    ],
)
def test_what_may_hold_an_array(name: str, may: bool) -> None:
    assert may_hold_an_array(name) is may


@pytest.mark.parametrize(
    ("paths", "left_out"),
    [
        pytest.param(["a.mhd", "a.raw"], ["a.raw"], id="MetaImage"),
        pytest.param(["a.MHD", "a.zRaw", "b.raw"], ["a.zRaw"], id="either case; b has no header"),
        pytest.param(["a.nhdr", "a.raw.gz"], ["a.raw.gz"], id="NRRD, packed"),
        pytest.param(
            ["a.hdr", "a.img", "b.hdr.gz", "b.img.gz"], ["a.img", "b.img.gz"], id="pairs of NIfTI and Analyze"
        ),
        pytest.param(["p/a.mhd", "q/a.raw"], [], id="of two folders"),
        pytest.param(["a.raw", "a.png"], [], id="no header"),
        pytest.param(["a.mhd", "a.png"], [], id="an image of the same stem is no data"),
    ],
)
def test_voxels_beside_their_headers(paths: list[str], left_out: list[str]) -> None:
    assert [path for path, is_one in zip(paths, beside_headers(paths), strict=True) if is_one] == left_out


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["a", "b", "a b"], None),
        (["scan 1 12", "scan 11 2"], None),
        (["x", "X"], None),
        (["case_1", "case_2", "case_1 "], ("case_1", "case_1 ")),
        (["a\u00a0b", "a b"], ("a\u00a0b", "a b")),
        (["a  b", "a b"], ("a  b", "a b")),
        (["na\u00efve", "nai\u0308ve"], ("na\u00efve", "nai\u0308ve")),
        (["a\u200b", "a"], ("a\u200b", "a")),
    ],
)
def test_names_that_nobody_can_tell_apart(names: list[str], alike: tuple[str, str] | None) -> None:
    assert confusable(names) == alike


def test_names_that_differ_by_case() -> None:
    assert differing_by_case(["b", "IMG_1", "a", "img_1", "\u00c4", "\u00e4"]) == ["IMG_1", "img_1", "\u00c4", "\u00e4"]
    assert differing_by_case(["a", "b"]) == []


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("Thumbs.db", True), ("THUMBS.DB", True), ("desktop.ini", True), ("thumbs.png", False), ("icon.png", False)],
)
def test_litter(name: str, is_one: bool) -> None:
    assert is_litter(name) is is_one
