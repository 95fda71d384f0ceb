"""Score: predictions that something else made, counted against the references of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.errors import DataError, MissingFile
from segscale.storage import parts, shards
from segscale.storage.failures import Failure
from segscale.storage.ledger import Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.sources import file_name, read_catalogued
from segscale.tasks.counting import class_pixels, count_rows, failed_rows
from segscale.tasks.ingest import REFERENCES, ShardDone, to_labels
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.normalize import IGNORED
from segscale.tasks.readers import holds_probabilities, read_label_map, read_probabilities
from segscale.tasks.shard_plan import STAGE as INGEST
from segscale.tasks.shard_plan import Preparation
from segscale.tasks.shard_rows import ShardRow, read_shard_rows, sound

STAGE = "score"
CODE_VERSION = 3


@dataclass(frozen=True, slots=True)
class Counting:
    """How predictions are counted."""

    threshold: float
    """Two classes: foreground where p >= threshold, compared in float32. More classes: argmax."""


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """A shard whose references are to be counted against prediction files."""

    key: str
    ingest_key: str
    predictions: tuple[tuple[str, str], ...]
    """For each row of the shard, (URL, sha256) of its prediction; "" and "" where there is none."""
    only: tuple[str, ...] = ()
    """Of a trial: the ids of the images that are counted, and nothing is committed."""


def plan_job(shard: pd.DataFrame, preparation: Preparation, counting: Counting) -> ScoreJob:
    """The job of one shard, from the rows of the catalog that it holds, in their order."""
    ingest_key = str(shard["shard"].iloc[0])
    key = content_key(
        {
            "stage": STAGE,
            "code_version": CODE_VERSION,
            "ingest": ingest_key,
            "preparation": asdict(preparation),
            "counting": asdict(counting),
            "predictions": [
                [file_name(url), sha256]
                for url, sha256 in zip(shard["prediction"], shard["prediction_sha256"], strict=True)
            ],
        }
    )
    return ScoreJob(key, ingest_key, tuple(zip(shard["prediction"], shard["prediction_sha256"], strict=True)))


def score_shard(store: ObjectStore, job: ScoreJob, preparation: Preparation, counting: Counting) -> ShardDone:
    """Count every prediction of a shard and commit the part.

    A missing or unusable prediction is a failed image with its reason; one that cannot be fetched raises OSError.
    """
    entry = Ledger(store).read(INGEST, job.ingest_key)
    rows = read_shard_rows(store, entry)
    references = shards.open_arrays(store, entry, REFERENCES)[0] if sound(rows) else None
    part: list[dict[str, Any]] = []
    n_failed = 0
    for row, (url, sha256) in zip(rows, job.predictions, strict=True):
        if job.only and row.image_id not in job.only:
            continue
        found = _score_image(row, references, url, sha256, preparation, counting)
        if isinstance(found, Failure):
            n_failed += 1
            part += failed_rows(
                row.image_id, "", preparation.n_classes, found, _reference_pixels(row, references, preparation)
            )
        else:
            part += count_rows(row.image_id, "", found)
    facts = {"n_images": len(rows), "n_failed": n_failed}
    if not job.only:
        shards.commit_shard(store, STAGE, job.key, arrays={}, rows=parts.encode_part(part), facts=facts)
    return ShardDone(job.key, len(rows), n_failed)


def _score_image(
    row: ShardRow,
    references: shards.ZarrArray | None,
    url: str,
    sha256: str,
    preparation: Preparation,
    counting: Counting,
) -> OverlapCounts | Failure:
    """The counts of one image, or why there are none: bad data and nothing else fails an image."""
    if row.failure is not None:
        return row.failure
    assert references is not None
    try:
        data = _fetch(row.image_id, url, sha256)
        return _count(row.crop(references), data, file_name(url), preparation, counting)
    except DataError as error:
        return Failure.of(STAGE, error)


def _reference_pixels(row: ShardRow, references: shards.ZarrArray | None, preparation: Preparation) -> list[int] | None:
    """The reference of an image whose prediction is missing or unusable; None where the image itself failed."""
    if references is None or not row.is_sound:
        return None
    return class_pixels(row.crop(references), preparation.n_classes)


def _fetch(image_id: str, url: str, sha256: str) -> bytes:
    if not sha256:
        name = file_name(url) if url else f"a file for image {image_id}"
        raise MissingFile(f"prediction: expected {name}, none could be read")
    return read_catalogued(url, sha256)


def _count(
    reference: npt.NDArray[np.uint8], data: bytes, name: str, preparation: Preparation, counting: Counting
) -> OverlapCounts:
    n_classes = preparation.n_classes
    prediction = read_prediction(data, name)
    if prediction.dtype.kind == "f":
        probabilities = match_probabilities(prediction, reference.shape, n_classes, name)
        return count_overlap(
            reference,
            n_classes=n_classes,
            probabilities=probabilities,
            threshold=counting.threshold,
            ignore_index=IGNORED,
        )
    label_map = to_labels(prediction, name, reference.shape, preparation, None)
    return count_overlap(reference, n_classes=n_classes, label_map=label_map, ignore_index=IGNORED)


def read_prediction(data: bytes, name: str) -> npt.NDArray[Any]:
    """A prediction file: floats are probabilities in their own shape, integers a label map (D, H, W)."""
    return read_probabilities(data, name) if holds_probabilities(data, name) else read_label_map(data, name)


def match_probabilities(
    values: npt.NDArray[Any], expected: Sequence[int], n_classes: int, name: str
) -> npt.NDArray[Any]:
    """Probabilities (D, H, W) or (D, H, W, C), from an array that may lack the depth or have its channels first.

    A shape that fits in two ways is refused with DataError, and so is one that fits in none.
    """
    size = tuple(expected)
    flat = size[1:] if size[0] == 1 else size
    channels = {n_classes, 1} if n_classes == 2 else {n_classes}
    fits: dict[tuple[str, int], npt.NDArray[Any]] = {}
    for shape in dict.fromkeys((size, flat)):
        if values.shape == shape and n_classes == 2:
            fits["one", 1] = values.reshape((*size, 1))
        for count in sorted(channels):
            # An axis of one may stand anywhere: the values and their order are the same.
            if values.shape == (*shape, count):
                fits["one" if count == 1 else "last", count] = values.reshape((*size, count))
            if values.shape == (count, *shape):
                moved = np.moveaxis(values, 0, -1).reshape((*size, count))
                fits["one" if count == 1 else "first", count] = moved
    if len(fits) != 1:
        raise DataError(
            f"{name}: expected probabilities of shape {flat} with {n_classes} channels"
            f"{' (or one)' if n_classes == 2 else ''} before or behind, got {values.shape}"
            f"{', which fits in more than one way' if fits else ''}"
        )
    return next(iter(fits.values()))
