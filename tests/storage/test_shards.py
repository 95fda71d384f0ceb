import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from segscale.storage.ledger import Entry, Ledger
from segscale.storage.objects import Digest, ObjectStore
from segscale.storage.shards import (
    CHUNK_ROWS,
    ROWS,
    as_numpy,
    commit_shard,
    encode_arrays,
    open_arrays,
    read_object,
    read_rows,
)
from segscale.storage.tables import encode_frame

KEY = "cd" * 32
FRAME = pd.DataFrame({"image_id": ["a", "b"], "start": [0, 2]})
Array = npt.NDArray[Any]


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def _images(dtype: str = "uint8") -> Array:
    """Three images of 4x5 pixels, the middle one all zero."""
    values = np.arange(3 * 4 * 5 * 2).reshape(3, 4, 5, 2).astype(dtype)
    values[1] = 0
    return values


def _commit(store: ObjectStore, **arrays: Array) -> Entry:
    return commit_shard(store, "ingest", KEY, arrays=arrays, rows=encode_frame(FRAME), facts={"n_images": 2})


def test_a_shard_comes_back(store: ObjectStore) -> None:
    entry = _commit(store, images=_images("uint16"), references=_images()[..., 0])
    assert entry == Ledger(store).read("ingest", KEY)
    assert entry.facts == {"n_images": 2}
    images, references = open_arrays(store, entry, "images", "references")
    assert images.dtype == np.uint16
    np.testing.assert_array_equal(as_numpy(images, 0, 3), _images("uint16"))
    np.testing.assert_array_equal(as_numpy(references, 1, 2), _images()[1:2, ..., 0])
    pd.testing.assert_frame_equal(read_rows(store, entry), FRAME)


def test_only_what_was_named_is_fetched(store: ObjectStore) -> None:
    entry = _commit(store, images=_images(), references=_images()[..., 0])
    (name,) = (name for name in entry.objects if "/images/c/" in name)
    store.remove(f"{entry.path}/{name}")
    (references,) = open_arrays(store, entry, "references")
    np.testing.assert_array_equal(as_numpy(references, 0, 3), _images()[..., 0])


def test_a_shard_is_plain_zarr(tmp_path: Path) -> None:
    store = ObjectStore(str(tmp_path))
    entry = _commit(store, images=_images(), references=_images()[..., 0])
    group = zarr.open_group(tmp_path / entry.path / "arrays.zarr", mode="r")
    assert sorted(group) == ["images", "references"]
    images = group["images"]
    assert isinstance(images, zarr.Array)
    np.testing.assert_array_equal(np.asarray(images[...]), _images())
    assert images.metadata.zarr_format == 3
    assert (images.chunks, images.shards) == ((1, 4, 5, 2), (3, 4, 5, 2))


def test_one_object_for_each_array() -> None:
    names = sorted(encode_arrays({"images": _images(), "references": _images()[..., 0]}))
    assert names == [
        "arrays.zarr/images/c/0/0/0/0",
        "arrays.zarr/images/zarr.json",
        "arrays.zarr/references/c/0/0/0",
        "arrays.zarr/references/zarr.json",
        "arrays.zarr/zarr.json",
    ]


