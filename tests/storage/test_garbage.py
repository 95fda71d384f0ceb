from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segscale.storage.garbage import COMMITTED, Litter, Standing, by_age, committed_in, remove, sort_files, torn_reports
from segscale.storage.ledger import Entry, Ledger, fresh_attempt, record_path
from segscale.storage.objects import ObjectInfo, ObjectStore
from segscale.storage.set_aside import store_clock

KEY = "ab" * 32
ATTEMPT = f"shards/ingest/ab/{KEY}/{'0' * 16}"
NOW, HOUR = 1_000_000.0, 3600.0

AGES: dict[str, tuple[list[tuple[str, float]], str]] = {
    "an attempt of two hours": ([(f"{ATTEMPT}/rows.parquet", 2)], "old"),
    "an attempt of half an hour": ([(f"{ATTEMPT}/rows.parquet", 0.5)], "young"),
    "an attempt that is still being written": (
        [(f"{ATTEMPT}/arrays.zarr/images/c/0/0", 2), (f"{ATTEMPT}/rows.parquet", 0.1)], "young",
    ),
    "exactly as old as asked for": ([(f"{ATTEMPT}/rows.parquet", 1)], "old"),
    "from the future, for the clock was set back": ([(f"{ATTEMPT}/rows.parquet", -5)], "young"),
    "an unfinished write": ([(f"ledger/ingest/.{KEY}.json.{'1' * 32}.partial", 2)], "old"),
    "an unfinished write of now": ([(f"ledger/ingest/.{KEY}.json.{'1' * 32}.partial", 0)], "young"),
    "an unfinished write within an attempt": ([(f"{ATTEMPT}/.rows.parquet.{'1' * 32}.partial", 2)], "old"),
    "a look whether the store can be written": ([(f".probe-{'1' * 32}", 2)], "old"),
    # The damaged objects are older than the list of findings, which was written when they were set aside.
    "set aside just now": (
        [("set-aside/T-1/findings.json", 0), (f"set-aside/T-1/{ATTEMPT}/rows.parquet", 99)], "young",
    ),
    "set aside yesterday": ([("set-aside/T-1/findings.json", 24), ("set-aside/T-1/ledger/x", 24)], "old"),
    "a record": ([(record_path("ingest", KEY), 99)], "kept"),
    "a catalog": ([(f"catalog/phantom-{'a' * 12}.parquet", 99)], "kept"),
    "what is remembered of sources": ([(f"catalog/sources-2/{'a' * 32}.parquet", 99)], "kept"),
    "a foreign file": ([("notes.txt", 99)], "foreign"),
    "a foreign file in a dead attempt": ([(f"{ATTEMPT}/notes.txt", 99)], "foreign"),
    "a foreign file that only looks unfinished": ([("data/x.partial", 99)], "foreign"),
}  # fmt: skip


@pytest.mark.parametrize("name", AGES)
def test_what_may_go(name: str) -> None:
    files, expected = AGES[name]
    found = sort_files(
        [ObjectInfo(path, 7, datetime.fromtimestamp(NOW - hours * HOUR, UTC)) for path, hours in files], NOW, HOUR
    )
    counts = {"old": len(found.old), "young": len(found.young), "foreign": len(found.foreign)}
    assert counts == {kind: int(kind == expected) for kind in counts}
    for litter in (*found.old, *found.young):
        assert litter.size_bytes == 7 * len(files)


HEX = "1" * 32


@pytest.mark.parametrize(
    ("path", "is_torn"),
    [
        pytest.param(f"night/.run.json.{HEX}.partial", True, id="run.json"),
        pytest.param(f"6b1ae0395e44/.per_image.parquet.{HEX}.partial", True, id="a table"),
        pytest.param(f"night/.report.html.{HEX}.partial", True, id="the page"),
        pytest.param("night/run.json", False, id="a report"),
        pytest.param(f"night/.notes.txt.{HEX}.partial", False, id="of a file that no report has"),
        pytest.param(f"night/run.json.{HEX}.partial", False, id="a name that does not hide"),
        pytest.param("night/.run.json.0123.partial", False, id="of another writer"),
        pytest.param(f"night/kept/.run.json.{HEX}.partial", False, id="in a folder that somebody put there"),
        pytest.param(f".run.json.{HEX}.partial", False, id="in no report"),
    ],
)
def test_torn_writes_beside_reports_are_known_by_their_names(path: str, is_torn: bool) -> None:
    found = torn_reports([ObjectInfo(path, 7, datetime.fromtimestamp(NOW - 2 * HOUR, UTC))])
    assert [item.place for item in found] == [path] * is_torn
    assert by_age(found, NOW, HOUR) == (found, ())
    assert by_age(found, NOW, 3 * HOUR) == ((), found)


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def write_attempt(store: ObjectStore) -> Entry:
    path = fresh_attempt("ingest", KEY)
    return Entry("ingest", KEY, path, {"rows.parquet": store.write(f"{path}/rows.parquet", b"rows")}, {})


