"""Training samples: the sound images of ingested shards, one sample a slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from storage import shards
from storage.ledger import Entry
from storage.objects import ObjectStore
from tasks import ingest
from tasks.shard_rows import read_shard_rows, sound
from tasks.train import Sample


def load_samples(store: ObjectStore, entries: Sequence[Entry]) -> list[Sample]:
    """All samples of the committed shards, in their order, cropped to their true size.

    They stay the stored integers until a crop is drawn: a quarter of the memory of float32.
    """
    return [sample for entry in entries for sample in _samples(store, entry)]


def _samples(store: ObjectStore, entry: Entry) -> Iterator[Sample]:
    rows = sound(read_shard_rows(store, entry))
    if not rows:
        return
    images, references = shards.open_arrays(store, entry, ingest.IMAGES, ingest.REFERENCES)
    for row in rows:
        for pixels, reference in zip(row.crop(images), row.crop(references), strict=True):
            yield Sample(pixels=pixels, recipe=astuple(row.recipe), reference=reference)