@pytest.mark.parametrize(
    ("height", "chunk", "shard"),
    [
        pytest.param(1, 1, 1, id="one row"),
        pytest.param(CHUNK_ROWS, CHUNK_ROWS, CHUNK_ROWS, id="just uncut"),
        pytest.param(CHUNK_ROWS + 1, 513, 1026, id="one row more: two even bands, the last with a row of fill"),
        pytest.param(2560, 854, 2562, id="three even bands"),
        pytest.param(4096, CHUNK_ROWS, 4096, id="four full ones"),
    ],
)
def test_large_images_are_cut_into_bands_of_rows(store: ObjectStore, height: int, chunk: int, shard: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (2, height, 5, 3), np.uint8)
    entry = _commit(store, images=pixels, references=pixels[..., 0])
    for array, expected in zip(
        open_arrays(store, entry, "images", "references"), (pixels, pixels[..., 0]), strict=True
    ):
        assert array.shape == expected.shape
        assert (array.chunks[:2], array.shards and array.shards[:2]) == ((1, chunk), (2, shard))
        np.testing.assert_array_equal(as_numpy(array, 0, 2), expected)
        np.testing.assert_array_equal(as_numpy(array, 1, 2, height // 3, height), expected[1:2, height // 3 :])


def test_images_that_are_not_cut_keep_their_bytes() -> None:
    # As they were before larger ones were cut: one chunk for each image.
    pixels = np.random.default_rng(0).integers(0, 99, (3, CHUNK_ROWS, 8, 3), np.uint8)
    memory: dict[str, Any] = {}
    zarr.create_group(zarr.storage.MemoryStore(memory), zarr_format=3)
    created = zarr.create_array(
        zarr.storage.MemoryStore(memory), name="images", shape=pixels.shape, dtype=pixels.dtype,
        chunks=(1, *pixels.shape[1:]), shards=pixels.shape, compressors=[zarr.codecs.ZstdCodec(level=1)], fill_value=0,
        config={"write_empty_chunks": True},
    )  # fmt: skip
    created[...] = pixels
    plain = {f"arrays.zarr/{name}": buffer.to_bytes() for name, buffer in memory.items()}
    assert encode_arrays({"images": pixels}) == plain


def test_a_band_is_decoded_without_the_others(store: ObjectStore) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (1, 3 * CHUNK_ROWS, 4, 1), np.uint8)
    entry = _commit(store, images=pixels)
    path = f"{entry.path}/arrays.zarr/images/c/0/0/0/0"
    data = bytearray(store.read(path))
    offset, size = np.frombuffer(data[-3 * 16 - 4 : -4], "<u8").reshape(3, 2)[2].tolist()
    data[offset : offset + size] = bytes(size)
    store.write(path, bytes(data))
    broken = replace(entry, objects={**entry.objects, "arrays.zarr/images/c/0/0/0/0": Digest.of(bytes(data))})
    (images,) = open_arrays(store, broken, "images")
    np.testing.assert_array_equal(as_numpy(images, 0, 1, 0, 2 * CHUNK_ROWS), pixels[:, : 2 * CHUNK_ROWS])
    with pytest.raises(RuntimeError):
        as_numpy(images, 0, 1, 2 * CHUNK_ROWS, 2 * CHUNK_ROWS + 1)


def test_zeros_are_stored_too() -> None:
    # An array that is all fill value would otherwise be no object at all: a loss could not be told from an empty image.
    nothing = encode_arrays({"images": np.zeros((2, 8, 8), np.uint8)})
    assert len(nothing["arrays.zarr/images/c/0/0/0"]) > 0
    index = np.frombuffer(encode_arrays({"images": _images()})["arrays.zarr/images/c/0/0/0/0"][-3 * 16 - 4 : -4], "<u8")
    assert (index != 2**64 - 1).all(), "the shard's index marks a chunk as absent"


@given(
    array=st_numpy.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float32]),
        st_numpy.array_shapes(min_dims=3, max_dims=4, max_side=4),
    )
)
def test_any_array_is_stored_without_loss_and_repeatably(array: Array) -> None:
    objects = encode_arrays({"images": array})
    assert objects == encode_arrays({"images": np.asfortranarray(array.copy())})
    store = ObjectStore(f"memory://{uuid.uuid4().hex}")
    entry = _commit(store, images=array)
    (images,) = open_arrays(store, entry, "images")
    assert as_numpy(images, 0, len(array)).tobytes() == array.tobytes()


def test_other_arrays_are_other_bytes() -> None:
    changed = _images()
    changed[2, 3, 4, 1] += 1
    assert encode_arrays({"images": changed}) != encode_arrays({"images": _images()})


