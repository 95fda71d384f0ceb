"""Trial: some images of a listing, read and counted as a run would, and nothing of it kept."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from segscale.errors import ContradictionError, DataError
from segscale.storage.sources import MASK, ROLES, file_name
from segscale.tasks.alignment import AS_THEY_ARE, Volumes
from segscale.tasks.distance_unit import DistanceUnit, distance_unit
from segscale.tasks.evaluated import read_mask
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.prediction_file import Counting, read_prediction
from segscale.tasks.readers import read_header, read_labels
from segscale.tasks.reference_file import place_of, reference_of
from segscale.tasks.source_files import read_source

IMAGES = 64
"""Spread over the set."""
MOST_SECONDS = 10.0
"""After the first one, after which no other is begun."""
Agreement = Literal["", "copy", "disjoint"]
"""Of a prediction that is its reference, byte for byte, or that has foreground as it has and meets it nowhere."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of an image."""

    image_id: str
    seconds: float
    """Reading and counting."""
    size: tuple[int, int, int] | None = None
    """(D, H, W); None where it was not found out."""
    distance_unit: DistanceUnit | None = None
    """Whether its files say how far voxels are apart; None where it was not found out."""
    error_type: str = ""
    error: str = ""
    """Why the image would fail; "" for a sound one."""
    agreement: Agreement = ""


def try_images(
    images: pd.DataFrame, rule: LabelRule, counting: Counting | None, volumes: Volumes = AS_THEY_ARE
) -> list[Trial]:
    """The trials of some images of a listing, spread over it, in its order; predictions are counted by `counting`.

    A missing file is no failure here, for the listing says so already. Raises ContradictionError where the set cannot
    be what it was taken for.
    """
    places = np.unique(np.linspace(0, len(images) - 1, min(IMAGES, len(images))).round().astype(int))
    rows = images.iloc[places].to_dict("records")
    trials: list[Trial] = []
    end = math.inf
    # One by one, for what each takes is what a worker will take.
    for row in rows:
        trials.append(_trial(row, rule, counting, volumes))
        # Of the first one's time much is that of loops which are compiled once.
        end = min(end, time.perf_counter() + MOST_SECONDS)
        if time.perf_counter() > end:
            break
    return trials


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    name: str


@dataclass(frozen=True, slots=True)
class _Found:
    """As `Trial` has it."""

    size: tuple[int, int, int] | None = None
    distance_unit: DistanceUnit | None = None
    agreement: Agreement = ""


def _trial(row: Mapping[Hashable, Any], rule: LabelRule, counting: Counting | None, volumes: Volumes) -> Trial:
    start = time.perf_counter()
    files: dict[str, _File] = {}
    found, error = _Found(), None
    try:
        for role in ROLES:
            if row.get(role) and row[f"{role}_version"]:
                files[role] = _File(read_source(row[role]), file_name(row[role]))
        found = _counted(files, rule, counting, volumes)
    except ContradictionError:
        raise
    except (DataError, OSError) as caught:
        error = caught
    return Trial(
        image_id=str(row["image_id"]),
        seconds=time.perf_counter() - start,
        size=found.size,
        distance_unit=found.distance_unit,
        error_type=error.recorded_as if isinstance(error, DataError) else type(error).__name__ if error else "",
        error=str(error) if error else "",
        agreement=found.agreement,
    )


def _counted(files: Mapping[str, _File], rule: LabelRule, counting: Counting | None, volumes: Volumes) -> _Found:
    """The size of an image, whether it has a spacing, and what is odd about how its prediction agrees with it."""
    image = read_header(files["image"].data, files["image"].name, volumes.choice).grid if "image" in files else None
    if "reference" not in files:
        return _Found(image.size, distance_unit(image.spacing)) if image else _Found()
    file = files["reference"]
    labels = read_labels(file.data, file.name, choice=volumes.choice.over(image))
    place = place_of(labels, image, files["image"].name if image else "", volumes)
    reference = reference_of(labels.values, file.name, rule, place.size)
    if MASK in files:
        mask = files[MASK]
        reference[~read_mask(mask.data, mask.name, reference.shape, place.grid, volumes)[0]] = IGNORED
    depth, height, width = reference.shape
    found = _Found((depth, height, width), distance_unit(place.grid.spacing if place.grid else None))
    if counting is None or "prediction" not in files:
        return found
    other = files["prediction"]
    beside = read_prediction(reference, other.data, other.name, counting, place.grid, volumes)
    counts = beside.count(rule.n_classes)
    if file.data == other.data:
        return replace(found, agreement="copy") if (reference != 0).any() else found
    met, false, missed = (
        int(number[1 : rule.n_classes].sum())
        for number in (counts.true_positive, counts.false_positive, counts.false_negative)
    )
    return replace(found, agreement="disjoint") if false and missed and not met else found
