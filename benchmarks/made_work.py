"""Shards without images, for benchmarks/scheduling.py: what their workers do.

A module of its own, as the work of Segscale is: what a script itself holds travels to the workers as code, with each
shard, and packing that took more time than all else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segscale.storage import parts, shards
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.tasks import predict
from segscale.tasks.ingest import ShardDone


@dataclass(frozen=True, slots=True)
class StandIn:
    """A job that knows how many images its shard has."""

    key: str
    n_images: int


def stand_in(job: StandIn, store: ObjectStore) -> ShardDone:
    """Counts drawn from the key, as a part of the usual size; written and committed as any other."""
    generator = np.random.default_rng(int(job.key[:15], 16))
    counts = generator.integers(0, 65536, (job.n_images, 4))
    # Most of a part's rows are text and numbers of the same kind: one is encoded, with as many rows.
    rows = [
        {
            "image_id": f"{job.key[:12]}-{place // 2}", "head": "last", "class_index": place % 2, "n_pixels": 65536,
            "n_ignored": 0, "true_positive": int(count[0]), "false_positive": int(count[1]),
            "false_negative": int(count[2]), "true_negative": int(count[3]), "reference_sum": int(count[0]),
            "soft_intersection": 1.0, "soft_prediction_sum": 1.0, "soft_prediction_squared_sum": 1.0,
            "histogram_foreground": None, "histogram_background": None, "status": "ok", "stage": "", "error_type": "",
            "error": "",
        }
        for place, count in enumerate(np.repeat(counts, 2, axis=0))
    ]  # fmt: skip
    facts = {"n_images": job.n_images, "n_failed": 0}
    shards.commit_shard(store, predict.STAGE, job.key, arrays={}, rows=parts.encode_part(rows), facts=facts)
    return ShardDone(job.key, job.n_images, 0)


def record(job: StandIn, store: ObjectStore) -> ShardDone:
    """What a simulated worker does: it commits that its shard is done."""
    Ledger(store).record(predict.STAGE, job.key, {"n_images": job.n_images, "n_failed": 0})
    return ShardDone(job.key, job.n_images, 0)


def nothing(job: StandIn, _: ObjectStore) -> ShardDone:
    """No work at all: what is left is what handing out and fetching costs."""
    return ShardDone(job.key, job.n_images, 0)
