"""Lists that never were objects of a data frame are written as if they had been, to the byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.storage import tables
from segscale.storage.list_columns import ListColumns
from segscale.storage.tables import decode_frame, encode_frame

TYPES = pa.schema([("bins", pa.list_(pa.int16())), ("counts", pa.list_(pa.int64()))])
AS_READ = pa.schema([("bins", pa.list_(pa.int16())), ("counts", pa.list_(pa.int32()))])
Lists = list[list[int] | None]


def frame_of(n_rows: int) -> pd.DataFrame:
    names = [f"i{number}" for number in range(n_rows)]
    return pd.DataFrame({"image_id": pd.array(names, dtype="str"), "score": np.arange(n_rows) / 7})


def pieces_of(lists: Lists, size: int) -> list[pa.RecordBatch]:
    whole = pa.table([pa.array(lists, field.type) for field in AS_READ], schema=AS_READ)
    return [whole.slice(first, size).combine_chunks().to_batches()[0] for first in range(0, len(lists), size)]


def as_objects(lists: Lists, rows: list[int]) -> dict[str, list[Any]]:
    def column(kind: type) -> list[Any]:
        return [None if row < 0 or lists[row] is None else np.array(lists[row], kind) for row in rows]

    return {"bins": column(np.int16), "counts": column(np.int64)}


@given(
    lists=st.lists(st.none() | st.lists(st.integers(0, 99), max_size=4), min_size=1, max_size=12),
    data=st.data(),
    size=st.integers(1, 5),
    group_rows=st.sampled_from((2, 5, 1 << 16)),
)
def test_the_bytes_are_those_of_a_frame_of_objects(
    lists: Lists, data: st.DataObject, size: int, group_rows: int
) -> None:
    rows = data.draw(st.lists(st.integers(-1, len(lists) - 1), max_size=14))
    frame = frame_of(len(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROW_GROUP_ROWS", group_rows)
        given_lists = ListColumns(TYPES, pieces_of(lists, size), np.array(rows, np.int64))
        found = encode_frame(frame, metadata={"version": "1"}, page_checksums=True, lists=given_lists)
        expected = encode_frame(
            frame.assign(**{name: pd.Series(values, dtype=object) for name, values in as_objects(lists, rows).items()}),
            metadata={"version": "1"},
            page_checksums=True,
        )
    assert found == expected


def test_rows_of_rows() -> None:
    whole = ListColumns(TYPES, pieces_of([[1], [2, 3], None], 2), np.array([2, 1, -1, 0]))
    some = whole.at(np.array([3, -1, 1, 2, 0]))
    assert some.rows.tolist() == [0, -1, 1, -1, 2]
    found = decode_frame(encode_frame(frame_of(5), lists=some))
    assert [None if one is None else one.tolist() for one in found["counts"]] == [[1], None, [2, 3], None, None]
