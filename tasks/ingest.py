"""Ingest: source files become a committed shard of stored integers, class indices and recipes."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.errors import ContradictionError, DataError, UnreadableImage
from segscale.storage import shards
from segscale.storage.failures import Failure
from segscale.storage.objects import ObjectStore
from segscale.storage.sources import file_name
from segscale.tasks.alignment import Said, said_facts
from segscale.tasks.axes import laid_over
from segscale.tasks.evaluated import read_mask
from segscale.tasks.grids import Grid
from segscale.tasks.labels import IGNORED, write_class_indices
from segscale.tasks.normalize import Recipe, find_recipe
from segscale.tasks.readers import (
    Choice,
    Picture,
    holds_volume,
    read_grid,
    read_header,
    read_labels,
    read_picture,
    read_scaled,
)
from segscale.tasks.readers.buffers import let_go
from segscale.tasks.reference_file import Place, place_between
from segscale.tasks.shard_plan import PADDING, STAGE, IngestJob, IngestRow, Preparation
from segscale.tasks.shard_rows import ShardRow, encode_shard_rows, sound
from segscale.tasks.slice_axis import axis_index
from segscale.tasks.slice_stack import MeantStack, Slices
from segscale.tasks.source_files import read_catalogued_source

IMAGES, REFERENCES = "images", "references"
INSTANCES = "instances"
"""The numbers that references hold, where each of them is a lesion."""
MOST_INSTANCES = 2**32 - 1
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
    depths = [row.stack[0] for row in chosen]
    prepared = replace(preparation, full_scale=preparation.full_scale or job.full_scale)
    starts = np.cumsum([0, *depths])[:-1].tolist()
    arrays: dict[str, Any] = _empty_arrays(job, sum(depths), preparation) if job.dtype else {}
    said: Said = Counter()
    is_alone = len(chosen) == 1
    rows = []
    for row, start, depth in zip(chosen, starts, depths, strict=True):
        target = arrays if is_alone else {name: array[start : start + depth] for name, array in arrays.items()}
        rows.append(_prepare(row, start, target, prepared, said, is_alone))
    n_failed = len(rows) - len(sound(rows))
    if job.only:
        return ShardDone(job.key, len(rows), n_failed)
    shards.commit_shard(
        store,
        STAGE,
        job.key,
        arrays=arrays,
        rows=encode_shard_rows(rows),
        # Of pictures, as before there were volumes, nothing is said.
        facts={"n_images": len(rows), "n_failed": n_failed, **said_facts(said)},
    )
    return ShardDone(job.key, len(rows), n_failed)


def _empty_arrays(job: IngestJob, slices: int, preparation: Preparation) -> dict[str, npt.NDArray[Any]]:
    """Images of zeros, and references that nothing is written to yet: memory is taken where it is first needed."""
    shape = slices, job.padded_height, job.padded_width
    instances = {INSTANCES: np.zeros(shape, np.uint32)} if preparation.instances else {}
    return {IMAGES: np.zeros((*shape, job.channels), job.dtype), REFERENCES: np.empty(shape, np.uint8), **instances}


def _prepare(
    row: IngestRow, start: int, target: dict[str, Any], preparation: Preparation, said: Said, is_alone: bool
) -> ShardRow:
    """Read an image into its place in the arrays, `target`; the row of the shard says what came of it.

    Where it is alone in its shard, as a large volume is, scaled numbers stay as they are stored, in a `MeantStack`.
    """
    recipe, coloured, failure = NEUTRAL, False, row.failure
    if failure is None:
        images = target[IMAGES]
        try:
            recipe, coloured, of_files = _fill(row, target, preparation, is_alone)
            said.update(of_files)
        except DataError as error:
            target[IMAGES] = images
            images[...] = 0
            failure = Failure.of(STAGE, error)
    if failure is not None and target:
        target[REFERENCES][...] = IGNORED
        if INSTANCES in target:
            target[INSTANCES][...] = 0
    depth, height, width = row.stack
    return ShardRow(
        image_id=row.image_id,
        start=start,
        depth=depth,
        height=height,
        width=width,
        image_sha256=row.image_sha256,
        reference_sha256=row.reference_sha256,
        **asdict(recipe),
        coloured=coloured,
        failure=failure,
    )


def _fill(
    row: IngestRow, target: dict[str, Any], preparation: Preparation, is_alone: bool
) -> tuple[Recipe, bool, tuple[tuple[str, str], ...]]:
    """Read an image and its reference into their slices; returns its recipe, whether it has colours, and what is said
    of its files."""
    # One after the other: of a large image, what a file decodes to and what is stored fill memory enough.
    data = {IMAGES: read_catalogued_source(row.image, row.image_sha256)}
    place, grid = _placed(row, data, preparation)
    of_type = _fill_pixels(row, data.pop(IMAGES), target, place, preparation, is_alone)
    # What a large volume was inflated into is as large again as what is stored of it.
    let_go()
    if REFERENCES not in data:
        data[REFERENCES] = read_catalogued_source(row.reference, row.reference_sha256)
    choice = preparation.volumes.choice.over(grid)
    said = [*_fill_reference(row, data.pop(REFERENCES), target, choice, preparation), *place.said]
    let_go()
    if row.mask:
        said += _leave_out(row, target[REFERENCES], place.grid, preparation)
    return *_described(row, target[IMAGES], preparation, of_type), tuple(said)


def _described(
    row: IngestRow, images: npt.NDArray[Any] | MeantStack, preparation: Preparation, of_type: float
) -> tuple[Recipe, bool]:
    """The recipe of an image, found in its pixels, and whether it has colours."""
    stored, meant = (images.stored, images.meant) if isinstance(images, MeantStack) else (images, None)
    _, height, width = row.stack
    pixels, full_scale = stored[:, :height, :width], preparation.full_scale or of_type
    try:
        recipe = find_recipe(
            pixels, preparation.normalize, full_scale=full_scale, window=preparation.window, meant=meant
        )
    except DataError as error:
        raise DataError(f"{file_name(row.image)}: {error}") from None
    return recipe, _is_coloured(pixels if meant is None or pixels.shape[-1] == 1 else meant(pixels))


def _placed(row: IngestRow, data: dict[str, bytes], preparation: Preparation) -> tuple[Place, Grid | None]:
    """How an image lies on the grid of its reference, by their headers, and the grid of its own file.

    Of volumes the reference is read for that, into `data`. Raises DataError where it lies on another one.
    """
    image, reference = file_name(row.image), file_name(row.reference)
    if not (holds_volume(image) or holds_volume(reference)):
        return Place(row.size, None), None
    choice = preparation.volumes.choice
    header = read_header(data[IMAGES], image, choice)
    grid = header.grid
    data[REFERENCES] = read_catalogued_source(row.reference, row.reference_sha256)
    own = read_grid(data[REFERENCES], reference, choice.over(grid))
    return place_between(own, grid, image, preparation.volumes).also_said("image", header.notes), grid


def _fill_pixels(
    row: IngestRow, data: bytes, target: dict[str, Any], place: Place, preparation: Preparation, is_alone: bool
) -> float:
    """Decode the image and pad it into its slices; returns the value that its type has for 1.0."""
    images = target[IMAGES]
    source = data, file_name(row.image), preparation.volumes.choice
    scaled = read_scaled(*source)
    picture = read_picture(*source) if scaled is None else Picture(scaled.stored, 1.0, None)
    dtype = picture.pixels.dtype if scaled is None else np.dtype(np.float32)
    del data, source
    slices = Slices(images, row.size, axis_index(row.slice_axis))
    expected = (*(slices.size if place.of_image is None else place.of_image.source(row.size)), images.shape[-1])
    if picture.pixels.shape != expected or dtype != images.dtype:
        raise UnreadableImage(
            f"{file_name(row.image)}: its header says {expected} {images.dtype}, its pixels are "
            f"{picture.pixels.shape} {dtype}"
        )
    meant = None if scaled is None else scaled.pixels
    is_resampled = place.of_image is not None and place.of_image.resampling is not None
    if meant is not None and is_alone and not is_resampled:
        target[IMAGES] = MeantStack(np.empty(images.shape, picture.pixels.dtype), meant)
        slices, meant = replace(slices, stack=target[IMAGES].stored), None
    slices.fill(picture.pixels, place.of_image, PADDING, meant)
    return picture.full_scale


def _fill_reference(
    row: IngestRow, data: bytes, target: dict[str, Any], choice: Choice, preparation: Preparation
) -> tuple[tuple[str, str], ...]:
    """Decode the reference into its slices; returns what is said of it."""
    name, references = file_name(row.reference), target[REFERENCES]
    labels = read_labels(data, name, choice=choice)
    del data
    references[...] = IGNORED
    try:
        volume = Slices(references, row.size, axis_index(row.slice_axis)).volume
        write_class_indices(volume, labels.values, row.size, preparation.labels, name)
    except ContradictionError as error:
        raise ContradictionError(f"dataset.label_values: reference {error}") from None
    if INSTANCES in target:
        _fill_instances(row, labels.values, target[INSTANCES], name)
    return tuple(("reference", note) for note in labels.notes)


def _fill_instances(row: IngestRow, values: npt.NDArray[Any], instances: npt.NDArray[np.uint32], name: str) -> None:
    """Write the numbers of a reference, as they are, into its slices. DataError where they are too large."""
    numbers = laid_over(values, row.size, {0}, name)
    if numbers.max() > MOST_INSTANCES:
        raise DataError(
            f"{name}: instances up to {int(numbers.max())}; expected numbers up to {MOST_INSTANCES}: number them anew"
        )
    # What is ignored may be negative, and is no lesion.
    Slices(instances, row.size, axis_index(row.slice_axis)).volume[...] = np.maximum(numbers, 0)


def _leave_out(
    row: IngestRow, references: npt.NDArray[np.uint8], grid: Grid | None, preparation: Preparation
) -> list[tuple[str, str]]:
    """Pixels outside of the mask of an image count in nothing; what was done to the mask for that."""
    data = read_catalogued_source(row.mask, row.mask_sha256)
    inside, said = read_mask(data, file_name(row.mask), row.size, grid, preparation.volumes)
    Slices(references, row.size, axis_index(row.slice_axis)).volume[~inside] = IGNORED
    return [("mask", one) for one in said]


def _is_coloured(pixels: npt.NDArray[Any]) -> bool:
    return pixels.shape[-1] > 1 and not bool((pixels == pixels[..., :1]).all())
