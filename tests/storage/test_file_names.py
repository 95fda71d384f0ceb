"""Names of files, and those that nobody can tell apart."""

from __future__ import annotations

import pytest

from segscale.storage.file_names import confusable, differing_by_case, is_litter, may_hold_an_array, stem


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
    ],
)
def test_stem(name: str, expected: str) -> None:
    assert stem(name) == expected


@pytest.mark.parametrize(
    ("name", "may"), [("a.PNG", True), ("a.nii.gz", True), ("s/a.npz", True), ("summary.json", False), ("a", False)]
)
def test_what_may_hold_an_array(name: str, may: bool) -> None:
    assert may_hold_an_array(name) is may


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
