"""Label changes: how far the labels that two predictions keep of the same images differ."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

import numpy as np

from segscale.storage import shards
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.tasks.kept import LABELS
from segscale.tasks.metrics import scores
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.prediction import Prediction
from segscale.tasks.shard_rows import read_shard_rows, sound


def label_changes(
    store: ObjectStore,
    ingested: Entry,
    full: Entry,
    reduced: Entry,
    prediction: Prediction,
    image_ids: Container[str],
) -> Iterator[Mapping[str, Any]]:
    """A row per image of a shard and class or region but the background: image_id, class_index, labels_dice, n_pixels
    and n_flipped.

    `labels_dice` is the Dice between both label maps, NaN where neither has the class; ignored pixels count as others
    do, for the reference has no say here. Of the images of the shard those of `image_ids`, which failed in neither.
    """
    rows = [row for row in sound(read_shard_rows(store, ingested)) if row.image_id in image_ids]
    if not rows:
        # A shard of nothing but failed images has no labels.
        return
    (before,), (after,) = (shards.open_arrays(store, entry, LABELS) for entry in (full, reduced))
    for row in rows:
        one, other = row.crop(before), row.crop(after)
        counts = count_overlap(one, n_classes=prediction.n_classes, label_map=other, regions=prediction.regions)
        dice = scores.dice(counts.true_positive, counts.false_positive, counts.false_negative)
        of_image = {"n_pixels": one.size, "n_flipped": int(np.count_nonzero(one != other))}
        for class_index in range(1, prediction.n_counted):
            yield {
                "image_id": row.image_id, "class_index": class_index, "labels_dice": float(dice[class_index]),
                **of_image,
            }  # fmt: skip
