import hashlib
import io
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from segscale.errors import DamagedFileError
from segscale.storage import tables
from segscale.storage.objects import ObjectStore
from segscale.storage.table_files import footer_sha256, open_table_file
from segscale.storage.tables import encode_frame, encode_table

FRAME = pd.DataFrame(
    {
        "run_id": ["a", "a"],
        "head": ["x", "y"],
        "n": pd.array([4, None], dtype="Int64"),
        "dice": [0.5, np.nan],
    }
)


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}")


def test_columns_are_read_in_the_order_asked_for(store: ObjectStore) -> None:
    size = store.write("t.parquet", encode_frame(FRAME, metadata={"schema_version": "1"})).size_bytes
    with open_table_file(store, "t.parquet") as file:
        assert file.names == list(FRAME)
        assert file.size_bytes == size
        assert (file.note("schema_version"), file.note("nothing")) == ("1", None)
        pd.testing.assert_frame_equal(file.read(["dice", "n"]), FRAME[["dice", "n"]])
        assert file.read([]).columns.empty


def test_of_many_row_groups_some_rows(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 2)
    frame = pd.concat([FRAME] * 3, ignore_index=True)
    store.write("t.parquet", encode_frame(frame))
    with open_table_file(store, "t.parquet") as file:
        assert file.parquet.num_row_groups == 3
        found = file.read(["head", "n"], pc.field("n").is_null())
        pd.testing.assert_frame_equal(found, frame.loc[[1, 3, 5], ["head", "n"]].reset_index(drop=True))
        nothing = file.read(["dice"], pc.field("dice") > 1)
        assert (len(nothing), str(nothing["dice"].dtype)) == (0, "float64")


def test_the_footer_is_all_but_the_pages(store: ObjectStore) -> None:
    data = encode_frame(FRAME)
    length = int.from_bytes(data[-8:-4], "little") + 8
    assert footer_sha256(io.BytesIO(data)) == hashlib.sha256(data[-length:]).hexdigest()
    assert footer_sha256(io.BytesIO(b"PAR1")) == hashlib.sha256(b"PAR1").hexdigest()
    store.write("t.parquet", data)
    with open_table_file(store, "t.parquet") as file:
        assert file.footer_sha256 == footer_sha256(io.BytesIO(data))


def test_a_type_that_nobody_knows_is_damage(store: ObjectStore) -> None:
    """Of a footer with one flipped bit: pandas raises TypeError for it."""
    store.write("t.parquet", encode_frame(FRAME).replace(b'"numpy_type": "Int64"', b'"numpy_type": "Int65"'))
    with open_table_file(store, "t.parquet") as file, pytest.raises(DamagedFileError, match="is damaged: data type"):
        file.read(["n"])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"image_id,dice\na,1\n" * 20, id="another format"),
        pytest.param(encode_frame(FRAME)[:-7], id="torn off"),
    ],
)
def test_what_is_no_parquet_is_refused(store: ObjectStore, data: bytes) -> None:
    store.write("t.parquet", data)
    with (
        pytest.raises(DamagedFileError, match="damaged or no Parquet file") as caught,
        open_table_file(store, "t.parquet"),
    ):
        pytest.fail("opened")
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_a_column_is_noticed(store: ObjectStore) -> None:
    table = pa.table({"predicted_001": pa.array(np.arange(200), pa.int32()), "other": pa.array(np.arange(200))})
    data = encode_table(table, byte_stream_split=["predicted_001"], page_checksums=True)
    store.write("t.parquet", data)
    with open_table_file(store, "t.parquet") as file:
        chunk = file.parquet.metadata.row_group(0).column(0)
        end = chunk.data_page_offset + chunk.total_compressed_size
        sound = file.read(["predicted_001"])
    for place in range(end - 100, end):
        flipped = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        store.write("t.parquet", flipped)
        with open_table_file(store, "t.parquet") as file:
            with pytest.raises(DamagedFileError, match="is damaged"):
                file.read(["predicted_001"])
            assert len(file.read(["other"])) == len(sound)
