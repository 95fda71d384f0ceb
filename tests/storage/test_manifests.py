"""Manifests: what is read, what is refused, and what is said."""

from __future__ import annotations

import datetime
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.errors import ListingError
from segscale.storage.manifests import MANIFEST_COLUMNS, read_manifest
from segscale.storage.sources import file_version, read_file
from tests.storage.made_files import make

HEAD = "image_id,image,reference"


def _manifest(folder: Path, text: str, name: str = "manifest.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_manifest_keeps_its_order_and_its_groups(tmp_path: Path) -> None:
    make(tmp_path, "images/b.png", "images/a.png", "masks/b.png")
    url = _manifest(tmp_path, f"{HEAD},age\nz,images/b.png,masks/b.png,7\n2,images/a.png,,8\n")
    listing = read_manifest(url).images
    assert list(listing["image_id"]) == ["z", "2"]
    assert read_file(listing["image"][0]) == b"images/b.png"
    assert list(listing["reference"])[1] == ""
    assert list(listing["reference_version"])[1] == ""
    assert listing["image_version"][0] == file_version(str(tmp_path / "images/b.png"))
    assert [str(age) for age in listing["age"]] == ["7", "8"]


def test_paths_of_a_manifest(tmp_path: Path) -> None:
    absolute = make(tmp_path, "x/a.png") / "x/a.png"
    url = _manifest(tmp_path / "x", f"{HEAD}\n1,a.png,{absolute}\n2,../x/a.png,memory://m/a.png\n")
    listing = read_manifest(url, roots=["memory://m"]).images
    assert read_file(listing["image"][0]) == read_file(listing["reference"][0]) == read_file(listing["image"][1])
    assert listing["reference"][1] == "memory://m/a.png"


@pytest.mark.parametrize("name", ["m.parquet", "m.pq"])
def test_a_parquet_manifest(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"image_id": [1, 2], "image": ["a", "b"], "reference": ["a", None], "site": ["x", "y"]})
    table.to_parquet(tmp_path / name)
    listing = read_manifest(str(tmp_path / name)).images
    assert list(listing["image_id"]) == ["1", "2"]
    assert listing["reference"][1] == ""
    assert list(listing["site"]) == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "CSV or Parquet manifest", id="zero bytes"),
        pytest.param(f"{HEAD}\n", "no rows|no images|empty", id="header only"),
        pytest.param(f"{HEAD},image_version\na,a,a,1\n", "a name that Segscale needs itself", id="a version"),
        pytest.param("image,reference\na,b\n", "image_id is missing", id="no ids"),
        pytest.param("image_id,image\na,b\n", "reference is missing", id="no references"),
        pytest.param("image_id|image|reference\na|b|c\n", "separated by commas, semicolons or tabs", id="bars"),
        pytest.param(
            f"{HEAD}\n1,a,b,\n",
            "line 2: expected a cell for each of the 3 columns, got 4; every row ends with a separator",
            id="no column may slip",
        ),
        pytest.param(f"{HEAD},image\n1,a,b,c\n", "two columns are called 'image'", id="a column twice"),
        pytest.param(f"{HEAD}\nx,a,b\nx ,c,d\n", "'x' stands in several rows .blanks", id="ids but for a blank"),
        pytest.param(f"{HEAD}\nx y,a,b\nx  y,c,d\n", "'x y' and 'x  y' differ only in blanks", id="blanks within"),
        pytest.param(f"{HEAD}\n\u00e9,a,b\ne\u0301,c,d\n", "form of their Unicode", id="ids but for their form"),
        pytest.param(f"{HEAD}\n1,a,b\n,c,d\n", "row 2 has no image_id", id="empty id"),
        pytest.param(f"{HEAD}\n1,a,b\n1,c,d\n", "'1' stands in several rows", id="repeated id"),
        pytest.param(f"{HEAD}\n1,a,b\n2,c,d,e,f\n", "line 3: .* 3 columns, got 5; quote a cell", id="too many cells"),
    ],
)
def test_manifest_errors(tmp_path: Path, text: str, words: str) -> None:
    url = _manifest(tmp_path, text)
    with pytest.raises(ListingError, match=words) as caught:
        read_manifest(url)
    assert url in str(caught.value)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ListingError, match="expected a manifest, found none"):
        read_manifest(str(tmp_path / "none.csv"))
    with pytest.raises(ListingError, match=r"expected a .*manifest"):
        read_manifest(str(tmp_path))
    (tmp_path / "m.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(ListingError, match="CSV or Parquet manifest: Parquet magic bytes not found"):
        read_manifest(str(tmp_path / "m.parquet"))


@pytest.mark.parametrize(
    ("names", "repeated"),
    [
        pytest.param(("site", "site "), "'site'", id="but for a blank"),
        pytest.param(("image ", "site"), "'image'", id="one that is needed"),
        pytest.param(("", " "), "''", id="without a name"),
    ],
)
def test_columns_of_parquet_that_are_called_alike_are_refused(
    tmp_path: Path, names: tuple[str, str], repeated: str
) -> None:
    table = pd.DataFrame([["1", "a", "b", "x", "y"]], columns=["image_id", "image", "reference", *names])
    table.to_parquet(tmp_path / "m.pq")
    with pytest.raises(ListingError, match=f"two columns are called {repeated}; rename or remove one"):
        read_manifest(str(tmp_path / "m.pq"))


def test_an_empty_id_in_a_parquet_manifest_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"image_id": ["", "a"], "image": ["x", "y"], "reference": ["x", "y"]}).to_parquet(tmp_path / "m.pq")
    with pytest.raises(ListingError, match="row 1 has no image_id"):
        read_manifest(str(tmp_path / "m.pq"))


