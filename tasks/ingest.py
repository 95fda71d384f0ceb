"""Ingest: source files become a committed shard of stored integers, class indices and recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.errors import ContradictionError, DataError, UnreadableImage
from segscale.storage import shards
from segscale.storage.failures import Failure
from segscale.storage.objects import ObjectStore
from segscale.storage.sources import file_name
from segscale.tasks.labels import IGNORED, class_indices
from segscale.tasks.normalize import Recipe, find_recipe
from segscale.tasks.readers import read_label_map, read_picture
from segscale.tasks.shard_plan import PADDING, STAGE, IngestJob, IngestRow, Preparation
from segscale.tasks.shard_rows import ShardRow, encode_shard_rows, sound
from segscale.tasks.source_files import read_catalogued_source
from segscale.tasks.tiling import fill_padded

IMAGES, REFERENCES = "images", "references"
NEUTRAL = Recipe(clip_low=0.0, clip_high=0.0, offset=0.0, scale=1.0)
"""Of an image that failed."""


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
    chosen = [row for row in job.rows if not job.only or row.image_id in job.only]
    depths = [max(1, row.depth) for row in chosen]
    prepared = replace(preparation, full_scale=preparation.full_scale or job.full_scale)
    starts = np.cumsum([0, *depths])[:-1].tolist()
    arrays = _empty_arrays(job, sum(depths)) if job.dtype else {}
    rows = [
        _prepare(row, start, {name: array[start : start + depth] for name, array in arrays.items()}, prepared)
        for row, start, depth in zip(chosen, starts, depths, strict=True)
    ]
    n_failed = len(rows) - len(sound(rows))
    if job.only:
        return ShardDone(job.key, len(rows), n_failed)
    shards.commit_shard(
        store,
        STAGE,
        job.key,
        arrays=arrays,
        rows=encode_shard_rows(rows),
        facts={"n_images": len(rows), "n_failed": n_failed},
    )
    return ShardDone(job.key, len(rows), n_failed)


def _empty_arrays(job: IngestJob, slices: int) -> dict[str, npt.NDArray[Any]]:
    """Images of zeros and references of ignored pixels: what an image that failed leaves behind."""
    shape = slices, job.padded_height, job.padded_width
    return {IMAGES: np.zeros((*shape, job.channels), job.dtype), REFERENCES: np.full(shape, IGNORED, np.uint8)}


def _prepare(row: IngestRow, start: int, target: Mapping[str, npt.NDArray[Any]], preparation: Preparation) -> ShardRow:
    """Read an image into its place in the arrays, `target`; the row of the shard says what came of it."""
    recipe, coloured, failure = NEUTRAL, False, row.failure
    if failure is None:
        try:
            recipe, coloured = _fill(row, target[IMAGES], target[REFERENCES], preparation)
        except DataError as error:
            target[IMAGES][...], target[REFERENCES][...] = 0, IGNORED
            failure = Failure.of(STAGE, error)
    return ShardRow(
        image_id=row.image_id,
        start=start,
        depth=max(1, row.depth),
        height=row.height,
        width=row.width,
        image_sha256=row.image_sha256,
        reference_sha256=row.reference_sha256,
        **asdict(recipe),
        coloured=coloured,
        failure=failure,
    )


def _fill(
    row: IngestRow, images: npt.NDArray[Any], references: npt.NDArray[np.uint8], preparation: Preparation
) -> tuple[Recipe, bool]:
    """Read an image and its reference into their slices; returns its recipe, and whether it has colours."""
    # One after the other: of a large image, what a file decodes to and what is stored fill memory enough.
    of_type = _fill_pixels(row, images)
    _fill_reference(row, references, preparation)
    pixels, full_scale = images[:, : row.height, : row.width], preparation.full_scale or of_type
    try:
        recipe = find_recipe(pixels, preparation.normalize, full_scale=full_scale, window=preparation.window)
    except DataError as error:
        raise DataError(f"{file_name(row.image)}: {error}") from None
    return recipe, _is_coloured(pixels)


def _fill_pixels(row: IngestRow, images: npt.NDArray[Any]) -> float:
    """Read the image and pad it into its slices; returns the value that its type has for 1.0."""
    picture = read_picture(read_catalogued_source(row.image, row.image_sha256), file_name(row.image))
    expected = (row.depth, row.height, row.width, images.shape[-1])
    if picture.pixels.shape != expected or picture.pixels.dtype != images.dtype:
        raise UnreadableImage(
            f"{file_name(row.image)}: its header says {expected} {images.dtype}, its pixels are "
            f"{picture.pixels.shape} {picture.pixels.dtype}"
        )
    fill_padded(images, picture.pixels, PADDING)
    return picture.full_scale


def _fill_reference(row: IngestRow, references: npt.NDArray[np.uint8], preparation: Preparation) -> None:
    name = file_name(row.reference)
    labels = read_label_map(read_catalogued_source(row.reference, row.reference_sha256), name)
    expected = (row.depth, row.height, row.width)
    try:
        references[:, : row.height, : row.width] = class_indices(labels, expected, preparation.labels, name)
    except ContradictionError as error:
        raise ContradictionError(f"dataset.label_values: reference {error}") from None


def _is_coloured(pixels: npt.NDArray[Any]) -> bool:
    return pixels.shape[-1] > 1 and not bool((pixels == pixels[..., :1]).all())
