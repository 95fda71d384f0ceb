"""The first images of a run: when they end it, and when they do not."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from segscale.errors import FirstImagesError
from segscale.flows.first_images import FIRST, FirstImages, Watch, first_images
from segscale.storage import shards, tables
from segscale.storage.objects import ObjectStore

Rows = dict[str, str]
"""By image id the type of its error, "" for none."""


def _store(**contents: Rows) -> ObjectStore:
    """A store with a committed shard for each name."""
    store = ObjectStore(f"memory://{uuid.uuid4().hex}")
    for key, rows in contents.items():
        errors = [f"{name}.png: it is {kind}" if kind else "" for name, kind in rows.items()]
        frame = pd.DataFrame({"image_id": list(rows), "error_type": list(rows.values()), "error": errors})
        # A part has a row for each class.
        frame = pd.concat([frame, frame]).sort_index(kind="stable")
        facts = {"n_images": len(rows), "n_failed": sum(map(bool, rows.values()))}
        shards.commit_shard(store, "score", key, arrays={}, rows=tables.encode_frame(frame), facts=facts)
    return store


def _watch(store: ObjectStore, first: dict[str, tuple[str, ...]], order: Sequence[str], n_images: int = 100) -> None:
    ids = tuple(sorted(name for of_shard in first.values() for name in of_shard))
    watch = Watch("score", FirstImages(n_images, ids, first), store)
    for key in order:
        watch.look(key)


ALIKE: dict[str, Rows] = {"x": dict.fromkeys("ab", "ValueError"), "y": {"c": "ValueError", "late": ""}}


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_where_all_fail_alike_the_run_ends(order: str) -> None:
    with pytest.raises(FirstImagesError) as caught:
        _watch(_store(**ALIKE), {"x": ("a", "b"), "y": ("c",)}, order)
    message = str(caught.value)
    assert message.startswith("score: all of the first 3 of 100 images failed with ValueError, e.g. a: a.png: it is ")
    assert "no report was written; " in message
    assert "report.max_failure_rate = 1" in message
    assert "\n" not in message


def test_a_small_set_is_all_of_it() -> None:
    with pytest.raises(FirstImagesError, match=r"^score: all 2 images failed with E, e\.g\. a: a\.png: it is E; "):
        _watch(_store(x={"a": "E", "b": "E"}), {"x": ("a", "b")}, "x", n_images=2)


@pytest.mark.parametrize(
    ("contents", "first"),
    [
        pytest.param({"x": {"a": "E", "b": ""}}, {"x": ("a", "b")}, id="one is sound"),
        pytest.param({"x": {"a": "E", "b": "F"}}, {"x": ("a", "b")}, id="for two reasons in a shard"),
        pytest.param({"x": {"a": "E"}, "y": {"b": "F"}}, {"x": ("a",), "y": ("b",)}, id="for two reasons in two"),
        pytest.param({"x": {"a": "E"}, "y": {"b": ""}}, {"x": ("a",), "y": ("b",)}, id="a sound one elsewhere"),
        pytest.param({"x": {"a": "", "late": "E"}}, {"x": ("a",)}, id="another fails"),
        pytest.param({"x": {"a": "E"}}, {"x": ("a",), "y": ("b",)}, id="one is not done"),
        pytest.param({"x": {"a": "E"}}, {}, id="nobody looks"),
    ],
)
def test_otherwise_it_goes_on(contents: dict[str, Rows], first: dict[str, tuple[str, ...]]) -> None:
    _watch(_store(**contents), first, list(contents))


def test_what_is_damaged_is_for_others_to_say() -> None:
    store = _store(x={"a": "E"})
    store.write("ledger/score/x.json", b"torn")
    _watch(store, {"x": ("a",), "gone": ("b",)}, ["x", "gone"])


@pytest.mark.parametrize("n_images", [1, FIRST, FIRST + 20])
def test_they_are_the_first_of_the_catalog(n_images: int) -> None:
    names = [f"i{place:02d}" for place in range(n_images)]
    catalog = pd.DataFrame({"image_id": names, "shard": [f"s{place % 3}" for place in range(n_images)]})
    found = first_images(catalog)
    assert found.n_images == n_images
    assert list(found.by_shard) == sorted(set(catalog["shard"]))
    assert sorted(name for ids in found.by_shard.values() for name in ids) == names[:FIRST]
    moved: Any = first_images(catalog, {f"s{place}": f"t{place}" for place in range(3)})
    assert [key.replace("t", "s") for key in moved.by_shard] == list(found.by_shard)
