"""The catalog: one row per image, saying what it was made of and which shard holds it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.errors import ArgumentError
from segscale.storage import tables
from segscale.storage.failures import REASON
from segscale.storage.objects import ObjectStore
from segscale.storage.sources import ROLES, file_name

logger = logging.getLogger("segscale")
_PLANNED_FROM, _CONTENT = "planned_from", "content_sha256"
"""Notes in the file of a catalog."""
SHARD_BYTES = 128 * 1000 * 1000
SPACING = ("spacing_d_mm", "spacing_h_mm", "spacing_w_mm")
"""Of a volume, in mm along depth, height and width; NaN where nobody says."""
PLACE = ("direction", "origin")
"""Of a volume, in the patient (LPS): unit vectors along depth, height and width, and the first voxel's centre in mm."""
_MASKS = ("mask", "mask_sha256")
SLICE_AXIS = "slice_axis"
"""Of a volume, the axis along which its slices follow one another: d, h or w; "" of a picture."""
COLUMNS = (
    "image_id",
    "image",
    "reference",
    "prediction",
    "mask",
    "image_sha256",
    "reference_sha256",
    "prediction_sha256",
    "mask_sha256",
    "depth",
    "height",
    "width",
    *SPACING,
    *PLACE,
    SLICE_AXIS,
    "channels",
    "dtype",
    "full_scale",
    "padded_height",
    "padded_width",
    "shard",
    "row",
    *REASON,
)
LATER = frozenset({*SPACING, *PLACE, *_MASKS, SLICE_AXIS})
"""Columns that catalogs of earlier versions do not have: they are of pictures alone."""


def pack(image_ids: Sequence[str], slices: Sequence[int], capacity: int) -> list[list[int]]:
    """Cut a bucket's images into shards of at most `capacity` slices, so that a change touches few shards.

    The shards are the leaves of a binary tree over the bits of sha256(image_id): a node that holds more than `capacity`
    slices is split by the next bit. Which leaf an image falls into depends on its own id and on how full its branch is;
    adding, changing or removing images elsewhere leaves it alone. An image of more slices than `capacity` is a shard of
    its own. Returns positions into `image_ids`, in the order of the hashes.
    """
    if capacity < 1:
        raise ArgumentError(f"capacity: expected at least 1 slice, got {capacity}")
    hashes = [hashlib.sha256(name.encode()).digest() for name in image_ids]
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    # Slices of the images before each place in that order: the size of any branch is one subtraction.
    before = [0, *accumulate(slices[position] for position in order)]
    leaves = _leaves([hashes[position] for position in order], before, capacity, 0, len(order), bit=0)
    return [order[start:stop] for start, stop in leaves if start < stop]


