"""Which files belong to an image, and what is said of those that belong to none."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from segscale.errors import ListingError
from segscale.storage.pairing import Pairing, RoleSummary, pair
from segscale.storage.role_files import role_files
from tests.storage.made_files import make


def _paired(folder: Path, images: str = "i", partners: str = "r", role: str = "reference") -> Pairing:
    found = role_files(str(folder / images), "image")
    rows = pd.concat([found.files, found.fields], axis=1)
    return pair(rows, role_files(str(folder / partners), role), calls=found.calls, paths=found.paths)


def _notes(folder: Path) -> list[str]:
    return [note.text for note in _paired(folder).notes]


def _pairs(found: Pairing, role: str = "reference") -> dict[str, tuple[str, str]]:
    """By the id the names of both files."""
    rows = found.images
    return {
        image_id: (image.rsplit("/", 1)[-1], partner.rsplit("/", 1)[-1])
        for image_id, image, partner in zip(rows["image_id"], rows["image"], rows[role], strict=True)
    }


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
    found = pair(rows, role_files(str(tmp_path / "p/*.npy"), "prediction"))
    assert list(found.images["site"]) == ["x", "y"]
    assert [url[-5:] for url in found.images["prediction"]] == ["z.npy", "a.npy"]
    assert found.notes == ()


def test_ids_that_are_given_stay_however_the_partners_are_called(tmp_path: Path) -> None:
    rows = pd.DataFrame({"image_id": ["a_0000", "b_0000"]})
    make(tmp_path, "p/pred_a.npy", "p/pred_b.npy")
    found = pair(rows, role_files(str(tmp_path / "p"), "prediction"))
    assert list(found.images["image_id"]) == ["a_0000", "b_0000"]
    assert [url[-10:] for url in found.images["prediction"]] == ["pred_a.npy", "pred_b.npy"]
    assert found.summary.naming == "pred_{id}"


@pytest.mark.parametrize(
    ("names", "pairs", "said"),
    [
        pytest.param(
            ["i/p0.png", "i/p1.png", "r/p0_mask.png", "r/p1_mask.png"],
            {"p0": ("p0.png", "p0_mask.png"), "p1": ("p1.png", "p1_mask.png")},
            "references: 2 names end in _mask; images are called as what is left of them, for example p0 for p0_mask",
            id="a suffix of references",
        ),
        pytest.param(
            ["i/c_0000.png", "i/d_0000.png", "r/c.png", "r/d.png"],
            {"c": ("c_0000.png", "c.png"), "d": ("d_0000.png", "d.png")},
            "images: 2 names end in _0000; references are called as what is left of them, for example c for c_0000",
            id="nnU-Net's images",
        ),
        pytest.param(
            ["i/a_ct.png", "i/b_ct.png", "r/a_seg.png", "r/b_seg.png"],
            {"a": ("a_ct.png", "a_seg.png"), "b": ("b_ct.png", "b_seg.png")},
            "references: 2 names end in _seg, those of images end in _ct; paired by what is left, for example a_seg "
            "and a_ct by a",
            id="a suffix of each",
        ),
        pytest.param(
            ["i/c1/image.png", "i/c2/image.png", "r/c1/mask.png", "r/c2/mask.png"],
            {"c1": ("image.png", "mask.png"), "c2": ("image.png", "mask.png")},
            "references: called by their folders, such as c1, as stems alone do not do",
            id="a folder for each case",
        ),
        pytest.param(
            ["i/c1.png", "i/c2.png", "r/c1/mask.png", "r/c2/mask.png"],
            {"c1": ("c1.png", "mask.png"), "c2": ("c2.png", "mask.png")},
            "references: called by their folders, such as c1, as stems alone do not do",
            id="a folder for each reference alone",
        ),
        pytest.param(
            ["i/s/1.png", "i/t/1.png", "i/t/2.png", "r/s/1.png", "r/t/1.png", "r/t/2.png"],
            {"s/1": ("1.png", "1.png"), "t/1": ("1.png", "1.png"), "t/2": ("2.png", "2.png")},
            "references: called by their paths, such as s/1, as stems alone do not do",
            id="the same numbers in two folders",
        ),
        pytest.param(
            ["i/s/1.png", "i/s/2.png", "i/t/1.png", "r/s/1.png", "r/s/2.png"],
            {"s/1": ("1.png", "1.png"), "s/2": ("2.png", "2.png"), "t/1": ("1.png", "")},
            "references: 1 image has none: t/1",
            id="a folder that has no references",
        ),
        pytest.param(
            ["i/c1/image.png", "r/c1/mask.png"],
            {"c1": ("image.png", "mask.png")},
            "images: called by their folders, such as c1, as stems alone do not do",
            id="a single case",
        ),
    ],
)
def test_names_of_whole_folders(tmp_path: Path, names: list[str], pairs: dict[str, tuple[str, str]], said: str) -> None:
    """The id is what the names of a pair have in common, and how it was found is said."""
    found = _paired(make(tmp_path, *names))
    assert _pairs(found) == pairs
    assert said in [note.text for note in found.notes]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        pytest.param(["i/a_0000.png", "r/a_0000.png"], ["a_0000"], id="equal names, whatever their ends"),
        pytest.param(["i/x/a.png", "i/y/b.png", "r/a.png", "r/b.png"], ["a", "b"], id="folders on one side alone"),
        pytest.param(["i/x/a.png", "i/y/b.png", "r/x/a.png", "r/y/b.png"], ["a", "b"], id="none that contradict"),
        pytest.param(["i/images/s/a.png", "r/s/masks/a.png"], ["a"], id="words of roles say nothing"),
        pytest.param(["i/s_images/a.png", "r/s_labels/a.png"], ["a"], id="nor do they within a name"),
        pytest.param(["i/imagesTr/a.png", "r/labelsTr/a.png"], ["a"], id="nor before a capital"),
        pytest.param(["i/ct/a.png", "r/masks/a.png"], ["a"], id="a role has no site to contradict"),
        pytest.param(["i/a.png", "i/b.png", "r/a.png", "r/b_seg.png"], ["a", "b"], id="one equal name is enough"),
        pytest.param(["i/c/seg.png", "r/c/seg.png"], ["seg"], id="a single one in a folder"),
    ],
)
def test_equal_stems_are_the_ids_as_ever(tmp_path: Path, names: list[str], ids: list[str]) -> None:
    assert list(_paired(make(tmp_path, *names)).images["image_id"]) == ids


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param(
            [f"{folder}/{place}.png" for folder in ("i/p0", "r/p1") for place in range(6)],
            r"p1/0.png would be paired with p0/0.png by its name alone, and their folders differ \(and 5 more differ\)",
            id="of another patient",
        ),
        pytest.param(["i/c0/mask.png", "r/c7/mask.png"], "c7/mask.png would .* c0/mask.png", id="a case each"),
        pytest.param(
            ["i/p0/0.png", "i/p1/1.png", "r/p1/0.png", "r/p0/1.png"], "p1/0.png would .* p0/0.png", id="exchanged"
        ),
        pytest.param(
            ["i/p0/0.png", "i/p1/1.png", "r/p0/0.png", "r/p9/1.png"], "p9/1.png would .* p1/1.png", id="one of two"
        ),
        pytest.param(["i/ct/0.png", "r/mr/0.png"], "mr/0.png would .* ct/0.png", id="a modality is no role"),
        pytest.param(["i/P0/0.png", "r/p0/0.png"], "p0/0.png would .* P0/0.png", id="case counts, as in names"),
        pytest.param(
            ["i/p0/0.png", "i/p0/1.png", "r/p1/0_mask.png", "r/p1/1_mask.png"], "p1/0_mask.png", id="with a suffix"
        ),
        pytest.param(["i/s/p0/0.png", "r/t/p0/0.png"], "t/p0/0.png", id="two sites may have one patient's name"),
    ],
)
def test_folders_that_contradict_each_other_are_refused(tmp_path: Path, names: list[str], words: str) -> None:
    make(tmp_path, *names)
    with pytest.raises(ListingError, match=rf"{words}.*references/\*\*/\{{id\}}.png.*manifest"):
        _paired(tmp_path)


def test_with_an_id_the_names_alone_decide(tmp_path: Path) -> None:
    make(tmp_path, "i/p0/0.png", "i/p0/1.png", "r/p1/0.png", "r/p1/1.png")
    assert list(_paired(tmp_path, "i/**/{id}.png", "r/**/{id}.png").images["image_id"]) == ["0", "1"]
    assert list(_paired(tmp_path, "i", "r/**/{id}.png").images["image_id"]) == ["0", "1"], "one side is enough"


def test_left_over_files_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    make(tmp_path, "i/p0/0.png", "i/p1/0.png", "r/p0/0.png", "r/p1/0.png", "r/p2/0.png", "r/p3/0.png")
    found = _paired(tmp_path)
    assert found.summary.unused == ("p2/0.png", "p3/0.png")
    assert "references: 2 have no image: p2/0.png, p3/0.png" in [note.text for note in found.notes]


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        pytest.param(
            ["i/a_img.png", "i/b_img.png", "r/a_seg.png", "r/b_seg.png", "r/summary.json"],
            {"a": ("a_img.png", "a_seg.png"), "b": ("b_img.png", "b_seg.png")},
            id="beside references",
        ),
        pytest.param(
            ["i/a_img.png", "i/summary_img.png", "r/a_seg.png", "r/x_seg.png", "r/summary.json"],
            {"a": ("a_img.png", "a_seg.png"), "summary": ("summary_img.png", "")},
            id="called as an image is without its suffix",
        ),
        pytest.param(
            ["i/a_0000.png", "i/b_0000.png", "i/dataset.json", "r/a.png", "r/b.png"],
            {"a": ("a_0000.png", "a.png"), "b": ("b_0000.png", "b.png"), "dataset": ("dataset.json", "")},
            id="beside images",
        ),
    ],
)
def test_a_file_of_another_ending_need_not_be_called_as_all_are(
    tmp_path: Path, names: list[str], pairs: dict[str, tuple[str, str]]
) -> None:
    """It has no partner, and is said."""
    found = _paired(make(tmp_path, *names))
    assert _pairs(found) == pairs
    assert [note for note in found.notes if note.warns]


def test_two_images_that_would_have_one_id_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "i/a_img.png", "i/b_img.png", "i/a.json", "r/a_seg.png", "r/b_seg.png")
    with pytest.raises(ListingError, match=r"two images would be called 'a' .* for example with \*.png"):
        _paired(tmp_path)


@pytest.mark.parametrize("pattern", ["memory://{}/*/{{id}}_m.png", "memory://{}/{{site}}/{{id}}_m.png"])
def test_fields_of_any_file_system(pattern: str) -> None:
    name = uuid.uuid4().hex
    fsspec.filesystem("memory").pipe({f"/{name}/s/a_m.png": b"1", f"/{name}/t/b_m.png": b"2", f"/{name}/t/c.png": b"3"})
    found = role_files(pattern.format(name), "image")
    assert found.calls[0].names == ("a", "b")
    assert found.fields.to_dict("list") == ({"site": ["s", "t"]} if "site" in pattern else {})


def test_what_became_of_a_role_is_told(tmp_path: Path) -> None:
    make(tmp_path, "i/a.png", "i/b.png", "i/c.png", "r/a_m.png", "r/b_m.png", "r/x_m.png", "r/y_m.png")
    found = _paired(tmp_path)
    unused = ("x_m.png", "y_m.png")
    assert found.summary == RoleSummary("reference", str(tmp_path / "r"), 2, 1, ("c",), 2, unused, "{id}_m")
    assert _paired(make(tmp_path / "n", "i/a_0000.png", "i/b_0000.png", "r/a.png")).naming == "{id}_0000"
    of_folders = _paired(make(tmp_path / "f", "i/c1.png", "i/c2.png", "r/c1/m.png", "r/c2/m.png"))
    assert of_folders.summary.naming == "{id}/m"


def test_what_is_told_by_patterns(tmp_path: Path) -> None:
    make(tmp_path, "i/a_img.png", "i/b_img.png", "i/notes.txt", "r/s/a_1.png", "r/t/b_2.png")
    found = _paired(tmp_path, "i/{id}_img.png", "r/{site}/{id}_{reader}.png")
    assert _pairs(found) == {"a": ("a_img.png", "a_1.png"), "b": ("b_img.png", "b_2.png")}
    assert found.images[["site", "reader"]].to_numpy().tolist() == [["s", "1"], ["t", "2"]]


def test_a_pattern_meets_a_folder_whose_names_share_a_suffix(tmp_path: Path) -> None:
    """What {id} says is taken whole: nothing is cut from it."""
    make(tmp_path, "i/a_img.png", "i/b_img.png", "r/a_seg.png", "r/b_seg.png")
    assert list(_paired(tmp_path, "i/{id}_img.png").images["image_id"]) == ["a", "b"]
    with pytest.raises(ListingError, match=r"no common stem: images are called a_img"):
        _paired(tmp_path, "i/{id}.png", "r/{id}.png")


def test_without_an_id_a_pattern_leaves_the_stem(tmp_path: Path) -> None:
    make(tmp_path, "i/s/a.png", "i/t/b.png", "r/a.png", "r/b.png")
    rows = _paired(tmp_path, "i/{site}/*.png").images
    assert rows[["image_id", "site"]].to_numpy().tolist() == [["a", "s"], ["b", "t"]]


def test_fields_of_two_roles(tmp_path: Path) -> None:
    """They may say the same; what a role without the file does not know, another may."""
    make(tmp_path, "i/s_a.png", "i/t_b.png", "r/s_a_1.png")
    rows = _paired(tmp_path, "i/{site}_{id}.png", "r/{site}_{id}_{reader}.png").images
    assert list(rows["site"]) == ["s", "t"]
    assert rows["reader"].fillna("none").tolist() == ["1", "none"]
    make(tmp_path, "r/u_b_1.png")
    with pytest.raises(ListingError, match=r"\{site\} of 'b' is 'u', and of the image it is 't': expected the same"):
        _paired(tmp_path, "i/{site}_{id}.png", "r/{site}_{id}_{reader}.png")


@pytest.mark.parametrize(
    ("pattern", "names", "words"),
    [
        pytest.param(
            "{id}_*.png", ["a_1.png", "a_2.png"], r"a_1.png and a_2.png have the same \{id\} 'a'", id="one id twice"
        ),
        pytest.param("{id}.png", ["a.png", "a .png"], "differ only in blanks", id="ids that nobody can tell apart"),
        pytest.param("{id}/{id}.png", ["a/b.png"], "found none: 1 name left out, in which .* different", id="no file"),
        pytest.param(
            "{id}.png", ["{id}.png", "b.png"], r"is the name of a file or folder.*'\[\{\]id\}.png'", id="literal"
        ),
    ],
)
def test_patterns_that_do_not_say_which_file_is_which(
    tmp_path: Path, pattern: str, names: list[str], words: str
) -> None:
    make(tmp_path, *names)
    with pytest.raises(ListingError, match=words):
        role_files(str(tmp_path / pattern), "image")


def test_a_folder_that_is_called_like_a_field_is_meant_with_its_brace_in_brackets(tmp_path: Path) -> None:
    make(tmp_path, "{site}/a.png")
    assert role_files(str(tmp_path / "[{]site}/*.png"), "image").calls[0].names == ("a",)


def test_files_in_which_a_field_would_stand_for_two_texts_are_left_out_and_said(tmp_path: Path) -> None:
    make(tmp_path, "a/a.png", "b/b.png", "b/c.png")
    found = role_files(str(tmp_path / "{id}/{id}.png"), "image")
    assert found.calls[0].names == ("a", "b")
    assert [note.text for note in found.notes] == [
        "images: 1 name left out, in which {id} would stand for different texts at its places: b/c.png"
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param(["a.png", "a.tif"], "a.png, a.tif have the same stem 'a'", id="two endings"),
        pytest.param(["x/a.png", "x/a.tif", "y/a.png"], "x/a.png, x/a.tif have the same stem 'a'", id="in a folder"),
    ],
)
def test_two_files_of_one_stem_are_refused(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(ListingError, match=f"{words}; rename one or use a manifest"):
        role_files(str(make(tmp_path, *names)), "image")


@pytest.mark.parametrize(
    "names", [("a.png", "a .png"), ("M\u00fcll.png", "Mu\u0308ll.png"), ("a b.png", "a\u00a0b.png")]
)
def test_stems_that_nobody_can_tell_apart_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ListingError, match=r"differ only in blanks or in the form of their Unicode .* duplicates"):
        role_files(str(make(tmp_path, *names)), "reference")


@pytest.mark.parametrize(
    ("images", "references", "words"),
    [
        pytest.param(
            ["c1.png", "c2.png"], ["c1_seg.png", "c2_edge.png"], "the suffix '_seg', for example 'c1_seg' for 'c1'",
            id="a suffix that only some have",
        ),
        pytest.param(
            ["c1_0000.png", "c1_0001.png"], ["c1.png"], "the suffix '_0000', for example 'c1_0000' for 'c1'",
            id="two channels of an image",
        ),
        pytest.param(
            ["1.png", "2.png"], ["1_1.png", "1_2.png"], "the prefix '1_', for example '1_1' for '1'", id="only numbers"
        ),
        pytest.param(
            ["a1_left.png", "a2_left.png"], ["a1_right.png", "a2_right.png"],
            "images have the suffix '_left', references the suffix '_right'", id="words of which none tells a kind",
        ),
        pytest.param(["case1.png"], ["case001.png"], "their numbers have other zeros before them", id="zeros"),
        pytest.param(["1.png", "2.png"], ["m_01.png", "m_02.png"], "have other zeros", id="zeros behind a prefix"),
        pytest.param(["P0.png"], ["p0.png"], "they differ in upper and lower case", id="upper and lower case"),
        pytest.param(["x.png"], ["quite.png"], "images are called x, references quite", id="nothing alike"),
        pytest.param(["s/1.png", "t/1.png"], ["1.png"], "images are called s, t, references 1", id="only folders"),
    ],
)  # fmt: skip
def test_no_pair_is_refused_with_what_makes_the_difference(
    tmp_path: Path, images: list[str], references: list[str], words: str
) -> None:
    make(tmp_path, *(f"i/{name}" for name in images), *(f"r/{name}" for name in references))
    with pytest.raises(ListingError, match=rf"no common stem.*{words}.*\{{id\}}.*manifest"):
        _paired(tmp_path)


def test_names_that_can_be_paired_in_two_ways_are_refused_with_both(tmp_path: Path) -> None:
    make(tmp_path, "i/s_a_m.png", "r/s_a.png", "r/a_m.png")
    with pytest.raises(
        ListingError, match=r"paired in two ways: s_a_m with s_a where the others end in _m, or with a_m"
    ):
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
    (note,) = role_files(str(tmp_path / "*"), "prediction").notes
    assert note.text.startswith("predictions: 1 folder not looked into: sub")