def test_ids_and_groups_stay_as_they_are_written_and_only_an_empty_cell_says_nothing(tmp_path: Path) -> None:
    url = _manifest(tmp_path, f"{HEAD},patient_id,site\n001,a,b,007,NA\nNA,c,d,010,EU\n3,e,f,,x\n4,g,h,NA,\n")
    listing = read_manifest(url).images
    assert list(listing["image_id"]) == ["001", "NA", "3", "4"]
    assert [None if pd.isna(cell) else cell for cell in listing["patient_id"]] == ["007", "010", None, "NA"]
    assert [None if pd.isna(cell) else cell for cell in listing["site"]] == ["NA", "EU", "x", None]


@pytest.mark.parametrize(
    ("splits", "split", "ids"),
    [
        pytest.param(["test", "train", "test"], "test", ["a", "c"], id="of two"),
        pytest.param(["1", "", "2"], "1", ["a"], id="a number, where a row has none"),
        pytest.param(["test", "train", "test"], "", ["a", "b", "c"], id="none is asked for"),
    ],
)
def test_only_the_rows_of_a_split(tmp_path: Path, splits: list[str], split: str, ids: list[str]) -> None:
    rows = "".join(f"{name},{name},{name},{of}\n" for name, of in zip("abc", splits, strict=True))
    listing = read_manifest(_manifest(tmp_path, f"{HEAD},split\n{rows}"), split=split).images
    assert list(listing["image_id"]) == ids
    assert list(listing.index) == list(range(len(ids)))


@pytest.mark.parametrize(
    ("rows", "split", "words"),
    [
        pytest.param(",split\n1,a,b,test\n", "Test", r"no row has split 'Test'; there are \['test'\]", id="case"),
        pytest.param("\n1,a,b\n", "test", "expected a column named split", id="no such column"),
        pytest.param(",split\n1,a,b,test\n2,a,b,\n", "x", "no row has split 'x'", id="a row without a split"),
    ],
)
def test_split_errors(tmp_path: Path, rows: str, split: str, words: str) -> None:
    with pytest.raises(ListingError, match=words):
        read_manifest(_manifest(tmp_path, HEAD + rows), split=split)


@pytest.mark.parametrize("path", ["a.png/x.png", "x" * 5000], ids=["below a file", "a name too long"])
def test_a_path_that_cannot_be_one_names_no_file(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    listing = read_manifest(_manifest(tmp_path, f"{HEAD}\n1,{path},a.png\n")).images
    assert listing["image_version"].tolist() == [""]


def test_a_secret_in_a_manifest_is_refused_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "image_id,image,reference\na,a.png,a.png\nb,https://host/b.png?token=plantedSecret,b.png\n"
    )
    with pytest.raises(
        ListingError, match=r"column 'image' of image_id 'b': https://host/b.png\?token=\*\*\*"
    ) as caught:
        read_manifest(str(tmp_path / "manifest.csv"))
    assert "plantedSecret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_manifests_as_spreadsheets_write_them(tmp_path: Path, encoding: str, separator: str, newline: str) -> None:
    make(tmp_path, "a.png", "b.png")
    lines = ["image_id,image,reference,site", "1,a.png,b.png,K\u00f6ln", '2,b.png,"a.png",']
    text = newline.join(line.replace(",", separator) for line in lines) + newline
    (tmp_path / "m.csv").write_bytes(text.encode(encoding))
    rows = read_manifest(str(tmp_path / "m.csv")).images
    assert list(rows["site"].fillna("")) == ["K\u00f6ln", ""]
    assert [read_file(url) for url in rows["reference"]] == [b"b.png", b"a.png"]


