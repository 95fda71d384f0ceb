import io
import json
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segscale.errors import ReportError
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report, encode_report_table, open_report, open_runs, write_report
from segscale.storage.tables import encode_frame

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
    assert pq.read_schema(tmp_path / "per_image.parquet").metadata[b"schema_version"] == b"4"


def test_arrow_tables_are_laid_out_byte_by_byte() -> None:
    table = pa.table({"image_id": ["a"], "predicted_001": pa.array([3], pa.int32()), "n": pa.array([3], pa.int64())})
    data = encode_report_table(table)
    columns = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    encoded = {columns.column(n).path_in_schema: columns.column(n).encodings for n in range(3)}
    assert [name for name, encodings in encoded.items() if "BYTE_STREAM_SPLIT" in encodings] == ["predicted_001"]
    assert pq.read_schema(io.BytesIO(data)).metadata[b"schema_version"] == b"4"
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
        pytest.param(b"[" * 100_000, "damaged: expected JSON", id="nested without end"),
        pytest.param(b"1" * 5000, "damaged: expected JSON", id="a number without end"),
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
    with pytest.raises(ReportError, match=r"got 'thresholds'; there are gap\.parquet, per_image\.parquet"):
        _write(store).table("thresholds")


def test_writing_again_replaces_the_report(store: ObjectStore) -> None:
    _write(store)
    report = write_report(store, {"per_image.parquet": encode_report_table(FRAME.iloc[:1])}, {"run_id": "2"})
    assert len(report.table("per_image")) == 1
    assert report.is_whole()
    with pytest.raises(ReportError, match="expected a table of"):
        report.table("gap")


@pytest.mark.parametrize(
    ("content", "stays"),
    [("same", True), ("other", False), (None, False)],
    ids=["another driver's, of the same content", "of another content", "of unknown content"],
)
def test_only_a_report_of_the_same_content_can_be_read_while_it_is_written_again(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, content: str | None, stays: bool
) -> None:
    contents = {"per_image.parquet": encode_report_table(FRAME)}
    write_report(store, contents, {"run_id": "0a1b", "content_sha256": "same"})
    seen: list[bool] = []
    write = ObjectStore.write

    def watched(self: ObjectStore, path: str, data: bytes) -> object:
        seen.append(Report(self).is_whole())
        return write(self, path, data)

    monkeypatch.setattr(ObjectStore, "write", watched)
    report = write_report(store, contents, {"run_id": "0a1b"} | ({"content_sha256": content} if content else {}))
    assert seen == [stays, stays]
    assert report.is_whole()


def test_equal_reports_are_equal_bytes(store: ObjectStore) -> None:
    _write(store)
    first = store.read("run.json")
    _write(store)
    assert store.read("run.json") == first
    assert json.loads(first)["files"]["gap.parquet"]["size_bytes"] == len(store.read("gap.parquet"))


IDENTIFIED = pd.DataFrame({"run_id": "0a1b", "image_id": ["a", "b"], "predicted_001": np.array([7, 8], np.int32)})


def _write_run(url: str, run_id: str = "0a1b", **tables: pd.DataFrame | pa.Table) -> Report:
    contents = {f"{name}.parquet": encode_report_table(frame) for name, frame in tables.items()}
    return write_report(ObjectStore(url), contents, {"run_id": run_id})


def test_columns_are_read_alone(store: ObjectStore) -> None:
    report = _write_run(store.url, thresholds=IDENTIFIED)
    assert report.columns("thresholds") == ["run_id", "image_id", "predicted_001"]
    found = report.table("thresholds", columns=["predicted_001", "image_id"])
    pd.testing.assert_frame_equal(found, IDENTIFIED[["predicted_001", "image_id"]])


