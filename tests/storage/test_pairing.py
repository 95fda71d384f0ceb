"""Which files belong to an image, and what is said of those that belong to none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from segscale.errors import ListingError
from segscale.storage.pairing import Pairing, files_by_stem, pair
from tests.storage.made_files import make


def _paired(folder: Path, role: str = "reference") -> Pairing:
    images = files_by_stem(str(folder / "i"), "image").files.rename(columns={"stem": "image_id"})
    return pair(images.reset_index(drop=True), files_by_stem(str(folder / "r"), role))


def _notes(folder: Path) -> list[str]:
    return [note.text for note in _paired(folder).notes]


def test_images_meet_their_references_by_stem(tmp_path: Path) -> None:
    make(tmp_path, "i/b.png", "i/a.tif", "i/c.png", "r/a.png", "r/b.png", "r/extra.png")
    rows = _paired(tmp_path).images
    assert list(rows["image_id"]) == ["a", "b", "c"]
    assert [url.rsplit("/", 1)[-1] for url in rows["image"]] == ["a.tif", "b.png", "c.png"]
    assert [url.rsplit("/", 1)[-1] for url in rows["reference"]] == ["a.png", "b.png", ""]
    assert [bool(version) for version in rows["reference_version"]] == [True, True, False]


def test_the_rows_of_a_manifest_keep_their_order_and_columns(tmp_path: Path) -> None:
    rows = pd.DataFrame({"image_id": ["z", "a"], "site": ["x", "y"]}, index=[5, 3])
    make(tmp_path, "p/a.npy", "p/z.npy")
    found = pair(rows, files_by_stem(str(tmp_path / "p/*.npy"), "prediction"))
    assert list(found.images["site"]) == ["x", "y"]
    assert [url[-5:] for url in found.images["prediction"]] == ["z.npy", "a.npy"]
    assert found.notes == ()


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "one/a.png", "two/a.tif", "two/b.tif")
    with pytest.raises(ListingError, match=r"one/a\.png and two/a\.tif have the same stem 'a'.*manifest"):
        files_by_stem(str(tmp_path), "image")


@pytest.mark.parametrize(
    "names", [("a.png", "a .png"), ("M\u00fcll.png", "Mu\u0308ll.png"), ("a b.png", "a\u00a0b.png")]
)
def test_stems_that_nobody_can_tell_apart_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ListingError, match=r"differ only in blanks or in the form of their Unicode .* duplicates"):
        files_by_stem(str(make(tmp_path, *names)), "reference")


@pytest.mark.parametrize(
    ("images", "references", "words"),
    [
        (["c1.png", "c2.png"], ["c1_seg.png", "c2_seg.png"], "the suffix '_seg', for example 'c1_seg' for 'c1'"),
        (["c1_ct.png", "c2_ct.png"], ["c1.png", "c2.png"], "the suffix '_ct', for example 'c1_ct' for 'c1'"),
        (["c1.png", "c2.png"], ["mask_c1.png", "mask_c2.png"], "the prefix 'mask_', for example 'mask_c1' for 'c1'"),
        (
            ["a1_ct.png", "a2_ct.png"],
            ["a1_seg.png", "a2_seg.png"],
            "images have the suffix '_ct', references the suffix '_seg'; rename",
        ),
        (
            ["x.png"],
            ["quite.png"],
            "images are called x, references quite; rename them, or name the pairs in a",
        ),
    ],
)
def test_no_common_stem_is_refused_with_what_makes_the_difference(
    tmp_path: Path, images: list[str], references: list[str], words: str
) -> None:
    make(tmp_path, *(f"i/{name}" for name in images), *(f"r/{name}" for name in references))
    with pytest.raises(ListingError, match=f"no common stem.*{words}.*manifest"):
        _paired(tmp_path)


@pytest.mark.parametrize(
    ("names", "notes"),
    [
        pytest.param(["i/a.png", "r/a.png"], [], id="each has one"),
        pytest.param(["i/a.png", "r/a.png", "r/z.tif"], ["references: 1 has no image: z.tif"], id="one too many"),
        pytest.param(
            ["i/a.png", "r/a.png", *(f"r/q{place}.png" for place in range(5))],
            ["references: 5 have no image: q0.png, q1.png, q2.png and 2 more"],
            id="several",
        ),
        pytest.param(
            ["i/a.png", "i/b7.png", "r/a.png", "r/B7.png"],
            ["references: 1 image has none: b7 (there is B7.png)", "references: 1 has no image: B7.png"],
            id="another case",
        ),
        pytest.param(
            ["i/a.png", "i/b.png", "i/c.png", "r/a.png", "r/b_seg.png"],
            ["references: 2 images have none: b (there is b_seg.png), c", "references: 1 has no image: b_seg.png"],
            id="a suffix",
        ),
        pytest.param(
            ["i/a.png", "i/case-12.png", "r/a.png", "r/case_12 .png"],
            [
                "references: 1 image has none: case-12 (there is case_12 .png)",
                "references: 1 has no image: case_12 .png",
            ],
            id="signs and blanks",
        ),
    ],
)
def test_what_has_no_partner_is_said(tmp_path: Path, names: list[str], notes: list[str]) -> None:
    assert _notes(make(tmp_path, *names)) == notes
    assert all(note.warns for note in _paired(tmp_path).notes)


@pytest.mark.parametrize(("image", "reference"), [("\u00e5.png", "a\u030a.npy"), ("O\u0308l.tif", "\u00d6l.png")])
def test_unicode_forms_are_matched_with_a_note(tmp_path: Path, image: str, reference: str) -> None:
    make(tmp_path, f"i/{image}", f"r/{reference}")
    found = _paired(tmp_path)
    assert found.images["reference"][0].endswith(f"/r/{reference}")
    assert found.images["image_id"][0] == image.split(".")[0], "as the image is called"
    (note,) = found.notes
    assert (note.warns, note.text.startswith("references: 1 name in another Unicode form")) == (False, True)


def test_what_a_listing_leaves_out_is_said_of_its_role(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "sub/b.png")
    (note,) = files_by_stem(str(tmp_path / "*"), "prediction").notes
    assert note.text.startswith("predictions: 1 folder not looked into: sub")
