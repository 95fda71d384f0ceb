"""Training samples: the sound images of ingested shards, one sample a slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from segscale.storage import shards
from segscale.storage.catalog import COLUMNS
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.tasks import ingest
from segscale.tasks.shard_rows import read_shard_rows, sound
from segscale.tasks.training.sample import Sample


def load_samples(store: ObjectStore, entries: Sequence[Entry], catalog: pd.DataFrame) -> list[Sample]:
    """All samples of the committed shards, in their order, cropped to their true size, with the groups of the catalog.

    They stay the stored integers until a patch is drawn: a quarter of the memory of float32.
    """
    groups = _groups(catalog)
    return [sample for entry in entries for sample in _samples(store, entry, groups)]


def bytes_of_samples(catalog: pd.DataFrame) -> int:
    """Bytes that the samples of a catalog take at most: pixels as stored, and a byte of reference for each."""
    pixels = catalog["depth"] * catalog["height"] * catalog["width"]
    sizes = catalog["dtype"].map(lambda name: _item_size(str(name)))
    return int((pixels * (catalog["channels"] * sizes + 1)).sum())


def _item_size(dtype: str) -> int:
    # Files that could not be read have no type and no pixels. Floats are stored as float32.
    return min(np.dtype(dtype).itemsize, 4) if dtype else 0


def _groups(catalog: pd.DataFrame) -> dict[str, Mapping[str, str]]:
    names = [name for name in catalog if name not in COLUMNS]
    values = catalog[names].astype(str).to_dict("records")
    return {
        str(image_id): {str(name): value for name, value in row.items()}
        for image_id, row in zip(catalog["image_id"], values, strict=True)
    }


def _samples(store: ObjectStore, entry: Entry, groups: Mapping[str, Mapping[str, str]]) -> Iterator[Sample]:
    rows = sound(read_shard_rows(store, entry))
    if not rows:
        return
    images, references = shards.open_arrays(store, entry, ingest.IMAGES, ingest.REFERENCES)
    for row in rows:
        for pixels, reference in zip(row.crop(images), row.crop(references), strict=True):
            yield Sample(row.image_id, pixels, row.recipe, reference, groups[row.image_id])