def _leaves(
    hashes: Sequence[bytes], before: Sequence[int], capacity: int, start: int, stop: int, bit: int
) -> Iterator[tuple[int, int]]:
    """The leaves of the branch whose hashes are `hashes[start:stop]`: sorted, and equal in all bits before `bit`."""
    if stop - start <= 1 or before[stop] - before[start] <= capacity:
        yield start, stop
        return
    first_one = bisect_left(hashes, 1, start, stop, key=lambda value: value[bit // 8] >> (7 - bit % 8) & 1)
    yield from _leaves(hashes, before, capacity, start, first_one, bit + 1)
    yield from _leaves(hashes, before, capacity, first_one, stop, bit + 1)


def shard_capacity(shard_images: int, slice_bytes: int) -> int:
    """How many slices a shard may hold: `shard_images`, or fewer where they would exceed 128 MB."""
    return max(1, min(shard_images, SHARD_BYTES // slice_bytes))


def catalog_path(name: str) -> str:
    """Where a store keeps the catalog of a data set."""
    return f"catalog/{name}.parquet"


def write_catalog(store: ObjectStore, name: str, catalog: pd.DataFrame, planned_from: str = "") -> None:
    """Put the catalog of a data set as it stands now; a change of the set replaces it.

    `planned_from` stands for all that it was made from, for `read_planned`.
    """
    notes = {_PLANNED_FROM: planned_from, _CONTENT: tables.frame_sha256(catalog)} if planned_from else None
    store.write(catalog_path(name), tables.encode_frame(catalog, metadata=notes, page_checksums=True))


def read_planned(store: ObjectStore, name: str, planned_from: str) -> pd.DataFrame | None:
    """The catalog that was made from the very same; None where there is none, or another, or a damaged one."""
    try:
        data = store.read(catalog_path(name))
    except FileNotFoundError:
        return None
    try:
        if tables.note(data, _PLANNED_FROM) != planned_from:
            return None
        catalog = tables.decode_frame(data)
        # The pages of a Parquet file carry checksums, the names and types of its columns do not.
        return _current(catalog) if tables.frame_sha256(catalog) == tables.note(data, _CONTENT) else None
    except Exception:  # noqa: BLE001  # a damaged footer may be taken for anything
        return None


def read_catalog(store: ObjectStore, name: str) -> pd.DataFrame | None:
    """The catalog that the last ingest wrote, or None where there was none."""
    try:
        return _current(tables.decode_frame(store.read(catalog_path(name))))
    except FileNotFoundError:
        return None


def _current(catalog: pd.DataFrame) -> pd.DataFrame:
    """A catalog with the columns about places and masks, which those of earlier versions lack."""
    missing = set(COLUMNS) - set(catalog.columns)
    if not missing or not missing <= LATER:
        return catalog
    nothing, nowhere = pd.Series(np.nan, catalog.index), pd.Series("", catalog.index, dtype="str")
    along = pd.Series(np.where(catalog["depth"] > 1, "d", ""), catalog.index, dtype="str")
    unsaid: dict[str, pd.Series[Any]] = {
        **dict.fromkeys(SPACING, nothing),
        **dict.fromkeys((*PLACE, *_MASKS), nowhere),
        SLICE_AXIS: along,
    }
    lacking = {name: unsaid[name] for name in missing}
    return catalog.assign(**lacking)[[*COLUMNS, *(name for name in catalog.columns if name not in COLUMNS)]]


def rows_by_shard(catalog: pd.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """For each shard, in the order of the keys, the positions of its images in the catalog, row by row."""
    ordered = catalog["row"].reset_index(drop=True).sort_values(kind="stable").index
    groups = catalog["shard"].to_numpy()[ordered]
    positions = pd.Series(ordered).groupby(groups, sort=True).indices
    return {str(key): ordered.to_numpy()[places] for key, places in sorted(positions.items())}


def group_columns(catalog: pd.DataFrame) -> list[str]:
    """The free columns that came with the manifest."""
    return [name for name in catalog.columns if name not in COLUMNS]


def catalog_sha256(catalog: pd.DataFrame) -> str:
    """The sha256 of everything in a catalog that can change a number or a text in a report, in its order.

    Folders are left out: the same images in another one are the same data set. File names are not: messages hold them.
    The cut into shards changes no number.
    """
    hashed = hashlib.sha256(b'{"columns":{')
    # As `content_key` writes it, but a column at a time: of a million images the whole text is a gigabyte.
    # What no picture has is left out where nothing has it: its hash is that of before there were volumes and masks.
    unsaid = {name for name in (*SPACING, *PLACE, *_MASKS) if name in catalog and _is_nowhere(catalog[name])}
    if SLICE_AXIS in catalog and catalog[SLICE_AXIS].isin(["", "d"]).all():
        unsaid.add(SLICE_AXIS)
    for place, name in enumerate(sorted(set(catalog.columns) - {"shard", "row"} - unsaid)):
        column = catalog[name]
        values = [file_name(url) for url in column.to_list()] if name in ROLES else _plain_values(column)
        hashed.update(f"{',' * (place > 0)}{json.dumps(name)}:{_json_list(values)}".encode("ascii"))
    hashed.update(b"}}")
    return hashed.hexdigest()


def _is_nowhere(values: pd.Series[Any]) -> bool:
    return bool((values.isna() | (values == "")).all())


def _json_list(values: list[Any]) -> str:
    """What `content_key` makes of a list; of texts that need no escapes in an eighth of the time."""
    # Raised where they are not texts alone.
    with contextlib.suppress(TypeError):
        joined = '","'.join(values)
        plain = joined.isascii() and joined.isprintable() and "\\" not in joined
        if values and plain and joined.count('"') == 2 * (len(values) - 1):
            return f'["{joined}"]'
    return json.dumps(values, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain_values(values: pd.Series[Any]) -> list[str | int | float | None]:
    if not values.hasnans and (pd.api.types.is_integer_dtype(values.dtype) or values.dtype == "str"):
        return values.to_list()
    return [_plain(value) for value in values]


def _plain(value: object) -> str | int | float | None:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, int | float) and math.isfinite(plain):
        return plain
    return str(plain)
