"""One image scored: its files read, hashed and counted against each other; bad data and nothing else fails it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError, MissingFile
from segscale.storage.failures import Failure
from segscale.storage.local_files import is_local
from segscale.storage.parts import FailedImage
from segscale.storage.sources import ROLES, file_name
from segscale.tasks.axes import laid_over
from segscale.tasks.compiled import EFFORT
from segscale.tasks.counting import class_pixels
from segscale.tasks.evaluated import read_mask
from segscale.tasks.grids import Grid, Size, from_text
from segscale.tasks.hard_labels import hard_labels
from segscale.tasks.labels import IGNORED
from segscale.tasks.measuring import Structures
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.prediction_file import Beside, LabelPair, beside, read_prediction, stored_on_grid
from segscale.tasks.readers import Choice, LabelMap, read_labels, stores_floats
from segscale.tasks.reference_file import Place, place_of, reference_of
from segscale.tasks.region_pair import RegionPair
from segscale.tasks.scan import SourceFacts, facts_of, unread
from segscale.tasks.scoring import NOWHERE, STAGE, Content, ImageFiles, ScoreJob, Scoring
from segscale.tasks.slice_counts import count_slices
from segscale.tasks.source_files import read_source
from segscale.tasks.spacing import spacing_of
from segscale.tasks.stored_pair import count_stored

ALONE_WORTH_LOADING = 2**25
"""Voxels of one volume for which the compiled pass is loaded at once: without it they take as long as that does."""


def _is_about_the_file(url: str, error: OSError) -> bool:
    """Whether trying again soon would change nothing: a server may give in a minute what it does not give now."""
    return is_local(url) or isinstance(error, FileNotFoundError | PermissionError)


@dataclass(frozen=True, slots=True)
class ReadImage:
    """The files of an image in memory."""

    data: Mapping[str, bytes]
    """By role; a file that is not there, or could not be read, has none."""
    facts: tuple[SourceFacts, ...]
    content: Content


def read_image(files: ImageFiles, job: ScoreJob, choice: Choice) -> ReadImage:
    data: dict[str, bytes] = {}
    facts: list[SourceFacts] = []
    for role in ROLES:
        url, version = files.of(role)
        if not (url and version):
            continue
        try:
            data[role] = read_source(url)
        except OSError as error:
            if job.is_content or not _is_about_the_file(url, error):
                raise
            facts.append(unread(role, url, version, error))
    hashes = {role: hashlib.sha256(data[role]).hexdigest() if role in data else "" for role in ROLES}
    # Of an image that ends workers not even a header is looked at.
    stopped = job.left_out.get((files.image_id, *hashes.values()))
    if stopped is not None:
        return ReadImage({}, (), Content.of(files, tuple(hashes.values()), stopped))
    # Without its prediction an image is missing one, whatever the reason.
    reason = next((fact for fact in facts if fact.role != "prediction"), None)
    failure = Failure(STAGE, reason.error_type, reason.error) if reason else None
    facts += [facts_of(role, *files.of(role), data[role], hashes[role], choice) for role in data]
    return ReadImage(data, tuple(facts), Content.of(files, tuple(hashes.values()), failure))


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """What is to be counted of an image, or why it failed."""

    found: LabelPair | OverlapCounts | FailedImage
    size: Size = NOWHERE
    grid: Grid | None = None
    """Where its reference lies; None of pictures and arrays."""
    said: tuple[tuple[str, str], ...] = ()
    """Roles, and what was done or taken for granted of their files."""
    slices: tuple[OverlapCounts, ...] = ()
    """The counts of each of its slices, where they are asked for."""
    structures: Structures | None = None
    """Its label maps, where they are measured and its reference could be read."""


def score_image(files: ImageFiles, read: ReadImage, scoring: Scoring) -> ScoredImage:
    """What is to be counted of an image; bad data and nothing else fails it.

    In the order image, reference, prediction.
    """
    header = next((fact for fact in read.facts if fact.role == "image" and fact.error), None)
    failure = read.content.failure or (Failure(STAGE, header.error_type, header.error) if header else None)
    if failure is not None:
        return ScoredImage(FailedImage(failure))
    size: Size | None = None
    try:
        image = _image_grid(files, read) if scoring.has_images else None
        size = image.size if image else None
        data, name = _data_of("reference", files, read)
        labels = read_labels(data, name, choice=scoring.volumes.choice.over(image), narrow=True)
        place = place_of(labels, image, file_name(files.image[0]), scoring.volumes)
        size = place.size
        stored = _ordinary_prediction(labels.values.size, place.grid, files, read, scoring)
        counted = _counted_as_stored(labels, place, stored, files, scoring)
        if counted is not None:
            return counted
        reference = reference_of(labels.values, name, scoring.references, size)
        if scoring.has_masks:
            place = place.also_said("mask", _leave_out(reference, place.grid, files, read, scoring))
        structures = _structures(reference, labels, place, scoring, name) if scoring.measuring else None
    except DataError as error:
        return ScoredImage(FailedImage(Failure.of(STAGE, error)), size or NOWHERE)
    depth, height, width = reference.shape
    scored = partial(ScoredImage, size=(depth, height, width), grid=place.grid)
    try:
        data, name = _data_of("prediction", files, read)
        how = name, scoring.counting, place.grid, scoring.volumes
        found = beside(reference, stored, *how) if stored else read_prediction(reference, data, *how)
        pair, of = found.found, (scoring.references.n_classes, scoring.counting.regions)
        slices: tuple[OverlapCounts, ...] = ()
        if scoring.slicing is not None:
            slices = tuple(count_slices(pair, scoring.slicing.axis((depth, height, width), place.grid), *of))
        # Label maps are counted with others of their shape.
        to_count = pair if isinstance(pair, LabelPair) else pair.count(*of)
        if structures is not None:
            structures = _predicted(structures, found, scoring, name)
    except DataError as error:
        pixels = class_pixels(reference, scoring.references.n_classes, scoring.counting.regions)
        return scored(FailedImage(Failure.of(STAGE, error), pixels), said=place.said, structures=structures)
    return scored(to_count, said=_said(place, found.said), slices=slices, structures=structures)


def _structures(
    reference: NDArray[np.uint8], labels: LabelMap, place: Place, scoring: Scoring, name: str
) -> Structures:
    """What is measured of an image, as long as nothing is known of its prediction."""
    measuring = scoring.measuring
    assert measuring is not None, "nothing is measured"
    depth, height, width = reference.shape
    spacing = spacing_of(place.grid or Grid((depth, height, width)), measuring.spacing_mm)
    of_set = scoring.references.n_classes, scoring.counting.regions
    has_instances = measuring.lesions is not None and measuring.lesions.instances
    instances = laid_over(labels.values, reference.shape, {0}, name) if has_instances else None
    return Structures(reference, None, *of_set, spacing, instances)


def _predicted(structures: Structures, found: Beside, scoring: Scoring, name: str) -> Structures:
    """The same with its prediction. DataError where a prediction of instances holds none."""
    measuring, instances = scoring.measuring, None
    if measuring is not None and measuring.lesions is not None and measuring.lesions.instances == "both":
        if found.stored is None:
            raise DataError(
                f"{name}: probabilities, where dataset.instances says that predictions number their lesions; expected "
                'a label map with another number for each, or instances = "references"'
            )
        instances = laid_over(found.stored, structures.reference.shape, {0}, name, "reference")
    pair, n_classes = found.found, structures.n_classes
    more = {name: getattr(structures, name) for name in ("regions", "spacing_mm", "reference_instances")}
    if isinstance(pair, RegionPair):
        more["region_masks"] = pair.region_masks(n_classes, structures.regions)
    return Structures.of(structures.reference, hard_labels(pair), n_classes, **more, prediction_instances=instances)


def _leave_out(
    reference: NDArray[np.uint8], grid: Grid | None, files: ImageFiles, read: ReadImage, scoring: Scoring
) -> tuple[str, ...]:
    """Pixels outside of the mask of an image count in nothing; what was done to the mask for that."""
    data, name = _data_of("mask", files, read)
    inside, said = read_mask(data, name, reference.shape, grid, scoring.volumes)
    reference[~inside] = IGNORED
    return said


def _said(place: Place, of_prediction: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return (*place.said, *(("prediction", one) for one in of_prediction))


def _image_grid(files: ImageFiles, read: ReadImage) -> Grid:
    """The grid of the image that is named, from its header."""
    _data_of("image", files, read)
    header = next(fact for fact in read.facts if fact.role == "image")
    return from_text(header.place, (header.depth, header.height, header.width))


def _ordinary_prediction(
    n_pixels: int, grid: Grid | None, files: ImageFiles, read: ReadImage, scoring: Scoring
) -> LabelMap | None:
    """The label map of a prediction beside that of its reference, as soon as the compiled pass is worth loading.

    None before, and where it is none, or cannot be read: `read_prediction` says why once the reference is known.
    """
    data, name = read.data.get("prediction", b""), file_name(files.prediction[0])
    choice = scoring.volumes.choice.over(grid)
    kind = scoring.counting.kind
    is_worth = EFFORT.spend(n_pixels) or n_pixels >= ALONE_WORTH_LOADING
    if not data or not is_worth or kind == "probabilities":
        return None
    with suppress(DataError):
        is_none = kind == "floats" and stores_floats(data, name, choice)
        return None if is_none else read_labels(data, name, choice=choice, narrow=True)
    return None


def _counted_as_stored(
    labels: LabelMap, place: Place, stored: LabelMap | None, files: ImageFiles, scoring: Scoring
) -> ScoredImage | None:
    """The counts of two ordinary label maps; None where something is to be decided or said of their values."""
    if stored is None or scoring.has_masks or scoring.slicing or scoring.measuring or labels.values.ndim != 3:
        return None
    of_predictions = scoring.counting.labels
    depth, height, width = labels.values.shape
    own, name = Grid((depth, height, width)), file_name(files.prediction[0])
    try:
        prediction, said = stored_on_grid(stored, own, place.grid, name, of_predictions, scoring.volumes)
    except DataError:
        return None
    regions = scoring.counting.regions
    counts = count_stored(labels.values, prediction, place.size, scoring.references, of_predictions, regions)
    return None if counts is None else ScoredImage(counts, own.size, place.grid, _said(place, said))


def _data_of(role: str, files: ImageFiles, read: ReadImage) -> tuple[bytes, str]:
    """The bytes of a file, and what messages call it."""
    url, _ = files.of(role)
    if role in read.data:
        return read.data[role], file_name(url)
    name = file_name(url) if url else f"a file for image {files.image_id}"
    # A prediction that lies there and cannot be read is as missing as any.
    raise MissingFile(f"{role}: expected {name}, {'none could be read' if role == 'prediction' else 'found none'}")
