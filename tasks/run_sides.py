"""What is kept beside the counts of a run's shards, one below the other in the order of its images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from segscale.errors import DamagedStoreError
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.side_parts import SidePart
from segscale.tasks.run_counts import Layout

_FETCHED_AT_ONCE = 8


def collect_sides(
    store: ObjectStore,
    entries: Iterable[Entry],
    catalog: pd.DataFrame,
    layout: Layout,
    part: SidePart,
    order: tuple[str, ...],
) -> pa.Table:
    """A side part of all shards: images in the order of the catalog, then heads, then columns of numbers in this order.

    Raises DamagedStoreError where a shard holds an image or a head that the run does not know.
    """
    found = read_sides(store, entries, part)
    table = pa.concat_tables(found) if found else part.schema.empty_table()
    return table.take(pa.array(rows_in_order(table, catalog, layout, part, order)))


def read_sides(
    store: ObjectStore, entries: Iterable[Entry], part: SidePart, kept: Callable[[pa.Table], pa.Table] = lambda one: one
) -> list[pa.Table]:
    """A side part of each shard, or what is kept of it, fetched side by side."""
    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
        return list(pool.map(lambda entry: kept(part.read(store, entry)), entries))


def rows_in_order(
    table: pa.Table, catalog: pd.DataFrame, layout: Layout, part: SidePart, order: tuple[str, ...]
) -> NDArray[np.int64]:
    """The rows of all shards, one below the other, as `collect_sides` has them. Raises as it does."""
    image = pd.Index(catalog["image_id"]).get_indexer(table.column("image_id").to_pandas())
    head = pd.Index(layout.heads).get_indexer(table.column("head").to_pandas())
    if (image < 0).any() or (head < 0).any():
        strange = table.slice(int(np.argmax((image < 0) | (head < 0))), 1).select(["image_id", "head"]).to_pylist()[0]
        raise DamagedStoreError(f"{part.what}: hold {strange}, which this run does not know")
    numbers = [table.column(name).to_numpy() for name in reversed(order)]
    # Stable, so that what is alike stays in the order of its shard.
    return np.lexsort((*numbers, head, image))
