"""Shards: immutable Zarr v3 groups with a table of their rows, written once by one writer."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.errors import DamagedStoreError
from segscale.storage import tables
from segscale.storage.ledger import REPAIR, Entry, Ledger, fresh_attempt
from segscale.storage.objects import Digest, ObjectStore
from segscale.storage.sharded_object import ZSTD_LEVEL, Stack, sharded_object

# Zarr is imported where arrays are written or opened: what has tables alone starts without it.
if TYPE_CHECKING:
    import zarr

ZarrArray: TypeAlias = "zarr.Array[Any]"

ROWS = "rows.parquet"
ARRAYS = "arrays.zarr"
NUMBERS = frozenset("biuf")
CHUNK_ROWS = 1024
"""Most rows of an inner chunk: of a larger image, a band of rows can be decoded alone."""

DECODED_BYTES = 8 << 20
"""Images that are decoded only to see whether they can be: so many at once, since each call costs a millisecond."""


def encode_arrays(arrays: Mapping[str, Stack]) -> dict[str, bytes]:
    """The objects of a Zarr v3 group, by name: for each array its metadata and one sharded object.

    The first axis of each array is cut into inner chunks of one, so that one image can be read alone; images of more
    than `CHUNK_ROWS` rows, the second axis, are cut into even bands of rows as well. Chunks that hold the fill value
    only are stored too: a missing object then is a loss, never an empty image.
    """
    import zarr
    from zarr.codecs import ZstdCodec
    from zarr.storage import MemoryStore

    buffers: dict[str, Any] = {}
    memory = MemoryStore(buffers)
    zarr.create_group(memory, zarr_format=3)
    objects = {}
    for name, array in arrays.items():
        n_images, height, *others = array.shape
        n_bands = -(-height // CHUNK_ROWS)
        rows = -(-height // n_bands)
        created = zarr.create_array(
            memory,
            name=name,
            shape=array.shape,
            dtype=array.dtype,
            chunks=(1, rows, *others),
            shards=(n_images, n_bands * rows, *others),
            compressors=[ZstdCodec(level=ZSTD_LEVEL)],
            fill_value=0,
            config={"write_empty_chunks": True},
        )
        chunk = created.metadata.encode_chunk_key((0,) * created.ndim)
        objects[f"{ARRAYS}/{name}/{chunk}"] = sharded_object(array, rows)
    return objects | {f"{ARRAYS}/{name}": buffer.to_bytes() for name, buffer in buffers.items()}


def commit_shard(
    store: ObjectStore,
    stage: str,
    key: str,
    *,
    arrays: Mapping[str, Stack],
    rows: bytes,
    facts: Mapping[str, Any],
    beside: Mapping[str, bytes] | None = None,
) -> Entry:
    """Write the arrays and the table of rows of a shard under a fresh attempt, then commit it.

    `rows` is a Parquet file, and so are those `beside` it, by their names. Returns the commit that stands, which is
    another writer's if that one was first.
    """
    path = fresh_attempt(stage, key)
    objects = {**(encode_arrays(arrays) if arrays else {}), ROWS: rows, **(beside or {})}
    digests = {name: store.write(f"{path}/{name}", data) for name, data in sorted(objects.items())}
    return Ledger(store).commit(Entry(stage, key, path, digests, facts))


def read_rows(store: ObjectStore, entry: Entry) -> pd.DataFrame:
    """The table of rows of a committed shard, checked against the ledger."""
    return tables.decode_frame(read_object(store, entry, ROWS))


def read_object(store: ObjectStore, entry: Entry, name: str) -> bytes:
    """One object of a committed shard, checked against the ledger.

    Raises DamagedStoreError where the ledger knows none of that name or other bytes, FileNotFoundError where it is
    gone; for what was committed and is not there as it was, the message says what mends it.
    """
    digest: Digest | None = entry.objects.get(name)
    if digest is None:
        raise DamagedStoreError(
            f"shard {entry.stage}/{entry.key[:12]} holds no {name}; it holds {sorted(entry.objects)}"
        )
    path = f"{entry.path}/{name}"
    try:
        return store.read_checked(path, digest)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{store.url}/{path} is gone: committed {digest.size_bytes} bytes with sha256 {digest.sha256[:12]}, found "
            f"none; {REPAIR}"
        ) from None
    except DamagedStoreError as error:
        raise DamagedStoreError(f"{error}; {REPAIR}") from None


def open_arrays(store: ObjectStore, entry: Entry, *names: str) -> tuple[ZarrArray, ...]:
    """The named arrays of a committed shard, checked against the ledger; chunks are decoded when sliced.

    The compressed bytes are fetched whole, once and side by side: one request for each array instead of one for each
    image, and a checksum over all that is then decoded.
    """
    folders = tuple(f"{ARRAYS}/{name}/" for name in names)
    wanted = [f"{ARRAYS}/zarr.json", *(name for name in sorted(entry.objects) if name.startswith(folders))]
    with ThreadPoolExecutor(max_workers=4) as pool:
        contents = list(pool.map(lambda name: read_object(store, entry, name), wanted))
    group = _open_group(dict(zip(wanted, contents, strict=True)))
    return tuple(_array(group, entry, name) for name in names)


def _open_group(contents: Mapping[str, bytes]) -> zarr.Group:
    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    buffer = default_buffer_prototype().buffer
    memory = MemoryStore({name.removeprefix(f"{ARRAYS}/"): buffer.from_bytes(data) for name, data in contents.items()})
    return zarr.open_group(memory, mode="r")


def decode_all(contents: Mapping[str, bytes]) -> None:
    """Decode the table of rows and every chunk of every array of a shard, whose objects are given by name.

    A few images, or a band of a large one, are in memory decoded at a time. Raises DamagedStoreError naming what cannot
    be decoded.
    """
    part = ROWS
    try:
        for part in (ROWS, *sorted(name for name in contents if name.endswith(".parquet") and name != ROWS)):
            tables.decode_frame(contents[part])
        arrays = {name: data for name, data in contents.items() if not name.endswith(".parquet")}
        if not arrays:
            return
        part = ARRAYS
        for name, array in sorted(_open_group(arrays).arrays()):
            part = f"{ARRAYS}/{name}"
            height, rows = array.shape[1], array.chunks[1]
            step = max(1, DECODED_BYTES // (array.nbytes // array.shape[0]))
            for start in range(0, array.shape[0], step):
                for top in range(0, height, rows):
                    as_numpy(array, start, start + step, top, min(top + rows, height))
    except Exception as error:
        # Each codec and each reader of a footer has errors of its own kind.
        raise DamagedStoreError(f"{part}: {type(error).__name__}: {error}") from error


def _array(group: zarr.Group, entry: Entry, name: str) -> ZarrArray:
    if name not in group:
        paths = (path.split("/") for path in entry.objects)
        held = sorted({path[1] for path in paths if path[0] == ARRAYS and len(path) > 2})
        raise DamagedStoreError(f"shard {entry.stage}/{entry.key[:12]} holds no array {name!r}; it holds {held}")
    import zarr

    array = group[name]
    assert isinstance(array, zarr.Array)
    if array.metadata.zarr_format != 3 or array.dtype.kind not in NUMBERS:
        raise DamagedStoreError(
            f"shard {entry.stage}/{entry.key[:12]}: array {name!r} holds {array.dtype} in Zarr format "
            f"{array.metadata.zarr_format}; expected numbers in format 3, objects are not decoded"
        )
    return array


def as_numpy(array: ZarrArray, start: int, stop: int, top: int = 0, bottom: int | None = None) -> npt.NDArray[Any]:
    """Images `start` to `stop` of a shard's array, or their rows `top` to `bottom`, decoded.

    Several images at once take about half the time that they take one by one.
    """
    return np.asarray(array[start:stop, top:bottom])