def test_a_hint_of_excel_is_passed_over(tmp_path: Path) -> None:
    assert list(read_manifest(_manifest(tmp_path, f"sep=;\n{HEAD.replace(',', ';')}\n1;a;b\n")).images["image_id"]) == [
        "1"
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(f"{HEAD},site\n1,a,b,x\n2,c,d,\u00fc\n".encode("latin-1"), "line 3 has the byte 0xfc", id="latin"),
        pytest.param(f"{HEAD},\u20ac\n1,a,b,x\n".encode("cp1252"), "line 1 has the byte 0x80", id="windows"),
        pytest.param(f"{HEAD}\n1,a,b\n".encode("utf-16-le"), "got null bytes", id="UTF-16 without its mark"),
    ],
)  # fmt: skip
def test_other_encodings_are_refused_with_the_remedy(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "m.csv").write_bytes(data)
    with pytest.raises(ListingError, match=f"encoded in UTF-8, {words}.*save it as CSV UTF-8"):
        read_manifest(str(tmp_path / "m.csv"))


def test_blanks_around_cells_are_left_out_and_said(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b c.png")
    found = read_manifest(_manifest(tmp_path, " image_id,image , reference,site\n1 , a.png,\tb c.png , \n"))
    row = found.images.iloc[0]
    assert (row["image_id"], read_file(row["image"]), read_file(row["reference"])) == ("1", b"a.png", b"b c.png")
    assert pd.isna(row["site"])
    assert found.notes[0].text.endswith("columns left out: ' image_id', 'image ', ' reference'")
    assert found.notes[1].text.startswith("manifest: blanks around 4 cells left out: '1 ', ' a.png'")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_files_of_another_unicode_form_are_found_and_said(tmp_path: Path, form: str) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    cell, on_disk = (unicodedata.normalize(one, "B\u00e4ume/Gr\u00fcn.tif") for one in (form, other))  # type: ignore[arg-type]
    make(tmp_path, on_disk, "plain.png")
    found = read_manifest(_manifest(tmp_path, f"{HEAD}\n1,{cell},plain.png\n"))
    assert read_file(found.images["image"][0]) == on_disk.encode()
    assert found.images["image_version"][0]
    (note,) = found.notes
    assert (note.warns, "images: 1 name in another Unicode form" in note.text) == (False, True)


def test_a_name_of_another_form_does_not_lead_out_of_the_roots(tmp_path: Path) -> None:
    make(tmp_path, "secret.png", "set/a.png")
    (tmp_path / "set" / "u\u0308.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ListingError, match="leads out of the data roots"):
        read_manifest(_manifest(tmp_path / "set", f"{HEAD}\n1,\u00fc.png,a.png\n"))


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ("1,a.png,", "references: 1 image has none in the manifest: 1"),
        ("1,A.PNG,a.png", "images: 1 file of the manifest not there: A.PNG (there is a.png)"),
        ("1,sub/a.png,a.png", "images: 1 file of the manifest not there: a.png (there is no folder sub)"),
        ("1,a.png,sub\\a.png", "references: 1 file of the manifest not there: sub\\a.png (write / for \\)"),
        ("1,a.png,loop.png", "references: 1 file of the manifest not there: loop.png (a link that leads nowhere)"),
        ("1,a.png,d", "references: 1 file of the manifest not there: d (a folder)"),
        (
            "1,a.png,~/a.png",
            "references: 1 file of the manifest not there: a.png (looked for as FOLDER/~/a.png: ~ TILDE)",
        ),
        ("1,a.png,nothing-like-it.tif", "references: 1 file of the manifest not there: nothing-like-it.tif"),
    ],
)
def test_what_is_missing_is_said_with_what_is_near(tmp_path: Path, row: str, note: str) -> None:
    (make(tmp_path, "a.png", "d/x") / "loop.png").symlink_to("loop.png")
    found = read_manifest(_manifest(tmp_path, f"{HEAD}\n{row}\n")).notes
    assert [one.text for one in found] == [
        note.replace("FOLDER", str(tmp_path)).replace("TILDE", "does not stand for a home folder here")
    ]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([datetime.date(2021, 3, 4), None], ["2021-03-04", None]),
        ([Decimal("1.50"), Decimal(2)], ["1.50", "2.00"]),
        ([b"left", b" right "], ["left", "right"]),
        ([None, False], [None, "False"]),
        ([datetime.time(9, 30), None], ["09:30:00", None]),
        ([None, None], [None, None]),
    ],
    ids=["dates", "decimals", "bytes", "true and false", "times", "nothing"],
)
def test_groups_of_parquet_are_taken_as_text(tmp_path: Path, values: list[Any], texts: list[str | None]) -> None:
    ids = pd.Categorical(["a", "b"])
    table = pd.DataFrame({"image_id": ids, "image": ids, "reference": ids, "group": values})
    table["kind"], table["at"] = pd.Categorical(["x", None]), pd.Timestamp("2020-01-01", tz="UTC")
    table.to_parquet(tmp_path / "m.parquet")
    found = read_manifest(str(tmp_path / "m.parquet")).images
    assert [None if pd.isna(value) else value for value in found["group"]] == texts
    assert found["image_id"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "kind"), [([1, 2], "a list"), ({"x": 1}, "dict"), (b"\xff", "bytes")], ids=["list", "record", "bytes"]
)
def test_groups_of_parquet_that_are_no_text_are_named(tmp_path: Path, value: Any, kind: str) -> None:
    pd.DataFrame({"image_id": ["a"], "image": ["a"], "reference": ["a"], "odd": [value]}).to_parquet(tmp_path / "m.pq")
    with pytest.raises(ListingError, match=f"column 'odd': expected text.*, got {kind}"):
        read_manifest(str(tmp_path / "m.pq"))