def test_reading_columns_does_not_read_the_rest(tmp_path: Path) -> None:
    rows = 20_000
    values = {f"predicted_{k:03d}": np.random.default_rng(k).integers(0, 2**30, rows, np.int32) for k in range(1, 9)}
    report = _write_run(str(tmp_path), thresholds=pa.table({"run_id": ["0a1b"] * rows, **values}))
    file = tmp_path / "thresholds.parquet"
    data = bytearray(file.read_bytes())
    column = pq.read_metadata(file).row_group(0).column(8)
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    file.write_bytes(data)
    assert report.table("thresholds", ["predicted_001"])["predicted_001"].tolist() == values["predicted_001"].tolist()
    with pytest.raises(ReportError, match=r"thresholds\.parquet is damaged"):
        report.table("thresholds", ["predicted_008"])
    with pytest.raises(ReportError, match=r"thresholds\.parquet is damaged"):
        report.table("thresholds")
    assert not report.is_whole()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(encode_report_table(IDENTIFIED)[:-9], "is damaged or no Parquet file", id="torn off"),
        pytest.param(b"", "is damaged", id="emptied"),
        pytest.param(encode_report_table(IDENTIFIED.assign(more=1)), "is damaged: committed", id="another table"),
        pytest.param(
            encode_report_table(IDENTIFIED.assign(run_id="9f9f")), "is of run '9f9f', not of '0a1b'", id="another run"
        ),
        pytest.param(
            encode_report_table(IDENTIFIED.iloc[:1].assign(run_id="9f9f", more=1)), "is of run '9f9f', not of '0a1b'",
            id="another table of another run",
        ),
        pytest.param(encode_frame(IDENTIFIED), "is foreign: expected a table of a Segscale report", id="foreign"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("columns", [None, ["image_id"]], ids=["whole", "columns"])
def test_another_file_in_the_place_is_refused(
    store: ObjectStore, data: bytes, words: str, columns: list[str] | None
) -> None:
    report = _write_run(store.url, thresholds=IDENTIFIED)
    store.write("thresholds.parquet", data)
    with pytest.raises(ReportError, match=words) as caught:
        report.table("thresholds", columns)
    assert f"{store.url}/thresholds.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_a_footer_is_noticed(store: ObjectStore) -> None:
    """pandas fails with errors of all kinds, reads other types, or the process ends where pyarrow trusts a footer."""
    frame = IDENTIFIED.assign(n=pd.array([4, None], "Int64"), m=pd.array([4, 7], "Int64"), head=["x", "y"])
    report = _write_run(store.url, gap=frame)
    data = store.read("gap.parquet")
    footer = int.from_bytes(data[-8:-4], "little") + 8
    for bit in np.random.default_rng(0).permutation(8 * footer)[:150]:
        place = len(data) - 1 - bit // 8
        store.write("gap.parquet", data[:place] + bytes([data[place] ^ 1 << bit % 8]) + data[place + 1 :])
        with pytest.raises(ReportError, match=r"gap\.parquet"):
            report.table("gap", ["image_id", "n", "m", "head"])
    store.write("gap.parquet", data)
    pd.testing.assert_frame_equal(report.table("gap", ["n", "m"]), frame[["n", "m"]])


def test_files_that_cannot_be_read_are_named(store: ObjectStore) -> None:
    report = write_report(store, {"gap.parquet": b"no parquet"}, {"run_id": "0a1b"})
    for columns in (None, ["gap"]):
        with pytest.raises(ReportError, match=r"gap\.parquet (is damaged or no Parquet|cannot be read)"):
            report.table("gap", columns)


@pytest.mark.parametrize("columns", [None, ["image_id"]], ids=["whole", "columns"])
@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        pytest.param({}, "is foreign: expected a table of a Segscale report", id="foreign Parquet"),
        pytest.param({"schema_version": "5"}, "has schema_version 5, this Segscale reads up to 4", id="too new"),
    ],
)
def test_foreign_and_newer_tables_are_refused(
    store: ObjectStore, metadata: dict[str, str], words: str, columns: list[str] | None
) -> None:
    contents = {"gap.parquet": encode_frame(IDENTIFIED, metadata=metadata)}
    report = write_report(store, contents, {"run_id": "0a1b"})
    with pytest.raises(ReportError, match=words) as caught:
        report.table("gap", columns)
    assert f"{store.url}/gap.parquet" in str(caught.value)


