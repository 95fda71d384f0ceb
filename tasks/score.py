"""Score: predictions that something else made, read and counted against their references in one pass."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError, MissingFile
from segscale.storage import shards
from segscale.storage.failures import Failure
from segscale.storage.ledger import content_key
from segscale.storage.local_files import is_local
from segscale.storage.objects import ObjectStore
from segscale.storage.parts import FailedImage
from segscale.storage.slice_parts import SLICES, encode_slices
from segscale.storage.sources import ROLES, file_name
from segscale.tasks.alignment import AS_THEY_ARE, Said, Volumes, said_facts
from segscale.tasks.axes import by
from segscale.tasks.compiled import EFFORT
from segscale.tasks.counting import class_pixels, encode_counted
from segscale.tasks.evaluated import read_mask
from segscale.tasks.grids import Grid, Size, from_text, to_text
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.pair_counts import count_pairs
from segscale.tasks.prediction_file import Counting, LabelPair, beside, read_prediction, stored_on_grid
from segscale.tasks.readers import Choice, LabelMap, read_labels, stores_floats
from segscale.tasks.reference_file import Place, place_of, reference_of
from segscale.tasks.scan import SourceFacts, facts_of, unread
from segscale.tasks.slice_counts import Slicing, count_slices, slice_rows
from segscale.tasks.source_files import read_source
from segscale.tasks.stored_pair import count_stored

STAGE = "score"
CODE_VERSION = 6
ALONE_WORTH_LOADING = 2**25
"""Voxels of one volume for which the compiled pass is loaded at once: without it they take as long as that does."""
NOWHERE: Size = (0, 0, 0)
"""The size of an image that nobody knows."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the files of a set are counted."""

    references: LabelRule
    counting: Counting
    has_images: bool
    """Whether the set names images. Their headers say how large everything is; their pixels are not read."""
    volumes: Volumes = AS_THEY_ARE
    has_masks: bool = False
    """Whether the set names masks: pixels where the mask of an image is 0 count in nothing."""
    slicing: Slicing | None = None
    """How volumes are cut whose slices are counted by themselves too; None where they are not."""

    def as_key(self) -> dict[str, Any]:
        """Itself as a part of content keys; of plain pictures that of before there were volumes and masks."""
        plain = {"volumes": AS_THEY_ARE, "has_masks": False, "slicing": None}
        found = {name: value for name, value in asdict(self).items() if getattr(self, name) != plain.get(name, self)}
        return {**found, "counting": self.counting.as_key()}


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The files of one image, (URL, version) each; "" and "" for none."""

    image_id: str
    image: tuple[str, str]
    reference: tuple[str, str]
    prediction: tuple[str, str]
    mask: tuple[str, str] = ("", "")

    def of(self, role: str) -> tuple[str, str]:
        """The file of a role."""
        found: tuple[str, str] = getattr(self, role)
        return found


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Images to be scored together."""

    key: str
    images: tuple[ImageFiles, ...]
    is_content: bool
    """Whether `key` is that of the bytes of all files, which were read before; else it is found as they are read."""
    left_out: Mapping[tuple[str, ...], Failure] = field(default_factory=dict)
    """Why images are not even decoded, by their ids and the hashes of their files: workers ended at them."""
    only: tuple[str, ...] = ()
    """Of a trial: the ids of the images that are counted, and nothing is committed."""


@dataclass(frozen=True, slots=True)
class Content:
    """What decides the counts of one image: the names and hashes of its files, and why it is left out if it is."""

    image_id: str
    names: tuple[str, ...]
    """Of the files of all roles; "" for one that is not named. Messages hold them."""
    hashes: tuple[str, ...]
    """"" for a file that is not there, or could not be read."""
    failure: Failure | None

    @property
    def files(self) -> tuple[str, ...]:
        """Names and hashes; without a mask those of before there were any."""
        n_roles = len(ROLES) if self.names[-1] else len(ROLES) - 1
        return (*self.names[:n_roles], *self.hashes[:n_roles])

    @classmethod
    def of(cls, files: ImageFiles, hashes: Sequence[str], failure: Failure | None) -> Content:
        """That of an image whose files have these hashes."""
        names = tuple(file_name(files.of(role)[0]) for role in ROLES)
        return cls(files.image_id, names, tuple(hashes), failure)


