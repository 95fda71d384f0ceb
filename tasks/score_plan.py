"""The plan of a scoring: which images are counted together, under which keys, and the catalog that comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from segscale.storage import catalog as catalogs
from segscale.storage.failures import REASON, Failure
from segscale.storage.ledger import content_key
from segscale.storage.source_memory import places_among, source_keys
from segscale.storage.sources import ROLES
from segscale.tasks.geometry import Vector
from segscale.tasks.place_columns import place_columns
from segscale.tasks.scoring import STAGE, Content, ImageFiles, ScoreJob, Scoring, shard_key
from segscale.tasks.slice_axis import Asked, slice_axis_column

SHARDS, LEAST_IMAGES = 8, 8
"""So many shards a set has at least, unless they would hold fewer images than that."""
MANY, LARGER = 128, 4
"""A set of more shards than that has larger ones, up to so many times: each commit waits for the disk half a dozen
times, whatever it holds."""
Places = npt.NDArray[np.int64]
Hashes = Mapping[str, npt.NDArray[np.object_]]
LeftOut = Mapping[tuple[str, ...], Failure]
"""Why images are not even decoded, by their ids and the hashes of their files."""


@dataclass(frozen=True)
class ScorePlan:
    """The images of a listing in shards."""

    files: pa.Table
    """`files_of` the listing."""
    hashes: Hashes
    """By role the sha256 of each image's file: "" where there is none, None until it is read."""
    left_out: LeftOut
    shards: Mapping[str, Places]
    """The places of their images in the listing, by their keys: of the content where all of it was read, else of the
    ids of the images."""

    def job(self, key: str) -> ScoreJob:
        """The job of a shard."""
        places = self.shards[key]
        images = files_at(self.files, places)
        left_out = {one: self.left_out[one] for files in images for one in self._left_out_of.get(files.image_id, ())}
        return ScoreJob(key, images, are_known(self.hashes, places), left_out)

    def learn(self, key: str, contents: Sequence[Content]) -> None:
        """Take in what the files of a shard were found to hold."""
        for index, role in enumerate(ROLES):
            self.hashes[role][self.shards[key]] = [one.hashes[index] for one in contents]

    @cached_property
    def _left_out_of(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        found: dict[str, tuple[tuple[str, ...], ...]] = {}
        for image_id, *hashes in self.left_out:
            found[image_id] = (*found.get(image_id, ()), (image_id, *hashes))
        return found


def plan_scores(
    listing: pd.DataFrame, sources: pd.DataFrame, scoring: Scoring, shard_images: int, left_out: LeftOut
) -> ScorePlan:
    """The shards of a listing; `sources` is what is known of files (`MEMORY_COLUMNS`).

    Which images go together depends on their ids alone, and on how many there are: a changed file costs its own shard.
    """
    files = files_of(listing)
    hashes = {role: known_hashes(listing, sources, role) for role in ROLES}
    ids = listing["image_id"].to_list()
    shards = {}
    for leaf in pack(ids, shard_images):
        places = np.asarray(leaf, np.int64)
        if are_known(hashes, places):
            key = shard_key(contents_at(files, hashes, places, left_out), scoring)
        else:
            key = content_key({"stage": STAGE, "unread": [ids[place] for place in leaf]})
        shards[key] = places
    return ScorePlan(files, hashes, left_out, shards)


def pack(ids: Sequence[str], shard_images: int) -> list[list[int]]:
    """The places of the images of each shard."""
    return catalogs.pack(ids, [1] * len(ids), shard_size(len(ids), shard_images))


def shard_size(n_images: int, most: int) -> int:
    """How many images a shard holds at most: `most`, of a small set fewer, so that several workers have some, and of a
    large set more, since there is nothing in it but counts.

    A power of two, that a set which grows keeps its shards until it has doubled.

    >>> [shard_size(n_images, 128) for n_images in (3, 100, 503, 2000, 20_000, 100_000)]
    [8, 8, 32, 128, 128, 512]
    """
    few, many = (_power_of_two(n_images // n_shards) for n_shards in (SHARDS, MANY))
    return max(min(most, max(LEAST_IMAGES, few)), min(LARGER * most, many))


def _power_of_two(number: int) -> int:
    """The largest that is no larger; 0 of 0."""
    return 1 << (number.bit_length() - 1) if number else 0


def known_hashes(listing: pd.DataFrame, sources: pd.DataFrame, role: str) -> npt.NDArray[np.object_]:
    """As `ScorePlan.hashes` has them."""
    found = np.full(len(listing), "", dtype=object)
    if role not in listing:
        return found
    is_there = ((listing[role] != "") & (listing[f"{role}_version"] != "")).to_numpy()
    of_role = sources[sources["role"] == role]
    keys = source_keys(listing[role][is_there], listing[f"{role}_version"][is_there])
    places = places_among(keys, source_keys(of_role["url"], of_role["version"]))
    # No place is called -1, which is that of None as well.
    hashes = np.array([*of_role["sha256"], None], dtype=object)
    found[is_there] = hashes[places]
    return found


def are_known(hashes: Hashes, places: Places) -> bool:
    """Whether all files of these images were read before."""
    return not any(value is None for values in hashes.values() for value in values[places])


def files_of(listing: pd.DataFrame) -> pa.Table:
    """image_id, then of each role the URL and the version, "" where there is none; rows are taken from it quickly."""
    none = pa.array([""] * len(listing), pa.large_string())
    names = ("image_id", *(name for role in ROLES for name in (role, f"{role}_version")))
    return pa.table({name: pa.array(listing[name], pa.large_string()) if name in listing else none for name in names})


def files_at(files: pa.Table, places: Places) -> tuple[ImageFiles, ...]:
    """The files of the images at these places."""
    image_ids, *columns = (column.to_pylist() for column in files.take(pa.array(places)).columns)
    of_roles = (zip(columns[start], columns[start + 1], strict=True) for start in range(0, len(columns), 2))
    return tuple(ImageFiles(*row) for row in zip(image_ids, *of_roles, strict=True))


def contents_at(files: pa.Table, hashes: Hashes, places: Places, left_out: LeftOut) -> list[Content]:
    """What decides the counts of the images at these places, whose files were all read before."""
    of_roles = zip(*(hashes[role][places].tolist() for role in ROLES), strict=True)
    return [
        Content.of(one, of_image, left_out.get((one.image_id, *of_image)))
        for one, of_image in zip(files_at(files, places), of_roles, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class ScoredShard:
    """A committed shard of a plan."""

    key: str
    places: Places
    sizes: Sequence[Sequence[int]]
    """(D, H, W) of each image, zeros where nobody knows."""
    texts: Sequence[str]
    """Where each lies, as `grids.to_text` has it."""


def catalog_of(
    listing: pd.DataFrame,
    plan: ScorePlan,
    shards: Iterable[ScoredShard],
    unread: Mapping[str, Failure],
    spacing_mm: Vector | None = None,
    asked: Asked = "auto",
) -> pd.DataFrame:
    """The catalog of a listing whose shards are all committed, in its order.

    `unread` are the images with a file that could not be fetched, by their ids; `spacing_mm` is that of files which say
    nothing of it; `asked` the slice axis.
    """
    n_images = len(listing)
    texts = {"shard": np.full(n_images, "", object), **{name: np.full(n_images, "", object) for name in REASON}}
    numbers = {name: np.zeros(n_images, np.int64) for name in ("depth", "height", "width", "row")}
    where = np.full(n_images, "", object)
    for shard in shards:
        places = shard.places
        texts["shard"][places], numbers["row"][places] = shard.key, np.arange(len(places))
        for name, sides in zip(("depth", "height", "width"), zip(*shard.sizes, strict=True), strict=True):
            numbers[name][places] = sides
        where[places] = shard.texts
    for place, failure in _failures(listing, plan, unread):
        for name in REASON:
            texts[name][place] = getattr(failure, name)
    texts |= {f"{role}_sha256": plan.hashes[role] for role in ROLES}
    columns = place_columns(where.tolist(), numbers["depth"] > 0, spacing_mm, listing.index)
    sizes = np.stack([numbers[name] for name in ("depth", "height", "width")], axis=1)
    columns |= slice_axis_column(sizes, columns, asked, listing.index)
    planned = listing.assign(
        **{name: pd.Series(values, listing.index, dtype="str") for name, values in texts.items()},
        **{name: pd.Series(values, listing.index) for name, values in numbers.items()},
        **columns,
        **dict.fromkeys(("channels", "full_scale", "padded_height", "padded_width"), 0),
        dtype="",
        **{role: "" for role in ROLES if role not in listing},
    )
    versions = {f"{role}_version" for role in ROLES}
    groups = [name for name in listing.columns if name not in catalogs.COLUMNS and name not in versions]
    return planned[[*catalogs.COLUMNS, *groups]]


def _failures(listing: pd.DataFrame, plan: ScorePlan, unread: Mapping[str, Failure]) -> Iterator[tuple[int, Failure]]:
    """The places of images of which nothing is decoded, and why."""
    suspects = {image_id for image_id, *_ in plan.left_out} | unread.keys()
    for place in np.flatnonzero(listing["image_id"].isin(suspects)):
        image_id = str(listing["image_id"].iloc[place])
        hashes = (str(plan.hashes[role][place]) for role in ROLES)
        failure = plan.left_out.get((image_id, *hashes), unread.get(image_id))
        if failure is not None:
            yield int(place), failure


def of_catalog(catalog: pd.DataFrame) -> ScorePlan:
    """The plan that a catalog came of, whatever its files are now and whatever is left out today."""
    hashes = {role: catalog[f"{role}_sha256"].to_numpy(object) for role in ROLES}
    listing = catalog[["image_id", *ROLES]].assign(**{f"{role}_version": hashes[role] for role in ROLES})
    failed = catalog[catalog["error_type"] != ""]
    left_out = {
        (image_id, *of_image): Failure(STAGE, error_type, error)
        for image_id, *of_image, error_type, error in failed[
            ["image_id", *(f"{role}_sha256" for role in ROLES), *REASON]
        ].itertuples(index=False, name=None)
    }
    return ScorePlan(files_of(listing), hashes, left_out, catalogs.rows_by_shard(catalog))


def is_whole(listing: pd.DataFrame, catalog: pd.DataFrame) -> bool:
    """Whether every file of a listing that is there could be read for its catalog."""
    return not any(
        bool(((listing[f"{role}_version"] != "") & (catalog[f"{role}_sha256"] == "").to_numpy()).any())
        for role in ROLES
        if role in listing
    )
