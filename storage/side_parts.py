"""Side parts: what is kept of a shard beside its rows, where it is asked for: slices, surfaces, lesions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segscale.errors import DamagedStoreError
from segscale.storage import shards, tables
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.parts import COUNTS, SOFT_SUMS

SCHEMA_VERSION = "1"


@dataclass(frozen=True, slots=True)
class SidePart:
    """One kind of them: an object of a shard, a Parquet file with columns of its own."""

    what: str
    """The object is called `what`.parquet."""
    schema: pa.Schema
    heavy: tuple[str, ...] = ()
    """Columns worth the better compression."""

    @property
    def name(self) -> str:
        """Of the object."""
        return f"{self.what}.parquet"

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        """The file of some rows, which have the names of the schema."""
        texts = [field.name for field in self.schema if pa.types.is_string(field.type)]
        compression = {field.name: "snappy" for field in self.schema}
        compression |= {f"{name}.list.element": "zstd" for name in self.heavy}
        return tables.encode_table(
            pa.Table.from_pylist(rows, schema=self.schema),
            metadata={"schema_version": SCHEMA_VERSION},
            dictionary=texts,
            compression=compression,
        )

    def read(self, store: ObjectStore, entry: Entry) -> pa.Table:
        """That of a committed shard, checked against the ledger and the schema."""
        table = pq.ParquetFile(pa.BufferReader(shards.read_object(store, entry, self.name))).read(use_threads=False)
        if not table.schema.equals(self.schema):
            raise DamagedStoreError(
                f"{self.what} {entry.stage}/{entry.key[:12]}: expected the columns {self.schema.names}, got "
                f"{table.schema.names}"
            )
        return table


def _of_images(*fields: pa.Field) -> pa.Schema:
    texts = [pa.field(name, pa.string(), nullable=False) for name in ("image_id", "head")]
    return pa.schema([*texts, *fields])


def _required(kind: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name in names]


SLICES = SidePart(
    "slices",
    _of_images(
        *_required(pa.int32(), "slice_index", "class_index"),
        *_required(pa.int64(), *COUNTS),
        *_required(pa.float64(), *SOFT_SUMS),
    ),
)
"""A row per image, head, slice and class, of images that were counted alone. Soft sums are NaN of label maps."""

DISTANCES = ("hd", "hd95", "hd95_pooled", "hd95_mean_directed", "assd", "masd")
HISTOGRAMS = ("reference_bins", "reference_counts", "prediction_bins", "prediction_counts")
"""Of distances from the border of one side to that of the other: the bins that are not empty, and how many voxels each
holds."""
SURFACES = SidePart(
    "surfaces",
    _of_images(
        *_required(pa.int32(), "class_index"),
        *_required(pa.string(), "distance_unit"),
        *_required(pa.float64(), "worst_distance"),
        *(pa.field(name, pa.int64()) for name in ("reference_border", "prediction_border")),
        *(pa.field(name, pa.float64()) for name in DISTANCES),
        pa.field("nsd", pa.list_(pa.float64())),
        pa.field("boundary_iou", pa.float64()),
        *(pa.field(name, pa.list_(pa.int16() if name.endswith("bins") else pa.int64())) for name in HISTOGRAMS),
    ),
    heavy=HISTOGRAMS,
)
"""A row per image, head and foreground class or region. Of an image without a usable prediction `worst_distance` is
known and nothing else. Distances are NaN where a side has no border; `nsd` holds one for each tolerance that was asked
for."""

LESIONS = SidePart(
    "lesions",
    _of_images(
        *_required(pa.int32(), "class_index"),
        *_required(pa.string(), "side"),
        *_required(pa.int64(), "label", "voxels"),
        *_required(pa.float64(), "volume_mm3", "area_mm2", "centroid_d", "centroid_h", "centroid_w"),
        *_required(pa.string(), "distance_unit"),
        *_required(pa.int64(), "n_overlapping"),
        *_required(pa.bool_(), "matched"),
        *_required(pa.int64(), "matched_with"),
        *_required(pa.float64(), "dice", "iou", "distance"),
    ),
)
"""A row per lesion of an image, head and foreground class or region, those of the reference first. Of an image without
a usable prediction those of the reference alone."""
