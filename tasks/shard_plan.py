"""The plan of an ingest: which image goes into which shard, in which row, under which key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.storage import catalog
from segscale.storage.catalog import SLICE_AXIS
from segscale.storage.failures import REASON, Failure, from_columns
from segscale.storage.ledger import content_key
from segscale.storage.quarantine import Held
from segscale.storage.shards import CHUNK_ROWS
from segscale.storage.sources import MASK, ROLES, file_name
from segscale.storage.tables import frame_sha256
from segscale.tasks.alignment import AS_THEY_ARE, Volumes
from segscale.tasks.full_scale import FullScales, agree
from segscale.tasks.geometry import Vector
from segscale.tasks.grids import Size
from segscale.tasks.labels import LabelRule
from segscale.tasks.listed_facts import SIDES, facts_of, with_facts
from segscale.tasks.normalize import Method
from segscale.tasks.place_columns import place_columns
from segscale.tasks.slice_axis import Asked, slice_axis_column, stacked, stacks_of
from segscale.tasks.tiling import bucket_side

STAGE = "ingest"
CODE_VERSION = 3
"""Of planning and ingesting; part of every key, raised when equal sources would give other bytes."""
PADDING: Final = "reflect"
_KEY_COLUMNS = ("image_id", "image", "image_sha256", "reference", "reference_sha256", *REASON)
_SHARDS_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to every image and reference of a data set."""

    n_classes: int
    label_values: tuple[int, ...]
    """The value of each class in the references; empty: 0..C-1, and for two classes 0 against something else."""
    ignore_label: int | None
    normalize: Method
    """unit, window, percentile, zscore or none."""
    window: tuple[float, float]
    full_scale: float = 0.0
    """The stored value that means 1.0 under "unit", of every image; 0.0: as their files say."""
    labels_found: bool = False
    """Whether files of the set told what something else is (`LabelRule.found`)."""
    volumes: Volumes = AS_THEY_ARE
    slice_axis: Asked = "auto"
    """Along which axis of a volume its slices follow one another."""
    instances: bool = False
    """Whether the numbers that references hold are kept beside the classes: another one for each lesion. Existing
    predictions are scored beside the files, which hold them."""

    def as_key(self) -> dict[str, Any]:
        """Itself as a part of keys; of a set that asks for nothing of volumes that of before there were any."""
        unasked = {"volumes": AS_THEY_ARE, "slice_axis": "auto", "instances": False}
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in unasked or getattr(self, name) != unasked[name]
        }

    @property
    def labels(self) -> LabelRule:
        """What the values of references mean."""
        return LabelRule(self.n_classes, self.label_values, self.ignore_label, self.labels_found)


@dataclass(frozen=True, slots=True)
class IngestRow:
    """One image of a shard."""

    image_id: str
    image: str
    reference: str
    image_sha256: str
    reference_sha256: str
    depth: int
    """As the next two along the axes of the reference, as they are stored."""
    height: int
    width: int
    slice_axis: str
    """d, h or w; "" of a picture."""
    mask: str
    """"" for none."""
    mask_sha256: str
    failure: Failure | None
    """Why its files cannot be used at all; None where they may."""

    @property
    def size(self) -> Size:
        """(D, H, W), zeros where the files cannot be used."""
        return self.depth, self.height, self.width

    @property
    def stack(self) -> Size:
        """Slices in the shard, at least one, and their height and width."""
        n_slices, height, width = stacked(self.size, self.slice_axis)
        return max(1, n_slices), height, width


@dataclass(frozen=True, slots=True)
class IngestJob:
    """A shard to be made: its key, its padded size and its images in the order of their rows."""

    key: str
    padded_height: int
    padded_width: int
    channels: int
    dtype: str
    full_scale: int
    """That its images agree on; 0 for the largest number of their type."""
    rows: tuple[IngestRow, ...]
    only: tuple[str, ...] = ()
    """Of a trial: the ids of the images that are read, and nothing is committed."""


def plan_shards(
    listing: pd.DataFrame,
    files: pd.DataFrame,
    preparation: Preparation,
    shard_images: int,
    held: Mapping[tuple[str, ...], Held] | None = None,
    given: Vector | None = None,
) -> pd.DataFrame:
    """The catalog: every listed image with the facts of its files, and the shard and row that will hold it.

    `listing` has image_id, then the URL and version of image, reference and prediction (where there are any), and group
    columns; `files` has the columns of `SourceFacts`; `held` is what is quarantined, by id and `CONTENT`; `given` the
    spacing in mm of images whose files say nothing of it. Rows come back in the order of `listing`.
    """
    planned = with_facts(listing, files, held or {})
    known = (planned["depth"] > 0).to_numpy()
    columns = place_columns(planned["place"].tolist(), known, given, planned.index)
    sizes = planned[list(SIDES)].to_numpy(np.int64)
    columns |= slice_axis_column(sizes, columns, preparation.slice_axis, planned.index)
    planned = planned.assign(**columns)
    planned["full_scale"] = full_scales(listing, planned["dtype"], files, preparation).of_images
    stacks = stacks_of(sizes, planned[SLICE_AXIS])
    for name, values in (("height", stacks[:, 1]), ("width", stacks[:, 2])):
        sides = {side: bucket_side(side) if side else 0 for side in np.unique(values).tolist()}
        planned[f"padded_{name}"] = pd.Series(values, planned.index).map(sides)
    shards_of = np.full(len(planned), "", dtype=object)
    rows_of = np.zeros(len(planned), np.int64)
    buckets = planned.groupby(["padded_height", "padded_width", "channels", "dtype"], sort=True).indices
    for places in buckets.values():
        members = np.asarray(places, np.int64)
        first = planned.iloc[members[0]]
        slices = stacks[members, 0]
        capacity = catalog.shard_capacity(shard_images, max(1, _slice_bytes(first, preparation)))
        leaves = catalog.pack(planned["image_id"].iloc[members].to_list(), slices.tolist(), capacity)
        shards = [members[leaf] for leaf in leaves]
        for leaf, positions, rows in zip(leaves, shards, _key_rows(planned, shards), strict=True):
            rows_of[positions] = np.cumsum([0, *slices[leaf]])[:-1]
            shards_of[positions] = _shard_key(rows, first, preparation)
    planned["shard"], planned["row"] = pd.Series(shards_of, planned.index, dtype="str"), rows_of
    versions = {f"{role}_version" for role in ROLES}
    groups = [name for name in listing.columns if name not in catalog.COLUMNS and name not in versions]
    return planned[[*catalog.COLUMNS, *groups]]


