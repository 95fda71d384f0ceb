import uuid
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.storage.objects import ObjectStore
from segscale.storage.source_memory import MEMORY_COLUMNS, SourceMemory, places_among


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}")


def _facts(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    """Facts of files, given as (url, version, sha256, height)."""
    table = pd.DataFrame(list(rows), columns=["url", "version", "sha256", "height"])
    seen: dict[str, Any] = {
        "depth": 1,
        "width": 9,
        "channels": 1,
        "dtype": "uint8",
        "orientation": 0,
        "stated_maximum": 0,
        "place": "",
    }
    return table.assign(role="image", error_type="", error="", **seen)


def test_a_fresh_store_remembers_nothing(store: ObjectStore) -> None:
    known = SourceMemory(store, 1).recall()
    assert list(known.columns) == list(MEMORY_COLUMNS)
    assert known.empty


def test_files_are_remembered_by_url_and_version(store: ObjectStore) -> None:
    memory = SourceMemory(store, 1)
    memory.remember(_facts(("a", "1", "aa", 3), ("b", "1", "bb", 4)))
    memory.remember(_facts(("a", "2", "ab", 5)).assign(extra=1))
    known = memory.recall().set_index(["url", "version"])["sha256"].to_dict()
    assert known == {("a", "1"): "aa", ("b", "1"): "bb", ("a", "2"): "ab"}
    assert len(store.names("catalog/sources-1")) == 2


def test_what_is_known_is_not_written_twice(store: ObjectStore) -> None:
    memory = SourceMemory(store, 1)
    for _ in range(3):
        memory.remember(_facts(("a", "1", "aa", 3)))
    assert len(store.names("catalog/sources-1")) == 1
    assert len(memory.recall()) == 1


def test_a_file_seen_as_image_and_as_reference_keeps_its_size(store: ObjectStore) -> None:
    # Of a reference only the hash is looked at; one data set's reference may be another's image.
    memory, urls = SourceMemory(store, 1), [f"file:///{letter}.png" for letter in "abcdefgh"]
    for number, url in enumerate(urls):
        for height in (0, 7) if number % 2 else (7, 0):
            role = "image" if height else "reference"
            memory.remember(_facts((url, "1", "aa", height)).assign(role=role, dtype="uint8" if height else ""))
    known = memory.recall().set_index(["role", "url"])
    assert [known.loc[("image", url), "height"] for url in urls] == [7] * len(urls)
    assert [known.loc[("reference", url), "height"] for url in urls] == [0] * len(urls)


def test_what_is_forgotten_is_not_recalled(store: ObjectStore) -> None:
    memory = SourceMemory(store, 1)
    memory.remember(_facts(("a", "1", "aa", 3), ("b", "1", "bb", 4)))
    memory.remember(_facts(("a", "2", "ab", 5)))
    memory.remember(_facts(("c", "1", "cc", 5)))
    assert memory.forget(["a", "unknown"]) == 2
    assert sorted(memory.recall()["url"]) == ["b", "c"]
    memory.remember(_facts(("a", "1", "other", 3)))
    assert memory.recall().set_index("url")["sha256"].to_dict() == {"a": "other", "b": "bb", "c": "cc"}
    assert memory.forget([]) == 0


def test_facts_of_other_code_are_not_believed(store: ObjectStore) -> None:
    SourceMemory(store, 1).remember(_facts(("a", "1", "aa", 3)))
    assert SourceMemory(store, 2).recall().empty


def test_facts_that_lack_columns_are_refused(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match=r"\['dtype', 'error'\] are missing"):
        SourceMemory(store, 1).remember(_facts(("a", "1", "aa", 3)).drop(columns=["error", "dtype"]))
    assert store.names("catalog/sources-1") == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:20] + bytes([data[20] ^ 4]) + data[21:], lambda data: data[:50], lambda _: b""]
)
def test_a_damaged_memory_is_forgotten_and_made_again(
    store: ObjectStore, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    memory = SourceMemory(store, 1)
    memory.remember(_facts(("a", "1", "aa", 3)))
    (name,) = store.names("catalog/sources-1")
    memory.remember(_facts(("b", "1", "bb", 3)))
    path = f"catalog/sources-1/{name}"
    store.write(path, damage(store.read(path)))
    assert memory.recall()["url"].tolist() == ["b"]
    assert path in caplog.text
    memory.remember(_facts(("a", "1", "aa", 3)))
    assert sorted(memory.recall()["url"]) == ["a", "b"]


@given(
    st.lists(st.sampled_from(["", "a", "b", "ü"]), max_size=6),
    st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=6),
)
def test_places_are_those_of_the_first_of_equal_ones(keys: list[str], known: list[str]) -> None:
    found = places_among(pd.Series(keys, dtype="str"), pd.Series(known, dtype="str"))
    assert found.tolist() == [known.index(key) if key in known else -1 for key in keys]
