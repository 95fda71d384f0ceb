"""Small data sets written to disk and ingested, for the tests of the units of work."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segscale.storage import shards
from segscale.storage.catalog import rows_by_shard
from segscale.storage.ledger import Entry, Ledger
from segscale.storage.objects import ObjectStore
from segscale.storage.source_memory import MEMORY_COLUMNS
from segscale.storage.sources import ROLES, file_versions
from segscale.tasks import ingest, scan, shard_plan
from segscale.tasks.ingest import ShardDone
from segscale.tasks.shard_plan import Preparation
from segscale.tasks.shard_rows import ShardRow, read_shard_rows

Files = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set and what ingest made of it."""

    store: ObjectStore
    preparation: Preparation
    listing: pd.DataFrame
    files: pd.DataFrame
    catalog: pd.DataFrame
    shard_images: int

    def jobs(self) -> list[shard_plan.IngestJob]:
        return [shard_plan.plan_job(self.catalog.iloc[rows]) for rows in rows_by_shard(self.catalog).values()]

    def ingest(self) -> list[ShardDone]:
        return [ingest.ingest_shard(self.store, job, self.preparation) for job in self.jobs()]

    def entries(self) -> list[Entry]:
        return [Ledger(self.store).read(shard_plan.STAGE, key) for key in rows_by_shard(self.catalog)]

    def rows(self) -> dict[str, ShardRow]:
        return {row.image_id: row for entry in self.entries() for row in read_shard_rows(self.store, entry)}

    def stored(self, image_id: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """The padded pixels and the padded reference of an image, as they lie in its shard."""
        key = dict(zip(self.catalog["image_id"], self.catalog["shard"], strict=True))[image_id]
        entry = Ledger(self.store).read(shard_plan.STAGE, key)
        arrays = shards.open_arrays(self.store, entry, ingest.IMAGES, ingest.REFERENCES)
        row = self.rows()[image_id]
        pixels, reference = (shards.as_numpy(array, row.start, row.stop) for array in arrays)
        return pixels, reference


def _encode(name: str, content: Any) -> bytes:
    """The bytes of a file: as given, or of an array in the format that the name stands for."""
    if isinstance(content, bytes):
        return content
    sink = io.BytesIO()
    if name.endswith(".png"):
        Image.fromarray(content).save(sink, format="PNG")
    elif name.endswith(".tif"):
        tifffile.imwrite(sink, content, photometric="rgb" if content.shape[-1] == 3 else "minisblack")
    else:
        np.save(sink, content)
    return sink.getvalue()


def _write(folder: Path, role: str, files: Files) -> None:
    (folder / role).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / role / name).write_bytes(_encode(name, content))


def _list(folder: Path, groups: Mapping[str, list[Any]]) -> pd.DataFrame:
    named = {role: {path.stem: f"file://{path}" for path in (folder / role).iterdir()} for role in ROLES}
    listing = pd.DataFrame({"image_id": pd.Series(sorted(named["image"]), dtype="str")})
    for role, urls in named.items():
        if urls or role in ("image", "reference"):
            found = [urls.get(name, "") for name in listing["image_id"]]
            listing[role], listing[f"{role}_version"] = found, file_versions(found)
    return listing.assign(**groups)


def _inspect(listing: pd.DataFrame) -> pd.DataFrame:
    facts = []
    for role in ROLES:
        if role in listing:
            named = zip(listing[role], listing[f"{role}_version"], strict=True)
            facts += scan.inspect_files(role, [(url, version) for url, version in named if url])
    return pd.DataFrame(facts, columns=list(MEMORY_COLUMNS))


@pytest.fixture
def make_set(make_set_in: Callable[..., DataSet], tmp_path: Path) -> Callable[..., DataSet]:
    """make_set(images, references, predictions={}, groups={}, shard_images=128, folder="set", **preparation)."""
    return partial(make_set_in, tmp_path)


def data_set(
    below: Path,
    images: Files,
    references: Files,
    *,
    predictions: Files | None = None,
    masks: Files | None = None,
    groups: Mapping[str, list[Any]] | None = None,
    shard_images: int = 128,
    folder: str = "set",
    **preparation: Any,
) -> DataSet:
    """A set of the files in a folder below, planned; contents are arrays, or the bytes of files."""
    root = below / folder
    for role, files in zip(ROLES, (images, references, predictions or {}, masks or {}), strict=True):
        _write(root, role, files)
    listing = _list(root, groups or {})
    files_seen = _inspect(listing)
    prepared = replace(Preparation(2, (), -1, "unit", (0.0, 1.0)), **preparation)
    catalog = shard_plan.plan_shards(listing, files_seen, prepared, shard_images)
    store = ObjectStore(f"memory://{uuid.uuid4().hex}")
    return DataSet(store, prepared, listing, files_seen, catalog, shard_images)


@pytest.fixture(scope="session")
def make_set_in() -> Callable[..., DataSet]:
    """The same below a given folder, for sets that several tests share."""
    return data_set