@dataclass(frozen=True, slots=True)
class ScoreDone:
    """The record that comes back from a worker."""

    key: str
    """Under which the shard is committed."""
    n_images: int
    n_failed: int
    contents: tuple[Content, ...]
    """Of its images."""
    files: Mapping[str, Sequence[Any]]
    """What its files told, by the fields of `SourceFacts`."""
    seconds: float = 0.0


def places_in(facts: Mapping[str, Any]) -> list[str]:
    """Where the images of a committed shard lie, as `grids.to_text` has it; from the facts of its record."""
    n_images: int = facts["n_images"]
    return list(facts.get("places", [""] * n_images))


def sizes_in(facts: Mapping[str, Any]) -> list[Size]:
    """How large the images of a committed shard are, `NOWHERE` where nobody knows; from the facts of its record."""
    sides = (map(int, size.split("x")) for size in facts["sizes"].split())
    return [(depth, height, width) for depth, height, width in sides]


def shard_key(contents: Sequence[Content], scoring: Scoring) -> str:
    """The key of a shard: everything that determines its bytes, and no folder."""
    return content_key(
        {
            "stage": STAGE,
            "code_version": CODE_VERSION,
            "scoring": scoring.as_key(),
            "images": [
                [one.image_id, *one.files, *(asdict(one.failure).values() if one.failure else ())] for one in contents
            ],
        }
    )


def score_shard(store: ObjectStore, job: ScoreJob, scoring: Scoring) -> ScoreDone:
    """Read, hash and count every image of a shard, and commit the part.

    An image with a missing or unusable file is a failed image with its reason, and so is one with a file that cannot be
    fetched, which the next run tries again. Raises OSError where files are no longer those of the job's key, or could
    be read before and cannot be read now.
    """
    facts: list[SourceFacts] = []
    contents: list[Content] = []
    sizes: list[str] = []
    places: list[str] = []
    said: Said = Counter()
    slices: list[dict[str, Any]] = []

    def found() -> Iterator[LabelPair | OverlapCounts | FailedImage]:
        for files in job.images:
            if job.only and files.image_id not in job.only:
                continue
            read = _read(files, job, scoring.volumes.choice)
            scored = _score_image(files, read, scoring)
            facts.extend(read.facts)
            contents.append(read.content)
            sizes.append(by(scored.size))
            places.append(to_text(scored.grid) if scored.grid else "")
            said.update(scored.said)
            slices.extend(slice_rows(files.image_id, "", scored.slices))
            yield scored.found

    counted: list[OverlapCounts | FailedImage] = count_pairs(
        found(), scoring.references.n_classes, scoring.counting.regions
    )
    n_failed = sum(isinstance(one, FailedImage) for one in counted)
    key = job.key
    if not job.only:
        key = shard_key(contents, scoring)
        if job.is_content and key != job.key:
            raise OSError(f"files of shard {job.key[:12]} changed while they were being read")
        about = {"n_images": len(contents), "n_failed": n_failed, "sizes": " ".join(sizes)}
        # Of pictures, as before there were volumes, nothing.
        about |= {"places": places} if any(places) else {}
        about |= said_facts(said)
        rows = encode_counted([one.image_id for one in contents], "", counted, scoring.counting.n_counted)
        beside = {SLICES: encode_slices(slices)} if scoring.slicing else None
        shards.commit_shard(store, STAGE, key, arrays={}, rows=rows, facts=about, beside=beside)
    columns = {one.name: [getattr(fact, one.name) for fact in facts] for one in fields(SourceFacts)}
    return ScoreDone(key, len(contents), n_failed, tuple(contents), columns)


def _is_about_the_file(url: str, error: OSError) -> bool:
    """Whether trying again soon would change nothing: a server may give in a minute what it does not give now."""
    return is_local(url) or isinstance(error, FileNotFoundError | PermissionError)


@dataclass(frozen=True, slots=True)
class _Read:
    """The files of an image in memory."""

    data: Mapping[str, bytes]
    """By role; a file that is not there, or could not be read, has none."""
    facts: tuple[SourceFacts, ...]
    content: Content


def _read(files: ImageFiles, job: ScoreJob, choice: Choice) -> _Read:
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
        return _Read({}, (), Content.of(files, tuple(hashes.values()), stopped))
    # Without its prediction an image is missing one, whatever the reason.
    reason = next((fact for fact in facts if fact.role != "prediction"), None)
    failure = Failure(STAGE, reason.error_type, reason.error) if reason else None
    facts += [facts_of(role, *files.of(role), data[role], hashes[role], choice) for role in data]
    return _Read(data, tuple(facts), Content.of(files, tuple(hashes.values()), failure))