def test_an_index_of_parquet_that_has_a_name_is_a_column(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "site": ["x", "y"], "image": ["p", "q"], "reference": ["p", "q"]})
    table.set_index(["image_id", "site"]).to_parquet(tmp_path / "m.parquet")
    found = read_manifest(str(tmp_path / "m.parquet")).images
    assert (found["image_id"].tolist(), found["site"].tolist()) == (["a", "b"], ["x", "y"])


@pytest.mark.parametrize(
    ("text", "site"),
    [
        pytest.param(f",{HEAD},site\n0,1,a,b,x\n1,2,c,d,y\n", ["x", "y"], id="to_csv of pandas"),
        pytest.param(f",{HEAD},site\n1,1,a,b,x\n2,2,c,d,y\n", ["x", "y"], id="from 1"),
        pytest.param(f",{HEAD},site\n3,1,a,b,x\n9,2,c,d,y\n", ["x", "y"], id="what a filter left of it"),
        pytest.param(f",{HEAD},site\n-1,1,a,b,x\n0,2,c,d,y\n", ["x", "y"], id="from below 0"),
        pytest.param(f"Unnamed: 0,{HEAD},site\n0,1,a,b,x\n1,2,c,d,y\n", ["x", "y"], id="read and written again"),
        pytest.param(f"Unnamed: 0.1,Unnamed: 0,{HEAD},site\n0,0,1,a,b,x\n1,1,2,c,d,y\n", ["x", "y"], id="twice"),
        pytest.param(f';{HEAD};site\n"0";1;a;b;x\n1;2;c;d;y\n'.replace(",", ";"), ["x", "y"], id="quoted"),
    ],
)
def test_the_numbering_of_pandas_is_no_column(tmp_path: Path, text: str, site: list[str]) -> None:
    found = read_manifest(_manifest(tmp_path, text))
    assert [name for name in map(str, found.images) if "Unnamed" in name] == []
    assert list(found.images["site"]) == site
    assert "numbers the rows, as pandas writes its index, left out" in found.notes[0].text


@pytest.mark.parametrize("numbers", [("2", "1"), ("1", "1"), ("01", "02"), ("1.5", "2"), ("1", ""), ("a", "b")])
def test_another_column_without_a_name_stays(tmp_path: Path, numbers: tuple[str, str]) -> None:
    text = f",{HEAD}\n{numbers[0]},1,a,b\n{numbers[1]},2,c,d\n"
    assert list(read_manifest(_manifest(tmp_path, text)).images["Unnamed: 0"].fillna("")) == list(numbers)


