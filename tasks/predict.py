"""Predict: a shard through the network, counted while the probabilities are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.errors import DataError
from segscale.storage import parts, shards
from segscale.storage.failures import Failure
from segscale.storage.ledger import Entry, Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.side_parts import SLICES
from segscale.tasks.band_measures import BandMeasures
from segscale.tasks.blocks import BlockReader, Place
from segscale.tasks.counting import class_pixels, count_rows, failed_rows
from segscale.tasks.engines import Engine
from segscale.tasks.inference import Band, Batch, Merging
from segscale.tasks.ingest import IMAGES, INSTANCES, REFERENCES, ShardDone
from segscale.tasks.kept import Kept
from segscale.tasks.labels import IGNORED
from segscale.tasks.measuring import Measuring, StackOf
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.network_input import refused_rows
from segscale.tasks.prediction import Prediction, batches_of
from segscale.tasks.prefetch import Behind, ahead, stage
from segscale.tasks.shard_plan import STAGE as INGEST
from segscale.tasks.shard_rows import ShardRow, read_shard_rows, sound
from segscale.tasks.slice_counts import slice_rows, without_histograms

STAGE = "predict"
CODE_VERSION = 6


@dataclass(frozen=True, slots=True)
class PredictJob:
    """A shard to be predicted."""

    key: str
    ingest_key: str
    only: tuple[str, ...] = ()
    """Of a trial: the ids of the images that are predicted, and nothing is committed."""
    slices: bool = False
    """Whether the counts of each slice are kept too."""
    measuring: Measuring | None = None
    """What is measured of surfaces and lesions; None for nothing."""
    stacks: Mapping[str, StackOf] = field(default_factory=dict)
    """Of what is measured: how each image lies in the shard, by its id. Its files and `measuring` decide it."""


def predict_key(
    ingest_key: str, prediction: Prediction, slices: bool = False, measuring: Measuring | None = None
) -> str:
    """The key of a predicted shard: everything that determines its counts and labels."""
    return content_key(
        {
            "stage": STAGE,
            "code_version": CODE_VERSION,
            "ingest": ingest_key,
            "prediction": prediction.record(),
            **({"slices": True} if slices else {}),
            **({"measuring": asdict(measuring)} if measuring else {}),
        }
    )


def predict_shard(store: ObjectStore, job: PredictJob, prediction: Prediction, engine: Engine) -> ShardDone:
    """Predict and count every image of a shard, keep what was asked for, and commit the part.

    Images that failed in ingest, that have colours the network cannot take, or for which the network gives something
    that is no probability, become failed rows; the others are counted. What breaks down on the way is raised as
    StageError, with the stage and the images, and nothing is committed.
    """
    entry = Ledger(store).read(INGEST, job.ingest_key)
    rows = [row for row in read_shard_rows(store, entry) if not job.only or row.image_id in job.only]
    arrays_of = shards.open_arrays(store, entry, IMAGES, REFERENCES) if sound(rows) else ()
    failures = refused_rows(rows, engine.facts, arrays_of, STAGE)
    counts: dict[str, list[OverlapCounts]] = {}
    slices: SliceCounts = {}
    measures = None if job.only else _measures(job, prediction, store, entry)
    arrays: dict[str, npt.NDArray[Any]] = {}
    accepted = [row for row in rows if row.image_id not in failures]
    if accepted:
        images, references = arrays_of
        tally = _Tally(references, prediction, engine.facts.outputs, job.slices, measures)
        _infer(images, accepted, prediction, engine, tally)
        failures, counts, arrays = failures | tally.failures, tally.counts, tally.kept.arrays
        slices = tally.slices
    missed = _missed(store, entry, [row for row in sound(rows) if row.image_id in failures], prediction)
    part = [line for row in rows for line in _part_rows(row.image_id, prediction, counts, failures, missed)]
    facts = {"n_images": len(rows), "n_failed": len(failures)}
    if not job.only:
        of_slices = (line for row in rows for line in _slice_rows(row, prediction, slices, failures))
        beside = {SLICES.name: SLICES.encode(list(of_slices))} if job.slices else {}
        if measures is not None:
            beside |= measures.encode(rows, failures, lambda row: row.crop(arrays_of[1]))
        encoded = parts.encode_part(part)
        shards.commit_shard(store, STAGE, job.key, arrays=arrays, rows=encoded, facts=facts, beside=beside)
    return ShardDone(job.key, len(rows), len(failures))


def _missed(store: ObjectStore, entry: Entry, rows: Sequence[ShardRow], prediction: Prediction) -> dict[str, list[int]]:
    """By image id the reference pixels of each class, of images that are sound and got no usable prediction."""
    if not rows:
        return {}
    references = shards.open_arrays(store, entry, REFERENCES)[0]
    return {row.image_id: class_pixels(row.crop(references), prediction.n_classes, prediction.regions) for row in rows}


def _measures(job: PredictJob, prediction: Prediction, store: ObjectStore, entry: Entry) -> BandMeasures | None:
    if job.measuring is None:
        return None
    of_set = prediction.n_classes, prediction.regions, prediction.threshold
    instances_of = partial(_instances, cache(partial(shards.open_arrays, store, entry, INSTANCES)))
    has_any = job.measuring.has_instances
    return BandMeasures(job.measuring, job.stacks, prediction.heads, *of_set, instances_of if has_any else None)


def _instances(opened: Callable[[], tuple[shards.ZarrArray, ...]], row: ShardRow) -> npt.NDArray[Any]:
    """The numbers of a reference; a shard whose images all failed has none, and is not asked."""
    return row.crop(opened()[0])


def _infer(
    images: shards.ZarrArray, rows: Sequence[ShardRow], prediction: Prediction, engine: Engine, tally: _Tally
) -> None:
    """Batch after batch through the engine, which waits neither for the one before to be counted nor for pixels."""
    with closing(ahead(batches_of(images, rows, prediction, engine.facts))) as batches, Behind() as counting:
        for batch in batches:
            with stage("inference", batch.image_ids):
                found = engine.probabilities(batch.pixels, batch.recipes)
            counting.call(tally.add, batch, found)


SliceCounts = dict[int, list[OverlapCounts]]
"""The counts of each head, by the place of the slice in the shard."""


def _added(known: list[OverlapCounts] | None, counted: list[OverlapCounts]) -> list[OverlapCounts]:
    return [a + b for a, b in zip(known, counted, strict=True)] if known else counted


class _Tally:
    """The counts of the images of a shard and what is kept of them, in the order in which batches come."""

    def __init__(
        self,
        references: shards.ZarrArray,
        prediction: Prediction,
        outputs: int,
        with_slices: bool = False,
        measures: BandMeasures | None = None,
    ) -> None:
        self.counts: dict[str, list[OverlapCounts]] = {}
        """Of each head, by image id."""
        self.slices: SliceCounts = {}
        """Where they are asked for. Beside the sums of images, which are added up in the same order without them."""
        self._with_slices = with_slices
        self.measures = measures
        """What is measured of each image, where that is asked for."""
        self.failures: dict[str, Failure] = {}
        n_slices, height, width = references.shape
        shape = (n_slices, height, width)
        self.kept = Kept(prediction.keep, shape, outputs, prediction.n_classes, prediction.threshold)
        self._prediction, self._references, self._merging = prediction, BlockReader(references), Merging()

    def add(self, batch: Batch, probabilities: npt.NDArray[np.float32]) -> None:
        """Count what the pieces of a batch finish; `probabilities` is (heads, B, H, W, outputs)."""
        with stage("counting", batch.image_ids):
            bands = list(self._merging.bands(batch.pieces, probabilities))
            references = self._references.read([Place(band.position, band.top, band.bottom) for band in bands])
            for band, reference in zip(bands, references, strict=True):
                if band.row.image_id not in self.failures:
                    self._count(band, reference[:, : band.row.width])

    def _count(self, band: Band, reference: npt.NDArray[np.uint8]) -> None:
        image_id = band.row.image_id
        try:
            counted = [self._count_head(reference, head) for head in band.probabilities]
        except DataError as error:
            where = "" if band.is_whole else f"rows {band.top} to {band.bottom - 1}: "
            self.failures[image_id] = Failure(STAGE, "BadProbabilities", f"image {image_id}: {where}{error}")
            self.kept.drop(band.row.start, band.row.stop)
            if self.measures is not None:
                self.measures.drop(image_id)
            return
        known = self.counts.get(image_id)
        self.counts[image_id] = _added(known, counted)
        if self._with_slices:
            # Thresholds are kept of images alone, and histograms are nearly all of what a count takes.
            alone = [without_histograms(one) for one in counted]
            self.slices[band.position] = _added(self.slices.get(band.position), alone)
        self.kept.put(band.position, band.top, band.probabilities[-1])
        if self.measures is not None:
            self.measures.add(band, reference)

    def _count_head(self, reference: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32]) -> OverlapCounts:
        return count_overlap(
            reference,
            n_classes=self._prediction.n_classes,
            probabilities=probabilities,
            threshold=self._prediction.threshold,
            ignore_index=IGNORED,
            regions=self._prediction.regions,
        )


def _slice_rows(
    row: ShardRow, prediction: Prediction, slices: SliceCounts, failures: Mapping[str, Failure]
) -> Iterator[dict[str, Any]]:
    if row.image_id not in failures:
        for head, name in enumerate(prediction.heads):
            yield from slice_rows(row.image_id, name, [slices[place][head] for place in range(row.start, row.stop)])


def _part_rows(
    image_id: str,
    prediction: Prediction,
    counts: Mapping[str, Sequence[OverlapCounts]],
    failures: Mapping[str, Failure],
    missed: Mapping[str, Sequence[int]],
) -> Iterator[dict[str, Any]]:
    for position, head in enumerate(prediction.heads):
        if image_id in failures:
            failure, pixels = failures[image_id], missed.get(image_id)
            yield from failed_rows(image_id, head, prediction.n_counted, failure, pixels)
        else:
            yield from count_rows(image_id, head, counts[image_id][position])
