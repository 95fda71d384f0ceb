"""The plan of a scoring: which images are counted together, under which keys, and the catalog that comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.storage import catalog as catalogs
from segscale.storage.failures import REASON, Failure
from segscale.storage.ledger import content_key
from segscale.storage.quarantine import Held
from segscale.storage.sources import ROLES
from segscale.tasks.score import STAGE, Content, ImageFiles, ScoreJob, Scoring, shard_key

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """Images that are scored together."""

    places: Places
    """Of its images in the listing, in the order of its rows."""
    contents: tuple[Content, ...]
    """Of its images; empty where a file of one was not read before."""


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """The images of a listing in shards."""

    listing: pd.DataFrame
    shards: Mapping[str, PlannedShard]
    """By their keys: of the content where all of it was read before, else of the names and versions of the files."""
    held: Mapping[str, tuple[Held, ...]]
    """What workers ended at before, by the id of the image."""

    def job(self, key: str) -> ScoreJob:
        """The job of a shard."""
        shard = self.shards[key]
        images = _files(self.listing, shard.places)
        held = tuple(one for files in images for one in self.held.get(files.image_id, ()))
        return ScoreJob(key, images, bool(shard.contents), held)


def plan_scores(
    listing: pd.DataFrame, files: pd.DataFrame, scoring: Scoring, shard_images: int, held: Mapping[tuple[str, ...], Held]
) -> ScorePlan:
    """The shards of a listing.

    `listing` has image_id, then the URL and version of each role; `files` what is known of files (`MEMORY_COLUMNS`).
    Which images go together depends on their ids alone: a changed file costs its own shard.
    """
    by_image: dict[str, tuple[Held, ...]] = {}
    for one in held.values():
        by_image[one.name] = (*by_image.get(one.name, ()), one)
    hashes = {role: known_hashes(listing, files, role) for role in ROLES}
    is_known = np.logical_and.reduce([values != None for values in hashes.values()])  # noqa: E711  # of each place
    shards: dict[str, PlannedShard] = {}
    ids = listing["image_id"].to_list()
    for leaf in catalogs.pack(ids, [1] * len(ids), shard_images):
        places = np.asarray(leaf, np.int64)
        if is_known[places].all():
            contents = tuple(
                _content(one, tuple(hashes[role][place] for role in ROLES), by_image)
                for one, place in zip(_files(listing, places), leaf, strict=True)
            )
            shards[shard_key(contents, scoring)] = PlannedShard(places, contents)
        else:
            named = [dataclasses.astuple(one) for one in _files(listing, places)]
            shards[content_key({"stage": STAGE, "files": named})] = PlannedShard(places, ())
    return ScorePlan(listing, shards, by_image)


def _content(files: ImageFiles, hashes: Sequence[str], held: Mapping[str, tuple[Held, ...]]) -> Content:
    stopped = next((one for one in held.get(files.image_id, ()) if one.content == tuple(hashes)), None)
    failure = Failure(STAGE, stopped.error_type, stopped.error) if stopped else None
    return Content.of(files, hashes, failure)


def known_hashes(listing: pd.DataFrame, files: pd.DataFrame, role: str) -> npt.NDArray[np.object_]:
    """The sha256 of each image's file of a role: "" where there is none, None where it was not read before."""
    found = np.full(len(listing), "", dtype=object)
    if role not in listing:
        return found
    is_there = ((listing[role] != "") & (listing[f"{role}_version"] != "")).to_numpy()
    of_role = files[files["role"] == role]
    keys = catalogs.source_keys(listing[role][is_there], listing[f"{role}_version"][is_there])
    places = catalogs.places_among(keys, catalogs.source_keys(of_role["url"], of_role["version"]))
    hashes = np.append(of_role["sha256"].to_numpy(object), None)
    found[is_there] = hashes[places]
    return found


def _files(listing: pd.DataFrame, places: Places) -> tuple[ImageFiles, ...]:
    rows = listing.iloc[places]
    none = [""] * len(rows)
    pairs = (
        zip(*(rows[name].to_list() if name in rows else none for name in (role, f"{role}_version")), strict=True)
        for role in ROLES
    )
    return tuple(ImageFiles(*row) for row in zip(rows["image_id"].to_list(), *pairs, strict=True))


@dataclass(frozen=True, slots=True)
class ScoredShard:
    """A committed shard of a plan."""

    key: str
    places: Places
    contents: Sequence[Content]
    sizes: Sequence[Sequence[int]]
    """(D, H, W) of each image, zeros where nobody knows."""


def catalog_of(listing: pd.DataFrame, shards: Iterable[ScoredShard]) -> pd.DataFrame:
    """The catalog of a listing whose shards are all committed, in its order."""
    n_images = len(listing)
    texts = {name: np.full(n_images, "", object) for name in (*(f"{role}_sha256" for role in ROLES), "shard", *REASON)}
    numbers = {name: np.zeros(n_images, np.int64) for name in ("depth", "height", "width", "row")}
    for shard in shards:
        places = shard.places
        texts["shard"][places], numbers["row"][places] = shard.key, np.arange(len(places))
        for index, role in enumerate(ROLES):
            texts[f"{role}_sha256"][places] = [one.hashes[index] for one in shard.contents]
        for name in REASON:
            texts[name][places] = [getattr(one.failure, name) if one.failure else "" for one in shard.contents]
        for index, name in enumerate(("depth", "height", "width")):
            numbers[name][places] = [size[index] for size in shard.sizes]
    planned = listing.assign(
        **{name: pd.Series(values, listing.index, dtype="str") for name, values in texts.items()},
        **{name: pd.Series(values, listing.index) for name, values in numbers.items()},
        **dict.fromkeys(("channels", "full_scale", "padded_height", "padded_width"), 0),
        dtype="",
    )
    for role in ROLES:
        if role not in planned:
            planned[role] = ""
    versions = {f"{role}_version" for role in ROLES}
    groups = [name for name in listing.columns if name not in catalogs.COLUMNS and name not in versions]
    return planned[[*catalogs.COLUMNS, *groups]]
