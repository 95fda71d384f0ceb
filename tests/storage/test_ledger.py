import random
import re
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.storage.ledger import Entry, Ledger, content_key, fresh_attempt
from segscale.storage.objects import Digest, ObjectStore

KEY = "ab" * 32
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def _written(store: ObjectStore, key: str, data: bytes = b"rows") -> Entry:
    """An attempt whose objects are there and that nobody has committed yet."""
    path = fresh_attempt("ingest", key)
    return Entry("ingest", key, path, {"rows.parquet": store.write(f"{path}/rows.parquet", data)}, {"n_images": 3})


@pytest.mark.parametrize(
    ("content", "key"),
    [
        pytest.param({}, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", id="sha256 of {}"),
        pytest.param(
            {"b": [1, 2.5, "ü", None, True], "a": {"window": (0.0, 1.0)}},
            "17ca8419121d4fe9f42e31ac56363e7e4a55aa53c0fd4ee659d710052ef616ac",
            id="every kind of value",
        ),
    ],
)
def test_keys_never_change(content: dict[str, Any], key: str) -> None:
    # A new literal here means that every committed shard of every store is done again.
    assert content_key(content) == key


@given(content=st.dictionaries(st.text(), JSON, max_size=5), seed=st.integers(0, 99))
def test_the_order_of_names_is_no_content(content: dict[str, Any], seed: int) -> None:
    names = list(content)
    random.Random(seed).shuffle(names)
    shuffled = {name: content[name] for name in names}
    assert content_key(shuffled) == content_key(content)
    assert content_key({"outer": shuffled}) == content_key({"outer": content})
    assert re.fullmatch("[0-9a-f]{64}", content_key(content))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(["a", "b"], ["b", "a"], id="order of a list"),
        pytest.param(["ab"], ["a", "b"], id="where a text ends"),
        pytest.param(1, "1", id="number or text"),
        pytest.param(0, False, id="number or truth"),
        pytest.param(None, "", id="nothing or empty"),
        pytest.param(0.1, 0.1 + 2**-56, id="last bit of a float"),
        pytest.param("é", "e\u0301", id="composed or not: two file names"),
        pytest.param({"a": None}, {}, id="a name without a value"),
    ],
)
def test_other_content_has_another_key(one: object, other: object) -> None:
    assert content_key({"x": one}) != content_key({"x": other})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, {"deep": float("nan")}]])
def test_what_is_not_equal_to_itself_has_no_key(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        content_key({"x": value})


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), np.int64(3)], ids=["set", "bytes", "object", "numpy"])
def test_a_value_without_a_lasting_text_has_no_key(value: object) -> None:
    with pytest.raises(TypeError):
        content_key({"x": value})


def test_attempts_never_share_a_path() -> None:
    paths = {fresh_attempt("ingest", KEY) for _ in range(1000)}
    assert len(paths) == 1000
    assert all(path.startswith(f"shards/ingest/ab/{KEY}/") for path in paths)


def test_a_commit_is_read_back(store: ObjectStore) -> None:
    ledger, entry = Ledger(store), _written(store, KEY)
    assert ledger.find("ingest", KEY) is None
    assert ledger.commit(entry) == entry
    assert ledger.read("ingest", KEY) == entry == ledger.find("ingest", KEY)
    assert isinstance(ledger.read("ingest", KEY).objects["rows.parquet"], Digest)


def test_nothing_committed_is_not_found(store: ObjectStore) -> None:
    assert Ledger(store).done("ingest") == frozenset()
    with pytest.raises(FileNotFoundError):
        Ledger(store).read("ingest", KEY)


def test_objects_without_a_commit_are_not_done(store: ObjectStore) -> None:
    _written(store, KEY)
    assert Ledger(store).done("ingest") == frozenset()
    assert Ledger(store).find("ingest", KEY) is None


