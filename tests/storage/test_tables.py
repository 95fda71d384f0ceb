import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segscale.storage.tables import ROW_GROUP_ROWS, decode_frame, encode_frame, encode_table, frame_sha256


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": ["b", "a", "ü"],
            "count": pd.array([1, None, 2**53 + 1], dtype="Int64"),
            "score": [0.5, np.nan, -0.0],
            "group": ["x", None, "y"],
            "failed": [False, True, False],
            "row": np.array([0, 1, 2], np.int32),
        }
    )


def test_a_frame_comes_back_with_its_types() -> None:
    decoded = decode_frame(encode_frame(_frame()))
    pd.testing.assert_frame_equal(decoded, _frame())
    assert decoded["count"].dtype == "Int64"
    assert decoded["count"].isna().tolist() == [False, True, False]
    assert decoded["count"][2] == 2**53 + 1  # more than a float64 could hold
    assert decoded["row"].dtype == np.int32


def test_types_do_not_depend_on_what_is_null() -> None:
    frame = _frame()
    whole = frame.assign(count=pd.array([1, 2, 3], dtype="Int64"))
    none = frame.assign(count=pd.array([None] * 3, dtype="Int64"))
    for variant in (whole, none, frame.iloc[:0]):
        assert decode_frame(encode_frame(variant)).dtypes.to_dict() == frame.dtypes.to_dict()


def test_equal_frames_are_equal_bytes() -> None:
    assert encode_frame(_frame(), metadata={"schema_version": "1"}) == encode_frame(
        _frame().copy(), metadata={"schema_version": "1"}
    )


@pytest.mark.parametrize(
    "index", [pd.Index([7, 3, 5]), pd.Index(["p", "q", "r"], name="name")], ids=["numbers", "named"]
)
def test_the_index_is_no_part_of_a_table(index: pd.Index) -> None:
    assert encode_frame(_frame().set_axis(index)) == encode_frame(_frame())


def test_metadata_joins_that_of_the_schema() -> None:
    schema = pq.read_schema(io.BytesIO(encode_frame(_frame(), metadata={"schema_version": "3"})))
    assert schema.metadata[b"schema_version"] == b"3"
    assert b"pandas" in schema.metadata
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(encode_frame(_frame(), metadata={"x": "y"}))), _frame())


def test_named_columns_are_laid_out_byte_by_byte() -> None:
    table = pa.table({"a": pa.array([1, 2, None], pa.int32()), "b": pa.array([1, 2, 3], pa.int32())})
    data = encode_table(table, byte_stream_split=["a"])
    columns = [pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(number) for number in range(2)]
    assert "BYTE_STREAM_SPLIT" in columns[0].encodings
    assert "BYTE_STREAM_SPLIT" not in columns[1].encodings
    assert pq.read_table(io.BytesIO(data)).equals(table)


def test_many_rows_keep_their_order() -> None:
    frame = pd.DataFrame({"n": np.arange(ROW_GROUP_ROWS + 1)[::-1]})
    data = encode_frame(frame)
    assert pq.ParquetFile(io.BytesIO(data)).metadata.num_row_groups == 2
    pd.testing.assert_frame_equal(decode_frame(data), frame)


@pytest.mark.parametrize("keep", [0, 4, 200, -1], ids=["nothing", "the signature", "half", "all but a byte"])
def test_torn_bytes_are_an_error(keep: int) -> None:
    data = encode_frame(_frame())
    with pytest.raises(ValueError, match=r"Parquet|magic"):
        decode_frame(data[:keep])


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(_frame().set_axis(pd.Index([7, 3, 5])), id="another index"),
        pytest.param(_frame().astype({"image_id": object}), id="texts as objects"),
        pytest.param(pd.concat([_frame().iloc[:1], _frame().iloc[1:]]), id="texts in two chunks"),
        pytest.param(pd.concat([_frame(), _frame()]).iloc[3:], id="a part of a larger frame"),
        pytest.param(decode_frame(encode_frame(_frame())), id="written and read"),
    ],
)
def test_equal_frames_have_equal_hashes(same: pd.DataFrame) -> None:
    assert frame_sha256(same) == frame_sha256(_frame())


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(_frame().assign(image_id=["ba", "", "ü"]), id="texts cut elsewhere"),
        pytest.param(_frame().assign(group=["x", "", "y"]), id="empty for null"),
        pytest.param(_frame().assign(row=np.array([0, 1, 2], np.int64)), id="another type"),
        pytest.param(_frame().rename(columns={"row": "line"}), id="another name"),
        pytest.param(_frame()[_frame().columns[::-1]], id="another order of columns"),
        pytest.param(_frame().iloc[::-1], id="another order of rows"),
        pytest.param(_frame().iloc[:2], id="a row less"),
    ],
)
def test_other_frames_have_other_hashes(other: pd.DataFrame) -> None:
    assert frame_sha256(other) != frame_sha256(_frame())
