"""Files of an image read again to be shown: its reference, what was predicted, and where asked its pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError
from segscale.storage.sources import ROLES, file_name
from segscale.tasks.measuring import Measuring
from segscale.tasks.overlays.shown import LabelStack
from segscale.tasks.readers import read_grid, read_header, read_picture
from segscale.tasks.reference_file import place_between
from segscale.tasks.score_image import ReadImage, read_image, score_image
from segscale.tasks.scoring import ImageFiles, ScoreJob, Scoring


def stack_of_files(job: ScoreJob, scoring: Scoring, axis: int, *, has_pixels: bool) -> LabelStack:
    """The label maps of the one image of a job, read as they were counted; slices along `axis` of (D, H, W) come first.

    job: its versions of files are their sha256. Raises OSError where a file is gone or holds other bytes than those
    that were counted, DataError where it cannot be used.
    """
    (files,) = job.images
    read = read_image(files, job, scoring.volumes.choice)
    if tuple(read.content.hashes) != tuple(files.of(role)[1] for role in ROLES):
        raise OSError(f"files of image {files.image_id} are no longer those that were counted")
    # What is measured needs label maps, and so does a picture.
    found = score_image(files, read, replace(scoring, measuring=Measuring(None, None), slicing=None)).structures
    if found is None or found.prediction is None:
        raise DataError(f"image {files.image_id}: its reference and prediction cannot be read any more")
    pixels = _pixels(files, read, scoring) if has_pixels else None
    if pixels is not None and pixels.shape[:3] != found.reference.shape:
        raise DataError(f"image {files.image_id}: its pixels do not lie over its reference")
    return LabelStack(
        np.moveaxis(found.reference, axis, 0),
        np.moveaxis(found.prediction, axis, 0),
        found.n_classes,
        {index: np.moveaxis(mask, axis, 0) for index, mask in found.region_masks.items()},
        None if pixels is None else np.moveaxis(pixels, axis, 0),
    )


def _pixels(files: ImageFiles, read: ReadImage, scoring: Scoring) -> NDArray[Any]:
    """(D, H, W, C) of the image on the grid of its reference."""
    name, choice = file_name(files.image[0]), scoring.volumes.choice
    pixels: NDArray[Any] = read_picture(read.data["image"], name, choice).pixels
    grid = read_header(read.data["image"], name, choice).grid
    own = read_grid(read.data["reference"], file_name(files.reference[0]), choice.over(grid))
    way = place_between(own, grid, name, scoring.volumes).of_image
    if way is None:
        return pixels
    depth = len(pixels) if own is None else own.size[0]
    return way.planes(pixels, 0, depth, float(pixels.min()))
