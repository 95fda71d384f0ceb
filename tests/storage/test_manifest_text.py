"""Text of manifests: no row is lost in another, and what is odd is named by its line."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ListingError
from segscale.storage.manifest_text import TextTable

WANTED = ("image_id", "image", "reference")
HEAD = "image_id,image,reference,note"


def read(text: str) -> TextTable:
    return TextTable.of("m.csv", text.encode(), WANTED)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(f'{HEAD}\n1,a,b,"7 mm\n2,c,d,x\n3,e,f,7" deep\n', 2, id="closed within a cell"),
        pytest.param(f'{HEAD}\n1,a,b,x\n2,c,d,"ap\n3,e,f,x\n4,g,h,ap"\n', 3, id="closed at the end of a cell"),
        pytest.param(f'{HEAD}\n1,a,b,"x\n2,c,d,y\n', 2, id="never closed"),
        pytest.param(f'{HEAD}\n1,a,b,x\n2,c,d,"x\n', 3, id="never closed in the last row"),
        pytest.param('image_id,note,image,reference\n1,"x,a,b\n2,y",c,d\n', 2, id="in the middle"),
        pytest.param(f'{HEAD}\n1,a,b,"fine\nfor once"\n2,c,d,"x\n3,e,f,x"\n', 4, id="behind lines that are meant"),
        pytest.param(f'sep=,\n{HEAD}\n1,a,b,"x\n2,c,d,x"\n', 3, id="behind a hint of Excel"),
        pytest.param(f'{HEAD}\n1,a,b,"' + "x,y,z,w\n" * 40_000, 2, id="a cell longer than any"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_quote_that_would_swallow_rows_is_named(text: str, line: int, separator: str, newline: str) -> None:
    with pytest.raises(ListingError, match=rf"m\.csv: line {line}: .*quote"):
        read(text.replace(",", separator).replace("\n", newline))


cells = st.text(st.sampled_from('ab ,;"\n'), max_size=5).map(lambda text: text.replace("\n", "", text.count("\n") - 1))


@given(st.lists(st.tuples(st.sampled_from("abc"), cells), min_size=1, max_size=5))
def test_rows_that_are_quoted_as_they_should_be_all_come_back_or_are_refused(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(
        [["image_id", "image", "reference", "note"], *[[first, "x", "y", c] for first, c in rows]]
    )
    swallows = any("\n" in cell and cell.count(",") >= 3 for _, cell in rows)
    if swallows:
        with pytest.raises(ListingError, match="quote"):
            read(text.getvalue())
    else:
        assert read(text.getvalue()).table["note"].fillna("").tolist() == [cell for _, cell in rows]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_rows_without_anything_are_left_out_and_said(newline: str) -> None:
    found = read(newline.join(["  ", HEAD, "1,a,b,x", ",,,", "2,c,d,", " , ,,", ""]))
    assert found.table["image_id"].tolist() == ["1", "2"]
    assert [note.text for note in found.notes] == ["manifest: 2 empty rows left out: line 4, 6"]


def test_short_rows_are_said_and_a_separator_at_the_end_of_all_lines_is_no_column() -> None:
    found = read("image_id,image,reference,\n1,a,b,\n2,c\n")
    assert found.table.columns.tolist() == ["image_id", "image", "reference"]
    assert [note.text for note in found.notes] == [
        "manifest: 1 row of fewer cells than columns, the rest taken for empty: line 3"
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (f"{HEAD}\n1,a,b,c,\n".encode(), "line 2: .*every row ends with a separator, and the header does not"),
        (f"{HEAD}\n1,a,b,c\n2,a,b,c,\n".encode(), "line 3: .*4 columns, got 5; quote a cell"),
        (f"# exported today\n{HEAD}\n1,a,b,c\n".encode(), "begins with #, '# exported today': comments are not read"),
        (f"{HEAD}\n1,a,b,c\n".encode("utf-32"), "got UTF-32 by its mark: save it as CSV UTF-8"),
        (f"{HEAD}\n1,a,b,c\n".encode("utf-16")[:-1], "UTF-16, as its mark says, got truncated data"),
        (b" \n\n", "found nothing written in it"),
    ],
)
def test_what_is_no_table_is_said_with_the_remedy(data: bytes, words: str) -> None:
    with pytest.raises(ListingError, match=words):
        TextTable.of("m.csv", data, WANTED)


PLAIN = st.text(st.characters(exclude_characters='",\r\n', exclude_categories=("C", "Zl", "Zp")), max_size=6)


@given(st.lists(st.tuples(PLAIN.filter(str.strip), PLAIN, PLAIN), min_size=1, max_size=6))
def test_a_text_without_quotes_is_read_as_one_with_them(rows: list[tuple[str, str, str]]) -> None:
    lines = ["image_id,image,reference", *[",".join(row) for row in rows]]
    quoted = [",".join(f'"{cell}"' for cell in line.split(",")) for line in lines]
    pd.testing.assert_frame_equal(read("\n".join(lines)).table, read("\n".join(quoted)).table)