@pytest.mark.parametrize("columns", [None, ["image_id"]], ids=["whole", "columns"])
def test_a_lost_or_unknown_table(store: ObjectStore, columns: list[str] | None) -> None:
    report = _write_run(store.url, gap=IDENTIFIED)
    with pytest.raises(ReportError, match=r"got 'thresholds'; there are gap\.parquet"):
        report.table("thresholds", columns)
    store.remove("gap.parquet")
    with pytest.raises(ReportError, match=r"gap\.parquet stands in run\.json and is missing"):
        report.table("gap", columns)


def test_a_column_that_is_not_there_is_named(store: ObjectStore) -> None:
    report = _write_run(store.url, gap=IDENTIFIED)
    with pytest.raises(ReportError, match=r"expected columns of \['run_id', 'image_id'.*\], got \['dice'\]"):
        report.table("gap", ["image_id", "dice"])


def _gap(run_id: str, gap: float, **more: object) -> pd.DataFrame:
    return pd.DataFrame({"run_id": [run_id], "n_failed": pd.array([None], dtype="Int64"), "gap": [gap], **more})


@pytest.fixture
def runs(store: ObjectStore) -> ObjectStore:
    _write_run(f"{store.url}/nuclei/b", "b", gap=_gap("b", 0.2))
    _write_run(f"{store.url}/nuclei/a", "a", gap=_gap("a", 0.1), thresholds=_gap("a", 0.0))
    _write_run(f"{store.url}/lesions/c", "c", gap=_gap("c", 0.3, site="north"))
    store.write("nuclei/unfinished/gap.parquet", encode_report_table(_gap("u", 0.9)))
    return store


@pytest.mark.parametrize(
    ("below", "table", "run_ids"),
    [
        pytest.param("", "gap", ["c", "a", "b"], id="a root"),
        pytest.param("/nuclei", "gap", ["a", "b"], id="a data set"),
        pytest.param("/nuclei/b/", "gap", ["b"], id="a run"),
        pytest.param("", "thresholds", ["a"], id="a table that some did not write"),
    ],
)
def test_all_finished_runs_below_one_another(runs: ObjectStore, below: str, table: str, run_ids: list[str]) -> None:
    found = open_runs(f"{runs.url}{below}", table)
    assert found["run_id"].tolist() == run_ids
    assert found.index.tolist() == list(range(len(run_ids)))
    assert found["n_failed"].dtype == "Int64"


def test_columns_that_only_some_runs_have_are_null_in_the_others(runs: ObjectStore) -> None:
    found = open_runs(runs.url, "gap")
    assert found["site"].notna().tolist() == [True, False, False]
    assert open_runs(runs.url, "gap", ["gap"])["gap"].tolist() == [0.3, 0.1, 0.2]


@pytest.mark.parametrize(
    ("below", "table", "words"),
    [
        pytest.param("/nothing", "gap", "expected finished runs .* found none", id="no runs"),
        pytest.param("/nuclei/unfinished", "gap", "expected finished runs .* found none", id="an unfinished run"),
        pytest.param("", "scores", "got 'scores'; there are .*per_image", id="no such table"),
        pytest.param("", "failures", r"none of the 3 finished runs has failures\.parquet", id="nobody wrote it"),
    ],
)
def test_runs_that_are_not_there(runs: ObjectStore, below: str, table: str, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        open_runs(f"{runs.url}{below}", table)


def test_a_damaged_run_is_not_skipped(runs: ObjectStore) -> None:
    runs.write("nuclei/a/gap.parquet", b"PAR1")
    with pytest.raises(ReportError, match=r"nuclei/a/gap\.parquet is damaged"):
        open_runs(runs.url, "gap")