def test_a_shard_without_arrays(store: ObjectStore) -> None:
    entry = _commit(store)
    assert list(entry.objects) == [ROWS]
    pd.testing.assert_frame_equal(read_rows(store, entry), FRAME)
    with pytest.raises(ValueError, match=r"holds no arrays\.zarr"):
        open_arrays(store, entry, "images")


def test_an_unknown_array_is_named(store: ObjectStore) -> None:
    entry = _commit(store, images=_images())
    with pytest.raises(ValueError, match="no array 'labels'; it holds \\['images'\\]"):
        open_arrays(store, entry, "labels")
    with pytest.raises(ValueError, match=r"holds no report\.html; it holds \['arrays"):
        read_object(store, entry, "report.html")


@pytest.mark.parametrize("keep", [0, 1, -20, -1], ids=["nothing", "a byte", "no index", "all but a byte"])
@pytest.mark.parametrize("place", ["images/c/0/0/0/0", "images/zarr.json", "zarr.json"])
def test_a_truncated_object_is_noticed(store: ObjectStore, place: str, keep: int) -> None:
    entry = _commit(store, images=_images())
    path = f"{entry.path}/arrays.zarr/{place}"
    store.write(path, store.read(path)[:keep])
    with pytest.raises(ValueError, match=f"{place} is damaged.*; segscale repair"):
        open_arrays(store, entry, "images")


def test_a_flipped_bit_in_the_pixels_is_noticed(store: ObjectStore) -> None:
    entry = _commit(store, images=_images())
    path = f"{entry.path}/arrays.zarr/images/c/0/0/0/0"
    data = bytearray(store.read(path))
    data[9] ^= 1
    store.write(path, bytes(data))
    with pytest.raises(ValueError, match="is damaged"):
        open_arrays(store, entry, "images")


@pytest.mark.parametrize("place", ["arrays.zarr/images/c/0/0/0/0", "arrays.zarr/zarr.json", ROWS])
def test_a_lost_object_is_never_read_as_zeros(store: ObjectStore, place: str) -> None:
    entry = _commit(store, images=_images())
    store.remove(f"{entry.path}/{place}")
    with pytest.raises(FileNotFoundError, match=f"{entry.path}/{place} is gone: committed .*; segscale repair"):
        (read_rows(store, entry) if place == ROWS else open_arrays(store, entry, "images"))


def test_a_second_writer_follows_the_first(store: ObjectStore) -> None:
    first = _commit(store, images=_images())
    second = _commit(store, images=_images())
    assert second == first
    assert store.names(f"shards/ingest/{KEY[:2]}/{KEY}") == []
    (images,) = open_arrays(store, second, "images")
    np.testing.assert_array_equal(as_numpy(images, 0, 3), _images())


def test_a_writer_that_fails_half_way_commits_nothing(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = ObjectStore.write

    def fail_at_rows(self: ObjectStore, path: str, data: bytes) -> Any:
        if path.endswith(ROWS):
            raise OSError("No space left on device")
        return write(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "write", fail_at_rows)
        with pytest.raises(OSError, match="No space"):
            _commit(store, images=_images())
    assert Ledger(store).done("ingest") == frozenset()
    assert open_arrays(store, _commit(store, images=_images()), "images")


def test_the_digests_are_those_of_the_objects(store: ObjectStore) -> None:
    entry = _commit(store, images=_images())
    for name, digest in entry.objects.items():
        assert read_object(store, entry, name) == store.read_checked(f"{entry.path}/{name}", digest)
    wrong = replace(entry, objects={**entry.objects, ROWS: replace(entry.objects[ROWS], size_bytes=1)})
    with pytest.raises(ValueError, match="damaged"):
        read_rows(store, wrong)
    document = json.loads(store.read(f"ledger/ingest/{KEY}.json"))
    assert document["objects"][ROWS]["sha256"] == entry.objects[ROWS].sha256
