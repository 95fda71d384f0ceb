"""Volumes made for tests, as files of several formats, and one image of them scored."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.storage import parts
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.storage.source_memory import MEMORY_COLUMNS
from segscale.storage.sources import ROLES, file_versions
from segscale.tasks.alignment import said_in
from segscale.tasks.geometry import Geometry, ras_affine
from segscale.tasks.labels import LabelRule
from segscale.tasks.prediction_file import Counting
from segscale.tasks.score import score_shard
from segscale.tasks.score_plan import plan_scores
from segscale.tasks.scoring import STAGE, Scoring, places_in, sizes_in
from tests.tasks.geometries import UPRIGHT, backwards

SIZE = (4, 6, 5)
GEOMETRY = Geometry((3.0, 0.5, 0.75), UPRIGHT, (-7.0, 4.0, 11.0))
RULE = LabelRule(3)
COUNTED = Scoring(RULE, Counting(0.5, RULE), has_images=False)
Files = dict[str, bytes]


def labels(seed: int, size: tuple[int, ...] = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 3, size, np.uint8)


REFERENCE, PREDICTION = labels(0), labels(1)


def nifti(values: NDArray[Any], geometry: Geometry | None, slope: float | None = None, intercept: float = 0.0) -> bytes:
    """A volume (D, H, W) as .nii.gz; of no geometry both codes are 0."""
    image = nibabel.Nifti1Image(values.T, None if geometry is None else ras_affine(geometry), dtype=values.dtype)
    image.header.set_xyzt_units("mm")
    if slope is not None:
        image.header.set_slope_inter(slope, intercept)
    return gzip.compress(image.to_bytes())


def turned(turn: Any, values: NDArray[Any], geometry: Geometry = GEOMETRY) -> bytes:
    """The volume as another program may have stored it: each voxel stays where it is."""
    stored = backwards(turn, values)
    affine = ras_affine(geometry)
    # From an index of the stored array to one of the volume, then to the patient.
    index = np.zeros((4, 4))
    index[3, 3] = 1
    for axis, (source, flip) in enumerate(zip(turn.axes, turn.flips, strict=True)):
        index[2 - axis, 2 - source] = -1 if flip else 1
        index[2 - axis, 3] = values.shape[axis] - 1 if flip else 0
    image = nibabel.Nifti1Image(np.ascontiguousarray(stored.T), affine @ index)
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


def npy(values: NDArray[Any]) -> bytes:
    sink = io.BytesIO()
    np.save(sink, values)
    return sink.getvalue()


def npz(values: NDArray[Any]) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, probabilities=values)
    return sink.getvalue()


class Scored:
    """One image, written, planned and scored."""

    def __init__(self, folder: Path, scoring: Scoring, **files: tuple[str, bytes]) -> None:
        row: dict[str, str] = {"image_id": "case"}
        for role in ROLES:
            name, data = files.get(role, ("", b""))
            url = f"file://{folder / role / name}" if name else ""
            if name:
                (folder / role).mkdir(exist_ok=True)
                (folder / role / name).write_bytes(data)
            row |= {role: url, f"{role}_version": file_versions([url])[0] if url else ""}
        store = ObjectStore(str(folder / "store"))
        plan = plan_scores(pd.DataFrame([row]), pd.DataFrame(columns=list(MEMORY_COLUMNS)), scoring, 8, {})
        (key,) = plan.shards
        done = score_shard(store, plan.job(key), scoring)
        self.store, self.entry = store, Ledger(store).read(STAGE, done.key)
        entry = self.entry
        self.rows = parts.read_part(store, entry).to_pylist()
        self.error: str = self.rows[0]["error"]
        self.size, self.place = sizes_in(entry.facts)[0], places_in(entry.facts)[0]
        self.said: Counter[tuple[str, str]] = said_in(entry.facts)

    @property
    def counts(self) -> list[list[int]]:
        names = ("true_positive", "false_positive", "false_negative", "true_negative")
        return [[row[name] for name in names] for row in self.rows]


def by_hand(reference: NDArray[Any], prediction: NDArray[Any], counted: Any = True) -> list[list[int]]:
    found = []
    for index in range(3):
        one, other = reference == index, prediction == index
        found.append([int(np.count_nonzero(both & counted)) for both in
                      (one & other, ~one & other, one & ~other, ~one & ~other)])  # fmt: skip
    return found
