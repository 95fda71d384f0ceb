"""Score: predictions that something else made, read and counted against their references in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from numpy.typing import NDArray

from segscale.errors import DataError, MissingFile
from segscale.storage import shards
from segscale.storage.failures import Failure
from segscale.storage.ledger import content_key
from segscale.storage.local_files import is_local
from segscale.storage.objects import ObjectStore
from segscale.storage.parts import FailedImage
from segscale.storage.sources import ROLES, file_name, read_file
from segscale.tasks.axes import by
from segscale.tasks.compiled import EFFORT
from segscale.tasks.counting import class_pixels, encode_counted
from segscale.tasks.labels import LabelRule
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.pair_counts import count_pairs
from segscale.tasks.prediction_file import Counting, LabelPair, read_prediction
from segscale.tasks.readers import read_label_map, stores_floats
from segscale.tasks.reference_file import reference_of
from segscale.tasks.scan import SourceFacts, facts_of, unread
from segscale.tasks.stored_pair import count_stored

STAGE = "score"
CODE_VERSION = 6
Size = tuple[int, int, int]
"""(D, H, W)"""
NOWHERE: Size = (0, 0, 0)
"""The size of an image that nobody knows."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the files of a set are counted."""

    references: LabelRule
    counting: Counting
    has_images: bool
    """Whether the set names images. Their headers say how large everything is; their pixels are not read."""

    def record(self) -> dict[str, Any]:
        """What of it stands in keys."""
        return {**asdict(self), "counting": self.counting.record()}


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The files of one image, (URL, version) each; "" and "" for none."""

    image_id: str
    image: tuple[str, str]
    reference: tuple[str, str]
    prediction: tuple[str, str]

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
    """Of image, reference and prediction; "" for one that is not named. Messages hold them."""
    hashes: tuple[str, ...]
    """"" for a file that is not there, or could not be read."""
    failure: Failure | None

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
            "scoring": scoring.record(),
            "images": [
                [one.image_id, *one.names, *one.hashes, *(asdict(one.failure).values() if one.failure else ())]
                for one in contents
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

    def found() -> Iterator[LabelPair | OverlapCounts | FailedImage]:
        for files in job.images:
            if job.only and files.image_id not in job.only:
                continue
            read = _read(files, job)
            size, one = _score_image(files, read, scoring)
            facts.extend(read.facts)
            contents.append(read.content)
            sizes.append(by(size))
            yield one

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
        rows = encode_counted([one.image_id for one in contents], "", counted, scoring.counting.n_counted)
        shards.commit_shard(store, STAGE, key, arrays={}, rows=rows, facts=about)
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


def _read(files: ImageFiles, job: ScoreJob) -> _Read:
    data: dict[str, bytes] = {}
    facts: list[SourceFacts] = []
    for role in ROLES:
        url, version = files.of(role)
        if not (url and version):
            continue
        try:
            data[role] = read_file(url)
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
    facts += [facts_of(role, *files.of(role), data[role], hashes[role]) for role in data]
    return _Read(data, tuple(facts), Content.of(files, tuple(hashes.values()), failure))


def _score_image(
    files: ImageFiles, read: _Read, scoring: Scoring
) -> tuple[Size, LabelPair | OverlapCounts | FailedImage]:
    """How large an image is, and what is to be counted of it; bad data and nothing else fails an image.

    In the order image, reference, prediction.
    """
    if read.content.failure is not None:
        return NOWHERE, FailedImage(read.content.failure)
    size: Size | None = None
    try:
        if scoring.has_images:
            _data_of("image", files, read)
            header = next(fact for fact in read.facts if fact.role == "image")
            if header.error:
                return NOWHERE, FailedImage(Failure(STAGE, header.error_type, header.error))
            size = header.depth, header.height, header.width
        data, name = _data_of("reference", files, read)
        labels = read_label_map(data, name)
        predicted = _ordinary_prediction(labels, files, read, scoring.counting)
        counts = count_stored(
            labels, predicted, size, scoring.references, scoring.counting.labels, scoring.counting.regions
        )
        if counts is not None:
            depth, height, width = labels.shape
            return (depth, height, width), counts
        reference = reference_of(labels, name, scoring.references, size)
    except DataError as error:
        return size or NOWHERE, FailedImage(Failure.of(STAGE, error))
    depth, height, width = reference.shape
    try:
        data, name = _data_of("prediction", files, read)
        return (depth, height, width), read_prediction(reference, data, name, scoring.counting, predicted)
    except DataError as error:
        pixels = class_pixels(reference, scoring.references.n_classes, scoring.counting.regions)
        return (depth, height, width), FailedImage(Failure.of(STAGE, error), pixels)


def _ordinary_prediction(
    labels: NDArray[Any], files: ImageFiles, read: _Read, counting: Counting
) -> NDArray[Any] | None:
    """The label map of a prediction beside that of its reference, as soon as the compiled pass is worth loading.

    None before, and where it is none, or cannot be read: `read_prediction` says why once the reference is known.
    """
    data, name = read.data.get("prediction", b""), file_name(files.prediction[0])
    if not (data and EFFORT.spend(labels.size)) or counting.kind == "probabilities" or stores_floats(data, name):
        return None
    with suppress(DataError):
        return read_label_map(data, name)
    return None


def _data_of(role: str, files: ImageFiles, read: _Read) -> tuple[bytes, str]:
    """The bytes of a file, and what messages call it."""
    url, _ = files.of(role)
    if role in read.data:
        return read.data[role], file_name(url)
    name = file_name(url) if url else f"a file for image {files.image_id}"
    # A prediction that lies there and cannot be read is as missing as any.
    raise MissingFile(f"{role}: expected {name}, {'none could be read' if role == 'prediction' else 'found none'}")
