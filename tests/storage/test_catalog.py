import uuid
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.storage.catalog import (
    COLUMNS,
    SHARD_BYTES,
    SPACING,
    catalog_sha256,
    group_columns,
    pack,
    read_catalog,
    read_planned,
    rows_by_shard,
    shard_capacity,
    write_catalog,
)
from segscale.storage.ledger import content_key
from segscale.storage.objects import ObjectStore

NAMES = st.text(alphabet="abcdefgh0123_é", min_size=1, max_size=6)
SETS = st.dictionaries(NAMES, st.integers(1, 9), max_size=60)  # image ids with their slices
CAPACITIES = st.integers(1, 12)
Shards = set[frozenset[str]]


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}")


def _pack(images: dict[str, int], capacity: int) -> Shards:
    names = list(images)
    return {frozenset(names[place] for place in leaf) for leaf in pack(names, list(images.values()), capacity)}


@given(images=SETS, capacity=CAPACITIES)
def test_every_image_is_in_exactly_one_shard(images: dict[str, int], capacity: int) -> None:
    leaves = pack(list(images), list(images.values()), capacity)
    assert sorted(place for leaf in leaves for place in leaf) == list(range(len(images)))
    assert all(leaves), "an empty shard"


@given(images=SETS, capacity=CAPACITIES)
def test_no_shard_is_too_large_unless_one_image_is(images: dict[str, int], capacity: int) -> None:
    for shard in _pack(images, capacity):
        assert len(shard) == 1 or sum(images[name] for name in shard) <= capacity


@given(images=SETS, capacity=CAPACITIES, data=st.data())
def test_the_order_of_the_listing_does_not_matter(images: dict[str, int], capacity: int, data: st.DataObject) -> None:
    names = data.draw(st.permutations(list(images)))
    shuffled = [[names[place] for place in leaf] for leaf in pack(names, [images[n] for n in names], capacity)]
    listed = list(images)
    assert shuffled == [[listed[place] for place in leaf] for leaf in pack(listed, list(images.values()), capacity)]


@given(images=SETS, capacity=CAPACITIES, name=NAMES, slices=st.integers(1, 9))
def test_one_more_image_touches_one_shard(images: dict[str, int], capacity: int, name: str, slices: int) -> None:
    """Adding cuts at most one shard, into pieces that hold its images and the new one; removing is the reverse."""
    without = {other: depth for other, depth in images.items() if other != name}
    before, after = _pack(without, capacity), _pack({**without, name: slices}, capacity)
    assert len(before - after) <= 1
    assert _images_of(after - before) == _images_of(before - after) | {name}


@given(
    images=SETS,
    capacity=CAPACITIES,
    added=SETS,
    removed=st.sets(NAMES, max_size=5),
    deepened=st.sets(NAMES, max_size=5),
)
def test_k_changes_leave_all_other_shards_alone(
    images: dict[str, int], capacity: int, added: dict[str, int], removed: set[str], deepened: set[str]
) -> None:
    """Whatever is cut anew holds the same unchanged images as before, and falls into at most k separate groups."""
    changed = {name: depth for name, depth in {**images, **added}.items() if name not in removed}
    changed |= {name: changed[name] + 1 for name in deepened & changed.keys()}
    touched = {name for name in images.keys() | changed.keys() if images.get(name) != changed.get(name)}
    before, after = _pack(images, capacity), _pack(changed, capacity)
    gone, made = before - after, after - before
    assert _images_of(gone) - touched == _images_of(made) - touched
    groups = [group for group in _connected(gone | made) if group - touched]
    assert len(groups) <= len(touched)


def _images_of(shards: Shards) -> set[str]:
    return {name for shard in shards for name in shard}


def _connected(shards: Shards) -> list[set[str]]:
    """The images of shards that overlap directly or through others."""
    groups: list[set[str]] = []
    for shard in shards:
        touching = [group for group in groups if group & shard]
        groups = [group for group in groups if not group & shard] + [set(shard).union(*touching)]
    return groups


