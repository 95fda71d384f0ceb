"""Columns of a table, joined to a listing by the id."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ListingError
from segscale.storage.columns import Joined, join_columns


def _joined(folder: Path, text: str | bytes, ids: tuple[str, ...] = ("a", "b")) -> Joined:
    (folder / "t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return join_columns(pd.DataFrame({"image_id": ids}, index=range(3, 3 + len(ids))), str(folder / "t.csv"), {"dice"})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("image_id,site\nb,y\na,x\n", id="in another order"),
        pytest.param("id;site\na;x\nb;y\n", id="id, and semicolons"),
        pytest.param("site\tid\nx\ta\ny\tb\n", id="tabs, and the id last"),
        pytest.param("\ufeffimage_id,site\na,x\nb,y\n", id="a mark of UTF-8"),
        pytest.param("image_id,site\na,x\nb,y\n".encode("utf-16"), id="UTF-16"),
        pytest.param(" image_id , site\n a, x\nb ,y\n", id="blanks"),
        pytest.param(",image_id,site\n0,a,x\n1,b,y\n", id="the numbering of pandas"),
    ],
)
def test_rows_meet_their_images(tmp_path: Path, text: str | bytes) -> None:
    found = _joined(tmp_path, text)
    assert found.images.to_dict("list") == {"image_id": ["a", "b"], "site": ["x", "y"]}
    assert list(found.images.index) == [3, 4]


def test_both_sides_that_are_alone_are_said(tmp_path: Path) -> None:
    found = _joined(tmp_path, "id,site\na,x\nz,y\n")
    assert found.images["site"].fillna("none").tolist() == ["x", "none"]
    assert [note.text for note in found.notes] == [
        "table: 1 image has no row, and no values: b",
        "table: 1 row is of no image of the set: z",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "id,site\nA,x\nB,y\n", "expected rows of the images, found none: .* a, b, in the table A, B", id="ids"
        ),
        pytest.param("name,site\na,x\n", "expected a column image_id, or id, .* found name, site", id="no id"),
        pytest.param("id\na\n", "expected columns beside id, found none", id="nothing to join"),
        pytest.param("id,site\n", "expected a row for each image, found no rows below the names", id="a header alone"),
        pytest.param(b"PK\x03\x04", "table, this is an Excel file: save it as CSV UTF-8", id="Excel"),
        pytest.param("id,site\n\x1b[2J,x\n", r"in the table \\x1b\[2J;", id="control characters"),
        pytest.param("id,site\na,x\na,y\n", "id 'a' stands in several rows", id="an id twice"),
        pytest.param("id,site\na,x\n,y\n", "row 2 has no id", id="a row without an id"),
        pytest.param("id,dice\na,1\n", "column 'dice' would collide", id="a column of the report"),
        pytest.param("id,site\na,\xfc\n".encode("latin-1"), "expected text encoded in UTF-8, line 2", id="Latin-1"),
    ],
)
def test_tables_that_cannot_be_joined(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(ListingError, match=words):
        _joined(tmp_path, text)


def test_a_decimal_comma_stays_where_it_is(tmp_path: Path) -> None:
    assert _joined(tmp_path, "id;age;dose\na;3,5;1\nb;4;2,25\n").images["dose"].tolist() == ["1", "2,25"]


def test_numbers_of_parquet_stay_whole_where_a_row_is_missing(tmp_path: Path) -> None:
    pd.DataFrame({"image_id": ["a"], "age": [7], "smoker": [True]}).to_parquet(tmp_path / "t.parquet")
    found = join_columns(pd.DataFrame({"image_id": ["a", "b"]}), str(tmp_path / "t.parquet")).images
    assert [str(age) for age in found["age"]] == ["7", "<NA>"]
    assert [str(smoker) for smoker in found["smoker"]] == ["True", "<NA>"]


def test_ids_of_another_unicode_form_are_the_same(tmp_path: Path) -> None:
    assert _joined(tmp_path, "id,site\ne\u0301,x\n", ("\u00e9",)).images["site"].tolist() == ["x"]


ids = st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=5, unique=True)


@given(ids, ids)
def test_every_image_has_its_own_row_or_none(
    tmp_path_factory: pytest.TempPathFactory, one: list[str], two: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("t")
    text = "".join(f"{name},of {name}\n" for name in two)
    if not set(one) & set(two):
        with pytest.raises(ListingError, match="expected rows of the images"):
            _joined(folder, f"id,said\n{text}", tuple(one))
        return
    found = _joined(folder, f"id,said\n{text}", tuple(one)).images
    assert found["said"].fillna("").tolist() == [f"of {name}" if name in two else "" for name in one]
