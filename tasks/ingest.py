"""Ingest: source files become a committed shard of stored integers, class indices and recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from storage import shards, tables
from storage.objects import ObjectStore
from storage.sources import file_name, read_catalogued
from tasks.normalize import IGNORED, Recipe, find_recipe, to_class_indices
from tasks.readers import Picture, UnreadableImage, read_label_map, read_picture
from tasks.shard_plan import PADDING, STAGE, IngestJob, IngestRow, Preparation
from tasks.tiling import pad_to

IMAGES, REFERENCES = "images", "references"


@dataclass(frozen=True, slots=True)
class ShardDone:
    """The small record that comes back from a worker: which shard, how many images, how many of them failed."""

    key: str
    n_images: int
    n_failed: int
    seconds: float = 0.0


def ingest_shard(store: ObjectStore, job: IngestJob, preparation: Preparation) -> ShardDone:
    """Read the images and references of a shard, make it, and commit it.

    An image whose bytes cannot be used becomes a placeholder row with its reason; a file that cannot be fetched, or
    that is no longer what was catalogued, is raised as OSError: another attempt may succeed.
    """
    outcomes = [_prepare(row, job, preparation) for row in job.rows]
    rows = pd.DataFrame([outcome.row for outcome in outcomes])
    rows.insert(1, "start", np.cumsum([0, *rows["depth"]])[:-1])
    arrays = _arrays(job, outcomes) if job.dtype else {}
    n_failed = int((rows["status"] == "failed").sum())
    shards.commit_shard(
        store,
        STAGE,
        job.key,
        arrays=arrays,
        rows=tables.encode_frame(rows),
        facts={"n_images": len(rows), "n_failed": n_failed},
    )
    return ShardDone(job.key, len(rows), n_failed)


@dataclass(frozen=True, slots=True)
class _Outcome:
    row: dict[str, Any]
    pixels: npt.NDArray[Any] | None
    reference: npt.NDArray[np.uint8] | None


def _prepare(row: IngestRow, job: IngestJob, preparation: Preparation) -> _Outcome:
    depth = max(1, row.depth)
    facts: dict[str, Any] = {
        "image_id": row.image_id,
        "depth": depth,
        "height": row.height,
        "width": row.width,
        "image_sha256": row.image_sha256,
        "reference_sha256": row.reference_sha256,
    }
    try:
        if row.error:
            return _failed(facts, row.error_type, row.error)
        picture = read_picture(read_catalogued(row.image, row.image_sha256), file_name(row.image))
        _check_header(picture, row, job)
        reference = _read_reference(row, picture, preparation)
        recipe = find_recipe(
            picture.pixels, preparation.normalize, full_scale=picture.full_scale, window=preparation.window
        )
    except ValueError as error:
        return _failed(facts, type(error).__name__, str(error))
    return _Outcome(
        {**facts, **asdict(recipe), "coloured": _is_coloured(picture), "status": "ok", "error_type": "", "error": ""},
        picture.pixels,
        reference,
    )


def _failed(facts: dict[str, Any], error_type: str, error: str) -> _Outcome:
    neutral = asdict(Recipe(clip_low=0.0, clip_high=0.0, offset=0.0, scale=1.0))
    reason = {"coloured": False, "status": "failed", "error_type": error_type, "error": error}
    return _Outcome({**facts, **neutral, **reason}, None, None)


def _check_header(picture: Picture, row: IngestRow, job: IngestJob) -> None:
    expected = (row.depth, row.height, row.width, job.channels)
    if picture.pixels.shape != expected or picture.pixels.dtype != np.dtype(job.dtype):
        raise UnreadableImage(
            f"{file_name(row.image)}: its header says {expected} {job.dtype}, its pixels are "
            f"{picture.pixels.shape} {picture.pixels.dtype}"
        )


def _read_reference(row: IngestRow, picture: Picture, preparation: Preparation) -> npt.NDArray[np.uint8]:
    name = file_name(row.reference)
    labels = read_label_map(read_catalogued(row.reference, row.reference_sha256), name)
    return to_labels(labels, name, picture.pixels.shape[:3], preparation, preparation.ignore_label)


def to_labels(
    labels: npt.NDArray[Any],
    name: str,
    expected: tuple[int, ...],
    preparation: Preparation,
    ignore_label: int | None,
) -> npt.NDArray[np.uint8]:
    """The class indices of a label file (D, H, W), checked against the size of the image it belongs to.

    Raises ValueError naming the file for another size, or for a value that is no class and is not ignored.
    """
    if labels.shape != expected:
        raise ValueError(f"{name}: expected the size of its image {_by(expected)}, got {_by(labels.shape)}")
    try:
        return to_class_indices(labels, preparation.label_values or None, preparation.n_classes, ignore_label)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)


def _is_coloured(picture: Picture) -> bool:
    first = picture.pixels[..., :1]
    return picture.pixels.shape[-1] > 1 and not bool((picture.pixels == first).all())


def _arrays(job: IngestJob, outcomes: Sequence[_Outcome]) -> dict[str, npt.NDArray[Any]]:
    height, width = job.padded_height, job.padded_width
    slices = sum(outcome.row["depth"] for outcome in outcomes)
    images = np.zeros((slices, height, width, job.channels), job.dtype)
    references = np.full((slices, height, width), IGNORED, np.uint8)
    start = 0
    for outcome in outcomes:
        stop = start + outcome.row["depth"]
        if outcome.pixels is not None and outcome.reference is not None:
            true_height, true_width = outcome.reference.shape[1:]
            images[start:stop] = pad_to(outcome.pixels, height, width, PADDING)
            references[start:stop, :true_height, :true_width] = outcome.reference
        start = stop
    return {IMAGES: images, REFERENCES: references}
