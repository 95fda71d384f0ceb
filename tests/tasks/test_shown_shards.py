"""Kept labels beside references, as a shard holds them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from segscale.errors import DamagedStoreError
from segscale.storage import shards
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.tasks.ingest import NEUTRAL
from segscale.tasks.shard_rows import ShardRow, encode_shard_rows
from segscale.tasks.shown_shards import stacks_of_shard

GENERATOR = np.random.default_rng(0)
REFERENCES = GENERATOR.integers(0, 3, (3, 8, 8), dtype=np.uint8)
LABELS = GENERATOR.integers(0, 3, (3, 8, 8), dtype=np.uint8)
IMAGES = GENERATOR.integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)


def _row(image_id: str, start: int, depth: int, height: int, width: int) -> ShardRow:
    return ShardRow(image_id, start, depth, height, width, "", "", **asdict(NEUTRAL), coloured=False, failure=None)


ROWS = [_row("flat", 0, 1, 8, 8), _row("volume", 1, 2, 5, 7)]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path))


def _commit(store: ObjectStore, stage: str, **arrays: np.ndarray) -> Entry:
    return shards.commit_shard(store, stage, "ab" * 32, arrays=arrays, rows=encode_shard_rows(ROWS), facts={})


def test_images_are_cropped_to_their_true_size(store: ObjectStore) -> None:
    ingested = _commit(store, "ingest", images=IMAGES, references=REFERENCES)
    predicted = _commit(store, "predict", labels=LABELS)
    found = stacks_of_shard(store, ingested, predicted, {"volume"}, 3, has_pixels=False)
    assert list(found) == ["volume"]
    assert (found["volume"].reference == REFERENCES[1:, :5, :7]).all()
    assert (found["volume"].prediction == LABELS[1:, :5, :7]).all()
    assert found["volume"].pixels is None
    pixels = stacks_of_shard(store, ingested, predicted, {"flat"}, 3, has_pixels=True)["flat"].pixels
    assert pixels is not None
    assert (pixels == IMAGES[:1]).all()


def test_what_was_not_kept_is_said(store: ObjectStore) -> None:
    ingested = _commit(store, "ingest", images=IMAGES, references=REFERENCES)
    predicted = _commit(store, "predict", probabilities=LABELS)
    with pytest.raises(DamagedStoreError, match="holds no array 'labels'"):
        stacks_of_shard(store, ingested, predicted, {"flat"}, 3, has_pixels=False)
