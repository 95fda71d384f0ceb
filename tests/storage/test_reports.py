import io
import json
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.objects import ObjectStore
from storage.reports import Report, ReportError, encode_report_table, open_report, write_report

FRAME = pd.DataFrame({"image_id": ["a", "b"], "n_pixels": pd.array([4, None], dtype="Int64"), "dice": [0.5, np.nan]})


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "report") if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def _write(store: ObjectStore) -> Report:
    contents = {"per_image.parquet": encode_report_table(FRAME), "gap.parquet": encode_report_table(FRAME.iloc[:1])}
    return write_report(store, contents, {"run_id": "0a1b", "seconds": 1.5})


def test_a_report_is_read_back(store: ObjectStore) -> None:
    written = _write(store)
    report = open_report(store.url)
    assert report == written
    assert report.path == store.url
    pd.testing.assert_frame_equal(report.table("per_image"), FRAME)
    assert report.run()["run_id"] == "0a1b"
    assert sorted(report.run()["files"]) == ["gap.parquet", "per_image.parquet"]
    assert report.is_whole()


def test_plain_pandas_reads_the_tables(tmp_path: Path) -> None:
    _write(ObjectStore(str(tmp_path)))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "per_image.parquet"), FRAME)
    assert pq.read_schema(tmp_path / "per_image.parquet").metadata[b"schema_version"] == b"1"


def test_arrow_tables_are_laid_out_byte_by_byte() -> None:
    table = pa.table({"image_id": ["a"], "predicted_001": pa.array([3], pa.int32()), "n": pa.array([3], pa.int64())})
    data = encode_report_table(table)
    columns = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    encoded = {columns.column(n).path_in_schema: columns.column(n).encodings for n in range(3)}
    assert [name for name, encodings in encoded.items() if "BYTE_STREAM_SPLIT" in encodings] == ["predicted_001"]
    assert pq.read_schema(io.BytesIO(data)).metadata[b"schema_version"] == b"1"
    assert pd.read_parquet(io.BytesIO(data))["predicted_001"].tolist() == [3]


def test_run_json_comes_last(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    write = ObjectStore.write

    def recorded(self: ObjectStore, path: str, data: bytes) -> object:
        order.append(path)
        return write(self, path, data)

    monkeypatch.setattr(ObjectStore, "write", recorded)
    _write(store)
    assert order == ["gap.parquet", "per_image.parquet", "run.json"]


def test_half_a_report_is_none(store: ObjectStore) -> None:
    store.write("per_image.parquet", encode_report_table(FRAME))
    with pytest.raises(ReportError, match=r"expected a report, found no run\.json"):
        open_report(store.url)
    assert not Report(store).is_whole()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param(b"", "damaged: expected JSON", id="emptied"),
        pytest.param(b'{"files": {', "damaged: expected JSON", id="torn off"),
        pytest.param(b"\xff\xfe", "damaged: expected JSON", id="no text"),
        pytest.param(b"[]", "expected the record of a Segscale run", id="a list"),
        pytest.param(b'{"run_id": "x"}', "expected the record of a Segscale run", id="without files"),
        pytest.param(b'{"files": ["per_image.parquet"]}', "expected the record", id="files without digests"),
        pytest.param(b'{"files": {"per_image.parquet": {}}}', "expected the record", id="an empty digest"),
    ],
)
def test_a_damaged_run_record(store: ObjectStore, document: bytes, words: str) -> None:
    _write(store)
    store.write("run.json", document)
    assert not Report(store).is_whole()
    with pytest.raises(ReportError, match=words) as caught:
        open_report(store.url).table("per_image")
    assert store.url in str(caught.value)


def test_a_damaged_table_is_noticed(store: ObjectStore) -> None:
    report = _write(store)
    store.write("gap.parquet", encode_report_table(FRAME))
    assert not report.is_whole()
    with pytest.raises(ReportError, match=r"gap\.parquet is damaged"):
        report.table("gap")
    pd.testing.assert_frame_equal(report.table("per_image"), FRAME)


def test_a_lost_table_is_noticed(store: ObjectStore) -> None:
    report = _write(store)
    store.remove("gap.parquet")
    assert not report.is_whole()
    with pytest.raises(ReportError, match=r"gap\.parquet stands in run\.json and is missing"):
        report.table("gap")


def test_an_unknown_table_is_named(store: ObjectStore) -> None:
    with pytest.raises(
        ReportError, match=r"expected one of \['gap\.parquet', 'per_image\.parquet'\], got 'thresholds'"
    ):
        _write(store).table("thresholds")


def test_writing_again_replaces_the_report(store: ObjectStore) -> None:
    _write(store)
    report = write_report(store, {"per_image.parquet": encode_report_table(FRAME.iloc[:1])}, {"run_id": "2"})
    assert len(report.table("per_image")) == 1
    assert report.is_whole()
    with pytest.raises(ReportError, match="expected one of"):
        report.table("gap")


def test_equal_reports_are_equal_bytes(store: ObjectStore) -> None:
    _write(store)
    first = store.read("run.json")
    _write(store)
    assert store.read("run.json") == first
    assert json.loads(first)["files"]["gap.parquet"]["size_bytes"] == len(store.read("gap.parquet"))