def litter_in(store: ObjectStore) -> dict[str, Litter]:
    return {item.place: item for item in sort_files(store.listing(), store_clock(store), 0.0).old}


def test_an_attempt_that_nobody_committed_goes_and_its_folder_with_it(store: ObjectStore) -> None:
    won, dead = write_attempt(store), write_attempt(store)
    Ledger(store).commit(won)
    found = litter_in(store)
    assert set(found) == {won.path, dead.path}
    assert remove(store, found[won.path]) == Standing(COMMITTED)
    assert remove(store, found[dead.path]) == Standing()
    assert not store.exists(dead.path)
    assert [item.path for item in store.listing()] == [record_path("ingest", KEY), f"{won.path}/rows.parquet"]


def test_an_attempt_committed_after_it_was_listed_stays(store: ObjectStore) -> None:
    entry = write_attempt(store)
    (litter,) = litter_in(store).values()
    assert committed_in(store, litter) == Standing()
    Ledger(store).commit(entry)
    assert remove(store, litter) == Standing(COMMITTED)
    assert store.read(f"{entry.path}/rows.parquet") == b"rows"


def test_a_commit_while_its_attempt_is_removed_is_said(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = write_attempt(store)
    (litter,) = litter_in(store).values()
    removed = ObjectStore.remove

    def remove_late(self: ObjectStore, path: str) -> None:
        # Its worker wakes up after the ledger was asked, while the first object is still there.
        if not Ledger(self).done("ingest"):
            Ledger(self).commit(entry)
        removed(self, path)

    monkeypatch.setattr(ObjectStore, "remove", remove_late)
    assert "run segscale repair" in remove(store, litter).reason


def test_a_worker_that_wakes_up_after_its_attempt_went_commits_nothing(store: ObjectStore) -> None:
    entry = write_attempt(store)
    (litter,) = litter_in(store).values()
    assert remove(store, litter) == Standing()
    with pytest.raises(OSError, match=r"rows\.parquet is gone"):
        Ledger(store).commit(entry)
    assert Ledger(store).done("ingest") == frozenset()


def test_an_attempt_stays_where_its_record_cannot_be_read(store: ObjectStore) -> None:
    entry = write_attempt(store)
    store.write(record_path("ingest", KEY), b"{")
    (litter,) = litter_in(store).values()
    assert "damaged" in remove(store, litter).reason
    assert store.read(f"{entry.path}/rows.parquet") == b"rows"


def test_a_file_that_came_into_the_folder_stays(store: ObjectStore) -> None:
    entry = write_attempt(store)
    (litter,) = litter_in(store).values()
    store.write(f"{entry.path}/notes.txt", b"mine")
    assert remove(store, litter) == Standing()
    assert [item.path for item in store.listing()] == [f"{entry.path}/notes.txt"]


def test_ages_go_by_the_clock_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(str(tmp_path / "store"))
    path = Path(store.url) / write_attempt(store).path / "rows.parquet"
    # This machine's clock jumps ten hours ahead; the file system's does not.
    monkeypatch.setattr("time.time", lambda: path.stat().st_mtime + 10 * HOUR)
    (young,) = sort_files(store.listing(), store_clock(store), HOUR).young
    assert young.files[0].path.endswith("rows.parquet")
    hours_ago = path.stat().st_mtime - 2 * HOUR
    os.utime(path, (hours_ago, hours_ago))
    assert len(sort_files(store.listing(), store_clock(store), HOUR).old) == 1
    assert store_clock(store) == pytest.approx(hours_ago + 2 * HOUR, abs=HOUR / 2)
    assert [item.path for item in store.listing()] == [young.files[0].path]