def test_an_image_larger_than_a_shard_stands_alone() -> None:
    shards = _pack({"a": 1, "b": 100, "c": 1, "d": 7}, 8)
    assert frozenset({"b"}) in shards
    assert all(len(shard) == 1 or "b" not in shard for shard in shards)


def test_a_set_that_fits_is_one_shard_in_the_order_of_the_hashes() -> None:
    # sha256 of b, c, a begins with 3e, 2e, ca.
    assert pack(["a", "b", "c"], [1, 1, 1], 3) == [[2, 1, 0]]
    assert pack(["a", "b", "c"], [1, 1, 1], 2) == [[2, 1], [0]]
    assert pack([], [], 3) == []


def test_shards_are_reasonably_full() -> None:
    names = [f"image_{number:04d}" for number in range(3000)]
    assert len(pack(names, [1] * 3000, 100)) <= 2 * 3000 / 100


@pytest.mark.parametrize("capacity", [0, -1])
def test_no_capacity_is_an_error(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"capacity: expected at least 1 slice, got {capacity}"):
        pack(["a"], [1], capacity)


@pytest.mark.parametrize(
    ("shard_images", "slice_bytes", "capacity"),
    [
        pytest.param(128, 256 * 256 * 4, 128, id="as configured"),
        pytest.param(128, 10_000_000, 12, id="128 MB hold 12"),
        pytest.param(128, SHARD_BYTES, 1, id="exactly one"),
        pytest.param(128, SHARD_BYTES + 1, 1, id="one that is larger"),
        pytest.param(1, 1, 1, id="one a shard"),
    ],
)
def test_shard_capacity(shard_images: int, slice_bytes: int, capacity: int) -> None:
    assert shard_capacity(shard_images, slice_bytes) == capacity


def _catalog(shards: Sequence[str] = ("s1", "s0", "s1"), rows: Sequence[int] = (1, 0, 0)) -> pd.DataFrame:
    catalog = pd.DataFrame({name: [""] * len(shards) for name in COLUMNS}).assign(**dict.fromkeys(SPACING, 0.5))
    sizes = ["depth", "height", "width", "channels", "padded_height", "padded_width"]
    catalog[sizes] = 4
    catalog["image_id"] = [f"image {number}" for number in range(len(shards))]
    return catalog.assign(shard=list(shards), row=list(rows), image="file:///x/a.png")


def test_a_catalog_is_replaced_whole(store: ObjectStore) -> None:
    assert read_catalog(store, "nuclei-1") is None
    write_catalog(store, "nuclei-1", _catalog())
    write_catalog(store, "nuclei-1", _catalog(["s"], [0]))
    read = read_catalog(store, "nuclei-1")
    assert read is not None
    pd.testing.assert_frame_equal(read, _catalog(["s"], [0]))
    assert read_catalog(store, "nuclei") is None


def test_a_catalog_is_taken_for_what_it_was_planned_from(store: ObjectStore) -> None:
    catalog = _catalog().assign(site=pd.array(["x", None, "y"], dtype="str"), age=[1.5, np.nan, 3.0])
    assert read_planned(store, "c", "a" * 64) is None
    write_catalog(store, "c", catalog)
    assert read_planned(store, "c", "a" * 64) is None
    write_catalog(store, "c", catalog, "a" * 64)
    assert read_planned(store, "c", "b" * 64) is None
    planned = read_planned(store, "c", "a" * 64)
    assert planned is not None
    pd.testing.assert_frame_equal(planned, catalog)