@dataclass(frozen=True, slots=True)
class _Scored:
    """What is to be counted of an image, or why it failed."""

    found: LabelPair | OverlapCounts | FailedImage
    size: Size = NOWHERE
    grid: Grid | None = None
    """Where its reference lies; None of pictures and arrays."""
    said: tuple[tuple[str, str], ...] = ()
    """Roles, and what was done or taken for granted of their files."""
    slices: tuple[OverlapCounts, ...] = ()
    """The counts of each of its slices, where they are asked for."""


def _score_image(files: ImageFiles, read: _Read, scoring: Scoring) -> _Scored:
    """What is to be counted of an image; bad data and nothing else fails it.

    In the order image, reference, prediction.
    """
    header = next((fact for fact in read.facts if fact.role == "image" and fact.error), None)
    failure = read.content.failure or (Failure(STAGE, header.error_type, header.error) if header else None)
    if failure is not None:
        return _Scored(FailedImage(failure))
    size: Size | None = None
    try:
        image = _image_grid(files, read) if scoring.has_images else None
        size = image.size if image else None
        data, name = _data_of("reference", files, read)
        labels = read_labels(data, name, choice=replace(scoring.volumes.choice, drawn_on=image), narrow=True)
        place = place_of(labels, image, file_name(files.image[0]), scoring.volumes)
        size = place.size
        stored = _ordinary_prediction(labels.values.size, place.grid, files, read, scoring)
        counted = _counted_as_stored(labels, place, stored, files, scoring)
        if counted is not None:
            return counted
        reference = reference_of(labels.values, name, scoring.references, size)
        if scoring.has_masks:
            place = place.also_said("mask", _leave_out(reference, place.grid, files, read, scoring))
    except DataError as error:
        return _Scored(FailedImage(Failure.of(STAGE, error)), size or NOWHERE)
    depth, height, width = reference.shape
    scored = partial(_Scored, size=(depth, height, width), grid=place.grid)
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
    except DataError as error:
        pixels = class_pixels(reference, scoring.references.n_classes, scoring.counting.regions)
        return scored(FailedImage(Failure.of(STAGE, error), pixels), said=place.said)
    return scored(to_count, said=_said(place, found.said), slices=slices)


def _leave_out(
    reference: NDArray[np.uint8], grid: Grid | None, files: ImageFiles, read: _Read, scoring: Scoring
) -> tuple[str, ...]:
    """Pixels outside of the mask of an image count in nothing; what was done to the mask for that."""
    data, name = _data_of("mask", files, read)
    inside, said = read_mask(data, name, reference.shape, grid, scoring.volumes)
    reference[~inside] = IGNORED
    return said


def _said(place: Place, of_prediction: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return (*place.said, *(("prediction", one) for one in of_prediction))


def _image_grid(files: ImageFiles, read: _Read) -> Grid:
    """The grid of the image that is named, from its header."""
    _data_of("image", files, read)
    header = next(fact for fact in read.facts if fact.role == "image")
    return from_text(header.place, (header.depth, header.height, header.width))


def _ordinary_prediction(
    n_pixels: int, grid: Grid | None, files: ImageFiles, read: _Read, scoring: Scoring
) -> LabelMap | None:
    """The label map of a prediction beside that of its reference, as soon as the compiled pass is worth loading.

    None before, and where it is none, or cannot be read: `read_prediction` says why once the reference is known.
    """
    data, name = read.data.get("prediction", b""), file_name(files.prediction[0])
    choice = replace(scoring.volumes.choice, drawn_on=grid)
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
) -> _Scored | None:
    """The counts of two ordinary label maps; None where something is to be decided or said of their values."""
    if stored is None or scoring.has_masks or scoring.slicing or labels.values.ndim != 3:
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
    return None if counts is None else _Scored(counts, own.size, place.grid, _said(place, said))


def _data_of(role: str, files: ImageFiles, read: _Read) -> tuple[bytes, str]:
    """The bytes of a file, and what messages call it."""
    url, _ = files.of(role)
    if role in read.data:
        return read.data[role], file_name(url)
    name = file_name(url) if url else f"a file for image {files.image_id}"
    # A prediction that lies there and cannot be read is as missing as any.
    raise MissingFile(f"{role}: expected {name}, {'none could be read' if role == 'prediction' else 'found none'}")
