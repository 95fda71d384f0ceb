"""Score: predictions that something else made, counted against the references of a shard."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from segscale.errors import DataError, MissingFile
from segscale.storage import parts, shards
from segscale.storage.failures import Failure
from segscale.storage.ledger import Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.sources import file_name, read_catalogued
from segscale.tasks.counting import class_pixels, count_rows, failed_rows
from segscale.tasks.ingest import REFERENCES, ShardDone
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.prediction_file import Counting, count_prediction
from segscale.tasks.shard_plan import STAGE as INGEST
from segscale.tasks.shard_rows import ShardRow, read_shard_rows, sound

STAGE = "score"
CODE_VERSION = 5


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """A shard whose references are to be counted against prediction files."""

    key: str
    ingest_key: str
    predictions: tuple[tuple[str, str], ...]
    """For each row of the shard, (URL, sha256) of its prediction; "" and "" where there is none."""
    only: tuple[str, ...] = ()
    """Of a trial: the ids of the images that are counted, and nothing is committed."""


def plan_job(shard: pd.DataFrame, counting: Counting) -> ScoreJob:
    """The job of one shard, from the rows of the catalog that it holds, in their order."""
    ingest_key = str(shard["shard"].iloc[0])
    key = content_key(
        {
            "stage": STAGE,
            "code_version": CODE_VERSION,
            "ingest": ingest_key,
            "counting": asdict(counting),
            "predictions": [
                [file_name(url), sha256]
                for url, sha256 in zip(shard["prediction"], shard["prediction_sha256"], strict=True)
            ],
        }
    )
    return ScoreJob(key, ingest_key, tuple(zip(shard["prediction"], shard["prediction_sha256"], strict=True)))


def score_shard(store: ObjectStore, job: ScoreJob, counting: Counting) -> ShardDone:
    """Count every prediction of a shard and commit the part.

    A missing or unusable prediction is a failed image with its reason; one that cannot be fetched raises OSError.
    """
    entry = Ledger(store).read(INGEST, job.ingest_key)
    rows = read_shard_rows(store, entry)
    references = shards.open_arrays(store, entry, REFERENCES)[0] if sound(rows) else None
    part: list[dict[str, Any]] = []
    n_failed, n_classes = 0, counting.labels.n_classes
    for row, (url, sha256) in zip(rows, job.predictions, strict=True):
        if job.only and row.image_id not in job.only:
            continue
        found = _score_image(row, references, url, sha256, counting)
        if isinstance(found, Failure):
            n_failed += 1
            part += failed_rows(row.image_id, "", n_classes, found, _reference_pixels(row, references, n_classes))
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
    counting: Counting,
) -> OverlapCounts | Failure:
    """The counts of one image, or why there are none: bad data and nothing else fails an image."""
    if row.failure is not None:
        return row.failure
    assert references is not None
    try:
        data = _fetch(row.image_id, url, sha256)
        return count_prediction(row.crop(references), data, file_name(url), counting)
    except DataError as error:
        return Failure.of(STAGE, error)


def _reference_pixels(row: ShardRow, references: shards.ZarrArray | None, n_classes: int) -> list[int] | None:
    """The reference of an image whose prediction is missing or unusable; None where the image itself failed."""
    if references is None or not row.is_sound:
        return None
    return class_pixels(row.crop(references), n_classes)


def _fetch(image_id: str, url: str, sha256: str) -> bytes:
    if not sha256:
        name = file_name(url) if url else f"a file for image {image_id}"
        raise MissingFile(f"prediction: expected {name}, none could be read")
    return read_catalogued(url, sha256)