def test_done_lists_one_stage_and_records_only(store: ObjectStore) -> None:
    ledger = Ledger(store)
    ledger.commit(_written(store, "a1"))
    ledger.commit(_written(store, "b2"))
    ledger.record("plan", "c3", {})
    store.write("ledger/ingest/readme.txt", b"")
    store.write("ledger/ingest/folder/d4.json", b"{}")
    assert ledger.done("ingest") == {"a1", "b2"}
    assert ledger.done("plan") == {"c3"}


def test_the_first_commit_stands_and_the_loser_leaves_nothing(store: ObjectStore) -> None:
    ledger = Ledger(store)
    first, second = _written(store, KEY), _written(store, KEY)
    assert ledger.commit(second) == second
    assert ledger.commit(first) == second
    assert store.read_checked(f"{second.path}/rows.parquet", second.objects["rows.parquet"]) == b"rows"
    assert not store.exists(f"{first.path}/rows.parquet")


def test_committing_the_same_attempt_again_keeps_it(store: ObjectStore) -> None:
    # What a worker does whose answer was lost on the way.
    ledger, entry = Ledger(store), _written(store, KEY)
    assert ledger.commit(entry) == ledger.commit(entry) == entry
    assert store.exists(f"{entry.path}/rows.parquet")


@pytest.mark.parametrize("gone", [["rows.parquet"], ["rows.parquet", "arrays.zarr/zarr.json"]], ids=["one", "all"])
def test_an_attempt_that_was_removed_is_not_committed(store: ObjectStore, gone: list[str]) -> None:
    # What a worker does that was suspended for so long that its attempt was cleaned away.
    path = fresh_attempt("ingest", KEY)
    objects = {name: store.write(f"{path}/{name}", b"x") for name in ("rows.parquet", "arrays.zarr/zarr.json")}
    for name in gone:
        store.remove(f"{path}/{name}")
    with pytest.raises(
        OSError, match=f"{path}: expected the 2 objects .*{sorted(gone)[0]} is gone.*nothing is committed"
    ):
        Ledger(store).commit(Entry("ingest", KEY, path, objects, {}))
    assert Ledger(store).done("ingest") == frozenset()


def test_the_first_facts_stand_and_nothing_is_removed(store: ObjectStore) -> None:
    ledger, entry = Ledger(store), _written(store, KEY)
    assert ledger.record("plan", "p", {"heads": ["last"]}).facts == {"heads": ["last"]}
    standing = ledger.record("plan", "p", {"heads": ["other"]})
    assert standing == Entry("plan", "p", "", {}, {"heads": ["last"]})
    assert store.exists(f"{entry.path}/rows.parquet")


def test_facts_that_no_reader_would_get_back_are_refused(store: ObjectStore) -> None:
    with pytest.raises(TypeError):
        Ledger(store).record("plan", "p", {"n": np.int64(1)})
    assert Ledger(store).done("plan") == frozenset()


def test_racing_workers_agree_on_one_attempt(tmp_path: Path) -> None:
    store, keys, workers = ObjectStore(str(tmp_path)), [f"{number:064x}" for number in range(4)], 10
    barrier = threading.Barrier(workers)
    agreed: dict[str, set[str]] = {key: set() for key in keys}

    def work() -> None:
        for key in keys:
            entry = _written(store, key)
            barrier.wait()
            agreed[key].add(Ledger(store).commit(entry).path)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in keys:
        (path,) = agreed[key]
        assert [str(file.parent.relative_to(tmp_path)) for file in tmp_path.glob(f"shards/*/*/{key}/*/*")] == [path]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="emptied"),
        pytest.param(b'{"stage": "inge', id="torn off"),
        pytest.param(b"\0" * 100, id="zeroed"),
        pytest.param(b"[]", id="other JSON"),
        pytest.param(b'{"stage": "ingest", "key": "ab"}', id="names missing"),
    ],
)
def test_a_damaged_record_is_named(store: ObjectStore, damage: bytes) -> None:
    Ledger(store).commit(_written(store, KEY))
    store.write(f"ledger/ingest/{KEY}.json", damage)
    with pytest.raises(ValueError, match=f"ledger/ingest/{KEY}.* is no commit record .*segscale repair"):
        Ledger(store).read("ingest", KEY)
