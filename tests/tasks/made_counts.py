"""Rows of parts, made: what the tests of a run's counts and of its tables begin with."""

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.storage import parts
from segscale.storage.catalog import COLUMNS, SPACING
from segscale.storage.failures import Failure
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.shards import commit_shard
from segscale.tasks.counting import count_rows, failed_rows
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.run_counts import Layout

TWO = ("background", "lesion")
SHAPE = (6, 5)
Rows = list[dict[str, Any]]


def made_reference(seed: int, n_classes: int = 2) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, n_classes, SHAPE, np.uint8)


def made_probabilities(seed: int, n_classes: int = 2) -> NDArray[np.float32]:
    values = np.random.default_rng(seed + 50).random((*SHAPE, n_classes)).astype(np.float32)
    values[0, :3] = np.array([[0.0], [0.5], [1.0]], np.float32)  # on the edges of bins
    return values[..., 0] if n_classes == 2 else values


def rows_of(seed: int, n_classes: int = 2, heads: Sequence[str] = ("last",)) -> Rows:
    counts = count_overlap(
        made_reference(seed, n_classes), n_classes=n_classes, probabilities=made_probabilities(seed, n_classes)
    )
    return [row for head in heads for row in count_rows(f"i{seed}", head, counts)]


def rows_of_labels(seed: int, head: str = "") -> Rows:
    return count_rows(
        f"i{seed}", head, count_overlap(made_reference(seed), n_classes=2, label_map=made_probabilities(seed) >= 0.5)
    )


def rows_of_failed(seed: int, n_classes: int = 2, heads: Sequence[str] = ("last",)) -> Rows:
    failure = Failure("ingest", "ValueError", f"i{seed}.png: reason")
    return [row for head in heads for row in failed_rows(f"i{seed}", head, n_classes, failure)]


def catalog_of(count: int, **groups: list[Any]) -> pd.DataFrame:
    catalog = pd.DataFrame({name: [""] * count for name in COLUMNS})
    catalog["image_id"] = [f"i{seed}" for seed in range(count)]
    catalog["image"] = [f"file:///data/i{seed}.png" for seed in range(count)]
    catalog["image_sha256"] = [f"{seed:064x}" for seed in range(count)]
    unsaid = dict.fromkeys(SPACING, np.nan)
    return catalog.assign(depth=1, height=SHAPE[0], width=SHAPE[1], **unsaid, **groups)


def layout_of(heads: tuple[str, ...] = ("last",), classes: tuple[str, ...] = TWO, threshold_count: int = 64) -> Layout:
    return Layout(classes, heads, 0.5, threshold_count)


def commit_parts(store: ObjectStore, *shards: Rows) -> list[Entry]:
    return [
        commit_shard(store, "predict", uuid.uuid4().hex * 2, arrays={}, rows=parts.encode_part(rows), facts={})
        for rows in shards
    ]


def memory_store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}")
