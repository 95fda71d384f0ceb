"""Ingest: source files become a committed shard of stored integers, class indices and recipes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from storage import catalog, shards, tables
from storage.ledger import content_key
from storage.objects import ObjectStore
from storage.sources import ROLES, read_file
from tasks.normalize import IGNORED, Method, Recipe, find_recipe, to_class_indices
from tasks.readers import Picture, UnreadableImage, read_header, read_label_map, read_picture
from tasks.tiling import bucket_side, pad_to

STAGE = "ingest"
CODE_VERSION = 1
PADDING: Final = "reflect"
# One pixel has no neighbourhood to segment by; such files are placeholders.
MINIMUM_SIDE = 2
IMAGES, REFERENCES = "images", "references"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to every image and reference of a data set."""

    n_classes: int
    label_values: tuple[int, ...]
    """The file value of each class; empty: 0..C-1, and 0 against anything else for two classes."""
    ignore_label: int
    normalize: Method
    """unit, window, percentile or zscore."""
    window: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What one look at a file told: its hash, and of an image its size. `error` is "" for a sound file."""

    role: str
    """image, reference or prediction."""
    url: str
    version: str
    sha256: str
    depth: int = 0
    height: int = 0
    width: int = 0
    channels: int = 0
    dtype: str = ""
    error_type: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class IngestRow:
    """One image of a shard. `error` is not empty for an image whose files cannot be used at all."""

    image_id: str
    image: str
    reference: str
    image_sha256: str
    reference_sha256: str
    depth: int
    height: int
    width: int
    error_type: str
    error: str


@dataclass(frozen=True, slots=True)
class IngestJob:
    """A shard to be made: its key, its padded size and its images in the order of their rows."""

    key: str
    padded_height: int
    padded_width: int
    channels: int
    dtype: str
    rows: tuple[IngestRow, ...]


@dataclass(frozen=True, slots=True)
class ShardDone:
    """The small record that comes back from a worker: which shard, how many images, how many of them failed."""

    key: str
    n_images: int
    n_failed: int
    seconds: float = 0.0


def inspect_files(role: str, files: Sequence[tuple[str, str]]) -> list[SourceFacts]:
    """Hash files, given as (url, version), and read the size of images from their headers (`role` "image").

    A file that is not an image is a fact about its bytes and comes back as an error; a file that cannot be fetched
    (an OSError) is not, and is raised.
    """
    return [_inspect(role, url, version) for url, version in files]


def _inspect(role: str, url: str, version: str) -> SourceFacts:
    data = read_file(url)
    digest = hashlib.sha256(data).hexdigest()
    if role != "image":
        return SourceFacts(role, url, version, digest)
    try:
        header = read_header(data, file_name(url))
        if min(header.height, header.width) < MINIMUM_SIDE:
            raise UnreadableImage(
                f"{file_name(url)}: expected at least {MINIMUM_SIDE} pixels a side, got {header.height}x{header.width}"
            )
    except UnreadableImage as error:
        return SourceFacts(role, url, version, digest, error_type=type(error).__name__, error=str(error))
    size = (header.depth, header.height, header.width, header.channels)
    return SourceFacts(role, url, version, digest, *size, header.dtype)


def file_name(url: str) -> str:
    """The last part of a URL: what messages call a file, so that they do not change with the folder it lies in."""
    return url.rsplit("/", 1)[-1]


def plan_shards(
    listing: pd.DataFrame, files: pd.DataFrame, preparation: Preparation, shard_images: int
) -> pd.DataFrame:
    """The catalog: every listed image with the facts of its files, and the shard and row that will hold it.

    `listing` has image_id, then the URL and version of image, reference and prediction (where there are any), and group
    columns; `files` has the columns of `SourceFacts`. Rows come back in the order of `listing`.
    """
    planned = _with_facts(listing, files)
    planned["padded_height"] = [bucket_side(side) if side else 0 for side in planned["height"]]
    planned["padded_width"] = [bucket_side(side) if side else 0 for side in planned["width"]]
    shards_of = np.full(len(planned), "", dtype=object)
    rows_of = np.zeros(len(planned), np.int64)
    buckets = planned.groupby(["padded_height", "padded_width", "channels", "dtype"], sort=True).indices
    for places in buckets.values():
        members = np.asarray(places, np.int64)
        first = planned.iloc[members[0]]
        slices = np.maximum(planned["depth"].to_numpy()[members], 1)
        capacity = catalog.shard_capacity(shard_images, max(1, _slice_bytes(first)))
        for leaf in catalog.pack(planned["image_id"].iloc[members].to_list(), slices.tolist(), capacity):
            positions = members[leaf]
            rows_of[positions] = np.cumsum([0, *slices[leaf]])[:-1]
            shards_of[positions] = shard_key(_job_rows(planned.iloc[positions]), first, preparation)
    planned["shard"], planned["row"] = pd.Series(shards_of, planned.index, dtype="str"), rows_of
    versions = {f"{role}_version" for role in ROLES}
    groups = [name for name in listing.columns if name not in catalog.COLUMNS and name not in versions]
    return planned[[*catalog.COLUMNS, *groups]]


def _with_facts(listing: pd.DataFrame, files: pd.DataFrame) -> pd.DataFrame:
    known = files.drop_duplicates(["role", "url", "version"]).set_index(["role", "url", "version"])
    planned = listing.copy()
    if "prediction" not in planned:
        planned["prediction"], planned["prediction_version"] = "", ""
    planned["error_type"], planned["error"] = "", ""
    for role in ("prediction", "reference", "image"):
        facts = known.reindex(_keys(role, planned))
        planned[f"{role}_sha256"] = facts["sha256"].fillna("").to_numpy()
        if role == "image":
            for name in ("depth", "height", "width", "channels"):
                planned[name] = facts[name].fillna(0).astype(np.int64).to_numpy()
            planned["dtype"] = facts["dtype"].fillna("").to_numpy()
        if role != "prediction":
            _note_errors(planned, role, facts)
    unusable = (planned["error"] != "").to_numpy()
    # What cannot be read has no size; such images share shards without arrays.
    planned.loc[unusable, ["depth", "height", "width", "channels"]] = 0
    planned.loc[unusable, "dtype"] = ""
    return planned


def _keys(role: str, planned: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([[role] * len(planned), planned[role], planned[f"{role}_version"]])


def _note_errors(planned: pd.DataFrame, role: str, facts: pd.DataFrame) -> None:
    broken = facts["error"].fillna("").to_numpy() != ""
    planned.loc[broken, "error_type"] = facts["error_type"].to_numpy()[broken]
    planned.loc[broken, "error"] = facts["error"].to_numpy()[broken]
    absent = (planned[f"{role}_sha256"] == "").to_numpy() & ~broken
    planned.loc[absent, "error_type"] = "MissingFile"
    planned.loc[absent, "error"] = [
        f"{role}: expected {file_name(url) if url else f'a file for image {image_id}'}, found none"
        for url, image_id in zip(planned.loc[absent, role], planned.loc[absent, "image_id"], strict=True)
    ]


def _slice_bytes(row: pd.Series[Any]) -> int:
    item = np.dtype(row["dtype"]).itemsize if row["dtype"] else 0
    return int(row["padded_height"] * row["padded_width"] * (row["channels"] * item + 1))


def _job_rows(rows: pd.DataFrame) -> tuple[IngestRow, ...]:
    names = list(IngestRow.__dataclass_fields__)
    return tuple(IngestRow(**dict(zip(names, values, strict=True))) for values in rows[names].itertuples(index=False))


def shard_key(rows: Sequence[IngestRow], bucket: pd.Series[Any], preparation: Preparation) -> str:
    """The key of a shard: everything that determines its bytes, and no folder."""
    return content_key(
        {
            "stage": STAGE,
            "code_version": CODE_VERSION,
            "padding": PADDING,
            "preparation": asdict(preparation),
            "bucket": [
                int(bucket["padded_height"]),
                int(bucket["padded_width"]),
                int(bucket["channels"]),
                bucket["dtype"],
            ],
            # The names of the files stand in messages, and their suffixes choose the readers.
            "rows": [
                [
                    *(row.image_id, file_name(row.image), row.image_sha256),
                    *(file_name(row.reference), row.reference_sha256, row.error_type, row.error),
                ]
                for row in rows
            ],
        }
    )


def plan_job(shard: pd.DataFrame) -> IngestJob:
    """The job of one shard, from the rows of the catalog that it holds, in their order."""
    first = shard.iloc[0]
    return IngestJob(
        key=first["shard"],
        padded_height=int(first["padded_height"]),
        padded_width=int(first["padded_width"]),
        channels=int(first["channels"]),
        dtype=first["dtype"],
        rows=_job_rows(shard),
    )


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
        picture = read_picture(_fetch(row.image, row.image_sha256), file_name(row.image))
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


def _fetch(url: str, sha256: str) -> bytes:
    data = read_file(url)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise OSError(f"{url} changed while it was being ingested: catalogued sha256 {sha256[:12]}, now {found[:12]}")
    return data


def _check_header(picture: Picture, row: IngestRow, job: IngestJob) -> None:
    expected = (row.depth, row.height, row.width, job.channels)
    if picture.pixels.shape != expected or picture.pixels.dtype != np.dtype(job.dtype):
        raise UnreadableImage(
            f"{file_name(row.image)}: its header says {expected} {job.dtype}, its pixels are "
            f"{picture.pixels.shape} {picture.pixels.dtype}"
        )


def _read_reference(row: IngestRow, picture: Picture, preparation: Preparation) -> npt.NDArray[np.uint8]:
    name = file_name(row.reference)
    labels = read_label_map(_fetch(row.reference, row.reference_sha256), name)
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