def plan_sha256(
    listing_sha256: str,
    files: pd.DataFrame,
    preparation: Preparation,
    shard_images: int,
    held: Mapping[tuple[str, ...], Held],
    given: Vector | None = None,
) -> str:
    """The sha256 of everything from which `plan_shards` makes a catalog; of a million images the tenth of its time.

    `listing_sha256` is the `frame_sha256` of the listing.
    """
    return content_key(
        {
            "code_version": CODE_VERSION,
            "listing": listing_sha256,
            "files": frame_sha256(files),
            "preparation": preparation.as_key(),
            **({"spacing_mm": given} if given else {}),
            "shard_images": shard_images,
            "held": [[*key, one.error_type, one.error] for key, one in sorted(held.items())],
        }
    )


def full_scales(
    listing: pd.DataFrame, dtypes: pd.Series[str], files: pd.DataFrame, preparation: Preparation
) -> FullScales:
    """What the images of a listing, of these types, say of their full scale; nothing where it is not asked for."""
    is_asked = preparation.normalize == "unit" and not preparation.full_scale
    if not is_asked or not (files["stated_maximum"] != 0).any():
        return FullScales(np.zeros(len(listing), np.int64), (), ())
    stated = facts_of(files, "image", listing)["stated_maximum"].fillna(0)
    return agree(dtypes.to_numpy(object), stated.to_numpy(np.int64))


def _slice_bytes(row: pd.Series[Any], preparation: Preparation) -> int:
    item = np.dtype(row["dtype"]).itemsize if row["dtype"] else 0
    of_reference = 5 if preparation.instances else 1
    return int(row["padded_height"] * row["padded_width"] * (row["channels"] * item + of_reference))


def _job_rows(rows: pd.DataFrame) -> tuple[IngestRow, ...]:
    names = [field.name for field in fields(IngestRow) if field.name != "failure"]
    return tuple(
        IngestRow(**{name: row[name] for name in names}, failure=from_columns(row, STAGE))
        for row in rows[[*names, *REASON]].to_dict("records")
    )


def _key_rows(planned: pd.DataFrame, shards: Sequence[npt.NDArray[np.int64]]) -> Iterator[list[list[str]]]:
    """What the key of each shard says of its images; many shards are looked up at once, which is most of the time."""
    for start in range(0, len(shards), _SHARDS_TOGETHER):
        together = shards[start : start + _SHARDS_TOGETHER]
        places = np.concatenate(together)
        columns = [planned[name].take(places).to_list() for name in _KEY_COLUMNS]
        more = _more_of_keys(planned.iloc[places])
        # The names of the files stand in messages, and their suffixes choose the readers.
        for place in (_KEY_COLUMNS.index("image"), _KEY_COLUMNS.index("reference")):
            columns[place] = [file_name(url) for url in columns[place]]
        rows = ([*row, *of_row] for of_row, *row in zip(more, *columns, strict=True))
        for positions in together:
            yield list(islice(rows, len(positions)))


def _more_of_keys(planned: pd.DataFrame) -> Iterator[list[str]]:
    """What keys say of images beyond `_KEY_COLUMNS`: of those with slices along D and no mask nothing, as before there
    were others."""
    for axis, mask, sha256 in zip(planned[SLICE_AXIS], planned[MASK], planned[f"{MASK}_sha256"], strict=True):
        yield [*([f"slices along {axis}"] if axis in ("h", "w") else []), *([file_name(mask), sha256] if mask else [])]


def _shard_key(rows: list[list[str]], bucket: pd.Series[Any], preparation: Preparation) -> str:
    """The key of a shard: everything that determines its bytes, and no folder. `rows` has `_KEY_COLUMNS`."""
    is_cut = int(bucket["padded_height"]) > CHUNK_ROWS
    return content_key(
        {
            "stage": STAGE,
            "code_version": CODE_VERSION,
            # Only of images that are cut: the keys of all others are those of stores from before it was done.
            **({"chunk_rows": CHUNK_ROWS} if is_cut else {}),
            "padding": PADDING,
            # Which axis was asked for makes no difference, which one was taken stands in the rows.
            "preparation": replace(preparation, slice_axis="auto").as_key(),
            "bucket": [
                int(bucket["padded_height"]),
                int(bucket["padded_width"]),
                int(bucket["channels"]),
                bucket["dtype"],
                int(bucket["full_scale"]),
            ],
            "rows": rows,
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
        full_scale=int(first["full_scale"]),
        rows=_job_rows(shard),
    )