def test_a_damaged_catalog_is_never_taken_for_another(store: ObjectStore) -> None:
    catalog = _catalog()
    write_catalog(store, "c", catalog, "a" * 64)
    data = store.read("catalog/c.parquet")
    unharmed = 0
    for place in range(0, len(data), 23):
        store.write("catalog/c.parquet", data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        planned = read_planned(store, "c", "a" * 64)
        if planned is not None:
            # In what nobody reads: statistics, offsets of an index.
            pd.testing.assert_frame_equal(planned, catalog)
            unharmed += 1
    assert unharmed < len(data) / 23


@pytest.mark.parametrize("index", [[0, 1, 2, 3, 4], [9, 3, 7, 1, 5]], ids=["plain", "of a filtered table"])
def test_shards_list_their_images_row_by_row(index: list[int]) -> None:
    catalog = _catalog(["b", "a", "b", "a", "b"], [4, 1, 0, 0, 2]).set_axis(pd.Index(index))
    found = rows_by_shard(catalog)
    assert list(found) == ["a", "b"]
    assert {key: list(rows) for key, rows in found.items()} == {"a": [3, 1], "b": [2, 4, 0]}


def test_an_empty_catalog_has_no_shards() -> None:
    assert rows_by_shard(_catalog([], [])) == {}


def test_group_columns_keep_their_order() -> None:
    assert group_columns(_catalog().assign(site="x", patient_id="y")) == ["site", "patient_id"]


def test_a_catalog_hash_is_repeatable_and_of_no_path(store: ObjectStore) -> None:
    catalog = _catalog().assign(age=[1.5, np.nan, 3.0], site=pd.array(["x", None, "y"], dtype="str"))
    write_catalog(store, "c", catalog)
    read = read_catalog(store, "c")
    assert read is not None
    assert catalog_sha256(read) == catalog_sha256(catalog)
    assert catalog_sha256(catalog.assign(image="s3://elsewhere/a.png")) == catalog_sha256(catalog)
    # Messages hold the names of files, so a renamed file is another report.
    assert catalog_sha256(catalog.assign(image="file:///x/b.png")) != catalog_sha256(catalog)
    assert catalog_sha256(catalog[catalog.columns[::-1]]) == catalog_sha256(catalog)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("image_id", ["image 0", "image 1", "other"]),
        ("image_sha256", ["", "", "ff"]),
        ("reference_sha256", ["ff", "", ""]),
        ("prediction_sha256", ["", "ff", ""]),
        ("error", ["", "", "unreadable"]),
        ("site", ["x", "y", "y"]),
        ("spacing_d_mm", [0.5, 0.5, 2.0]),
        ("mask_sha256", ["", "", "ff"]),
    ],
)
def test_what_changes_a_number_or_a_label_changes_the_hash(column: str, values: list[str]) -> None:
    catalog = _catalog().assign(site="x")
    assert catalog_sha256(catalog.assign(**{column: values})) != catalog_sha256(catalog)


def test_the_order_of_images_is_part_of_the_hash() -> None:
    # Batch-summed scores depend on it.
    catalog = _catalog()
    assert catalog_sha256(catalog.iloc[::-1]) != catalog_sha256(catalog)


def test_the_cut_into_shards_is_no_part_of_the_hash() -> None:
    # shard_images changes how the work is cut, and no number and no label.
    other = _catalog(["t0", "t1", "t2"], [0, 0, 0])
    assert catalog_sha256(other) == catalog_sha256(_catalog())


@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(['"', '","', "\\", "\x7f", ""]), max_size=4
    )
)
def test_texts_are_hashed_as_a_content_key_is(texts: list[str]) -> None:
    catalog = pd.DataFrame({"error": pd.Series(texts, dtype="str"), "width": range(len(texts))})
    columns = {"error": texts, "width": list(range(len(texts)))}
    assert catalog_sha256(catalog) == content_key({"columns": columns})


def test_a_group_without_end_has_a_hash() -> None:
    catalog = _catalog().assign(time_to_event=[1.0, np.inf, -np.inf])
    assert catalog_sha256(catalog) != catalog_sha256(catalog.assign(time_to_event=0.0))


def test_what_no_picture_has_is_no_part_of_its_hash() -> None:
    pictures = _catalog().assign(**dict.fromkeys(SPACING, np.nan))
    before = pictures.drop(columns=[*SPACING, "direction", "origin", "mask", "mask_sha256"])
    assert catalog_sha256(pictures) == catalog_sha256(before)