def test_the_numbering_of_pandas_in_parquet(tmp_path: Path) -> None:
    table = pd.DataFrame({"Unnamed: 0": [3, 7], "image_id": [7, 8], "image": ["a", "b"], "reference": ["c", "d"]})
    table.to_parquet(tmp_path / "m.parquet")
    assert "Unnamed: 0" not in read_manifest(str(tmp_path / "m.parquet")).images


def test_the_columns_that_were_seen_stand_in_the_error(tmp_path: Path) -> None:
    names = ["image_id", "img", "mask", *(f"c{place}" for place in range(20))]
    with pytest.raises(ListingError, match=r"are missing, found image_id, img, mask, c0, .*c16 and 3 more"):
        read_manifest(_manifest(tmp_path, ",".join(names) + "\n"))


@pytest.mark.parametrize(
    ("header", "both"),
    [
        pytest.param("image_id,image;reference", "commas and semicolons", id="one name each"),
        pytest.param("image_id;image\treference", "semicolons and tabs", id="semicolons and tabs"),
        pytest.param(
            "image_id,reference,prediction;note", "commas, and semicolons in 'prediction;note'", id="one odd name"
        ),
        pytest.param("image_id;reference;note,image", "semicolons, and commas in 'note,image'", id="behind another"),
    ],
)
def test_a_header_of_two_separators_is_refused_with_both(tmp_path: Path, header: str, both: str) -> None:
    with pytest.raises(ListingError, match=f"one separator between them, got {both}"):
        read_manifest(_manifest(tmp_path, f"{header}\n1,2\n"))


@pytest.mark.parametrize(
    ("header", "row", "note"),
    [
        pytest.param("image_id;image;reference;age", "1;a;b;3,5", "3,5", id="a decimal comma"),
        pytest.param("image_id;image;reference;one, two", "1;a;b;x", "x", id="a comma in a name"),
        pytest.param("image_id\timage\treference\ta;b,c", "1\ta\tb\tx;y,z", "x;y,z", id="both in a name and a cell"),
        pytest.param("image_id,image,reference,a;b", "1,a,b,x;y", "x;y", id="a semicolon in a name"),
    ],
)
def test_another_separator_within_names_and_cells_is_kept(tmp_path: Path, header: str, row: str, note: str) -> None:
    images = read_manifest(_manifest(tmp_path, f"{header}\n{row}\n")).images
    assert [images[name][0] for name in map(str, images) if name not in MANIFEST_COLUMNS and "version" not in name] == [
        note
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "image_id;reference;prediction\nc0,r/0.png,p/0.png\n",
            r"line 2: expected semicolons .* got commas in 'c0,r/0.png,p/0.png'",
            id="all rows by commas",
        ),
        pytest.param("image_id,image,reference\n1;a;b\n", "line 2: expected commas .* got semicolons", id="semicolons"),
        pytest.param("image_id,image,reference\n1,a,b\n2\tc\td\n", "line 3: .* got tabs", id="one row of two"),
    ],
)
def test_rows_of_another_separator_than_the_header_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ListingError, match=f"{words}.*use one separator in all lines"):
        read_manifest(_manifest(tmp_path, text))


def test_without_images_and_predictions_both_are_named_and_what_they_are_for(tmp_path: Path) -> None:
    url = _manifest(tmp_path, "image_id,reference\n1,a.png\n")
    words = r"prediction \(files to be scored\) or image \(files that a network .*; image and prediction are missing"
    with pytest.raises(ListingError, match=f"{words}, found image_id, reference"):
        read_manifest(url)
    assert len(read_manifest(url, needs_images=False).images) == 1


@pytest.mark.parametrize("name", ["m.csv", "m.xlsx", "m.parquet"])
@pytest.mark.parametrize("start", [b"PK\x03\x04\x14\x00", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"], ids=["xlsx", "xls"])
def test_an_excel_file_is_no_manifest(tmp_path: Path, name: str, start: bytes) -> None:
    (tmp_path / name).write_bytes(start + bytes(64))
    with pytest.raises(ListingError, match="this is an Excel file: save it as CSV UTF-8"):
        read_manifest(str(tmp_path / name))


def test_control_characters_are_shown_as_they_are_written_in_text(tmp_path: Path) -> None:
    with pytest.raises(ListingError) as caught:
        read_manifest(_manifest(tmp_path, "image_id,\x1b[2Jimg,mask\n1,a,b\n"))
    assert r"found image_id, \x1b[2Jimg, mask" in str(caught.value)
