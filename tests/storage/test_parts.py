import io
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.parts import BINS, COUNTS, HISTOGRAMS, SCHEMA, SOFT_SUMS, encode_part, histogram, read_part
from segscale.storage.shards import commit_shard

Row = dict[str, Any]


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}")


def _row(image_id: str, class_index: int, **changes: object) -> Row:
    counts = dict.fromkeys(COUNTS, 2**40 + class_index)
    sums = dict.fromkeys(SOFT_SUMS, 0.1 + class_index)
    histograms = {name: list(range(BINS)) if class_index else None for name in HISTOGRAMS}
    texts = {"status": "ok", "stage": "", "error_type": "", "error": "", "reference_pixels": 2**40 + class_index}
    return {
        "image_id": image_id, "head": "last", "class_index": class_index, **counts, **sums, **histograms, **texts,
        **changes,
    }  # fmt: skip


def _failed(image_id: str) -> Row:
    nothing = dict.fromkeys((*COUNTS, *HISTOGRAMS)) | dict.fromkeys(SOFT_SUMS, float("nan"))
    return _row(image_id, 1, **nothing, status="failed", stage="ingest", error_type="E", error="reason")


def _commit(store: ObjectStore, data: bytes) -> Entry:
    return commit_shard(store, "predict", "ab" * 32, arrays={}, rows=data, facts={})


def test_a_part_comes_back(store: ObjectStore) -> None:
    rows = [_row("a", 0), _row("a", 1), _failed("b")]
    table = read_part(store, _commit(store, encode_part(rows)))
    assert table.schema.equals(SCHEMA)
    found = table.to_pylist()
    assert found[:2] == rows[:2]
    assert found[2]["n_pixels"] is None
    assert found[2]["histogram_foreground"] is None
    assert np.isnan(found[2]["soft_intersection"])
    assert found[2]["error"] == "reason"


def test_equal_rows_are_equal_bytes() -> None:
    rows = [_row("a", 0), _row("a", 1), _failed("b")]
    reordered = [dict(reversed(row.items())) for row in rows]
    assert encode_part(rows) == encode_part(reordered)
    assert encode_part(rows) != encode_part(rows[::-1])


def test_the_schema_version_is_in_the_file() -> None:
    assert pq.read_schema(io.BytesIO(encode_part([]))).metadata[b"schema_version"] == b"2"


def test_a_part_without_rows(store: ObjectStore) -> None:
    table = read_part(store, _commit(store, encode_part([])))
    assert table.schema.equals(SCHEMA)
    assert histogram(table, HISTOGRAMS[0]).shape == (0, BINS)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"image_id": None}, id="no image"),
        pytest.param({"class_index": None}, id="no class"),
        pytest.param({"status": None}, id="no status"),
        pytest.param({"histogram_foreground": [1, 2, 3]}, id="histogram too short"),
    ],
)
def test_rows_that_break_the_schema_are_refused(change: Row) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode_part([{**_row("a", 1), **change}])


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(SCHEMA.remove(0), id="a column missing"),
        pytest.param(SCHEMA.append(pa.field("more", pa.int64())), id="a column more"),
        pytest.param(SCHEMA.set(4, pa.field("n_ignored", pa.float64())), id="another type"),
        pytest.param(SCHEMA.set(13, pa.field("histogram_foreground", pa.list_(pa.int64(), 64))), id="64 bins"),
    ],
)
def test_another_schema_is_refused(store: ObjectStore, schema: pa.Schema) -> None:
    sink = io.BytesIO()
    pq.write_table(schema.empty_table(), sink)
    with pytest.raises(ValueError, match=r"part predict/abababababab: expected the columns"):
        read_part(store, _commit(store, sink.getvalue()))


def test_a_damaged_part_is_refused(store: ObjectStore) -> None:
    entry = _commit(store, encode_part([_row("a", 0)]))
    store.write(f"{entry.path}/rows.parquet", encode_part([_row("b", 0)]))
    with pytest.raises(ValueError, match=r"rows\.parquet is damaged"):
        read_part(store, entry)


def test_only_histograms_are_compressed_hard_and_only_texts_listed_once() -> None:
    group = pq.ParquetFile(io.BytesIO(encode_part([_row("a", 0), _row("a", 1)]))).metadata.row_group(0)
    columns = {column["path_in_schema"]: column for column in group.to_dict()["columns"]}
    assert {name.partition(".")[0] for name, column in columns.items() if column["compression"] == "ZSTD"} == {
        *HISTOGRAMS
    }
    texts = {field.name for field in SCHEMA if pa.types.is_string(field.type)}
    assert {name for name, column in columns.items() if "RLE_DICTIONARY" in column["encodings"]} == texts


def test_histograms_of_chosen_rows() -> None:
    ones = [1] * BINS
    rows = [_row("a", 0), _row("a", 1), _row("b", 0), _row("b", 1, histogram_foreground=ones), _failed("c")]
    table = pq.read_table(io.BytesIO(encode_part(rows)))
    chosen = table.filter(pa.array([False, True, False, True, False]))
    found = histogram(chosen, "histogram_foreground")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [np.arange(BINS), ones])
    np.testing.assert_array_equal(histogram(chosen.slice(1), "histogram_foreground"), [ones])


def test_rows_without_a_histogram_are_refused() -> None:
    table = pq.read_table(io.BytesIO(encode_part([_row("a", 0), _row("a", 1), _failed("b")])))
    with pytest.raises(ValueError, match=r"histogram_background: .* 2 of 3 have none"):
        histogram(table, "histogram_background")
