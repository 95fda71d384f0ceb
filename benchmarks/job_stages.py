"""What an image of a job costs beside the network, each stage measured alone and in one thread."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from made_images import Setting, made_images

from segscale.storage import shards
from segscale.storage.ledger import Entry, Ledger
from segscale.storage.objects import ObjectStore
from segscale.tasks.ingest import IMAGES, REFERENCES
from segscale.tasks.labels import IGNORED
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.shard_plan import STAGE as INGEST

REPEATS = 5
BATCH = 8
"""Images that are decoded together."""
SHARDS = 4
"""So many at most are measured."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage, and what an image costs in it."""

    name: str
    seconds_per_image: float


def stages_of(store: ObjectStore) -> list[Stage]:
    """The stages of prediction for shards as this store holds them."""
    ledger = Ledger(store)
    entries = [ledger.read(INGEST, key) for key in sorted(ledger.done(INGEST))[:SHARDS]]
    opened = [shards.open_arrays(store, entry, REFERENCES)[0] for entry in entries]
    references = [shards.as_numpy(array, 0, array.shape[0]) for array in opened]
    n_images = sum(map(len, references))
    probabilities = made_images(Setting("", 8, 8, references[0].shape[1:])).float32
    with tempfile.TemporaryDirectory() as folder:
        scratch = ObjectStore(folder)
        works: dict[str, Callable[[], object]] = {
            "read and decode": lambda: read_all(store, entries),
            "count": lambda: count_all(references, probabilities),
            "encode labels, write, commit": lambda: commit_all(scratch, references),
        }
        return [Stage(name, median_seconds(work) / n_images) for name, work in works.items()]


def median_seconds(work: Callable[[], object]) -> float:
    seconds = []
    # The first one compiles and warms up.
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


def read_all(store: ObjectStore, entries: Sequence[Entry]) -> None:
    for entry in entries:
        for array in shards.open_arrays(store, entry, IMAGES, REFERENCES):
            for place in range(0, array.shape[0], BATCH):
                shards.as_numpy(array, place, min(place + BATCH, array.shape[0]))


def count_all(references: Sequence[npt.NDArray[np.uint8]], probabilities: npt.NDArray[np.float32]) -> None:
    for group in references:
        for place, reference in enumerate(group):
            one = probabilities[place % len(probabilities)]
            count_overlap(reference, n_classes=2, probabilities=one, threshold=0.5, ignore_index=IGNORED)


def commit_all(scratch: ObjectStore, references: Sequence[npt.NDArray[np.uint8]]) -> None:
    """References in the place of labels; each commit under a key of its own."""
    for group in references:
        key = f"{time.monotonic_ns():064x}"
        shards.commit_shard(scratch, "predict", key, arrays={"labels": group}, rows=b"", facts={})
