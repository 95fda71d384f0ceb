"""Kept labels of an image read from the store to be shown, beside its reference and where asked its pixels."""

from __future__ import annotations

from collections.abc import Collection

from segscale.storage import shards
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.tasks.ingest import IMAGES, REFERENCES
from segscale.tasks.kept import LABELS
from segscale.tasks.overlays.shown import LabelStack
from segscale.tasks.shard_rows import read_shard_rows


def stacks_of_shard(
    store: ObjectStore,
    ingested: Entry,
    predicted: Entry,
    image_ids: Collection[str],
    n_classes: int,
    *,
    has_pixels: bool,
) -> dict[str, LabelStack]:
    """The label maps of images of a shard by their ids, slices first, as the network saw them.

    Raises DamagedStoreError where the store does not hold what was committed, or no labels were kept.
    """
    names = (REFERENCES, IMAGES) if has_pixels else (REFERENCES,)
    references, *images = shards.open_arrays(store, ingested, *names)
    (labels,) = shards.open_arrays(store, predicted, LABELS)
    return {
        row.image_id: LabelStack(
            row.crop(references), row.crop(labels), n_classes, pixels=row.crop(images[0]) if images else None
        )
        for row in read_shard_rows(store, ingested)
        if row.image_id in image_ids
    }
