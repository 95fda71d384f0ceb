"""Bins of the images, or units, of a run: from the counts at its kept thresholds, by head, class and stratum."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.calibration.bins import Bins, bins_of
from segscale.tasks.calibration.calibrate import Part
from segscale.tasks.calibration.resampling import Clusters
from segscale.tasks.metrics.count_columns import BoolArray, Int64Array
from segscale.tasks.metrics.kept_thresholds import pair_names
from segscale.tasks.metrics.panel import ClassCounts, Panel, Stratum
from segscale.tasks.metrics.settings import ScoreSettings


@dataclass(frozen=True, slots=True)
class Binned:
    """A class of a head over all images, or units, that have probabilities."""

    class_index: int
    class_name: str
    head: str
    bins: Bins
    places: Int64Array
    """(R,) the place in the panel of each row of bins."""


def parts(panel: Panel, thresholds: pd.DataFrame, settings: ScoreSettings) -> Iterator[Part]:
    """A part for each head, class other than the background, and stratum, the whole set first.

    panel: with its units where the settings name some. thresholds: rows of these classes, in the order of the panel,
    failed images among them. ArgumentError where it is not of the same images.
    """
    level = panel.units.panel if panel.units else panel
    strata = level.strata(settings.group_by)
    clusters = _clusters(level, settings)
    for head in panel.heads:
        for one in panel.classes[head]:
            if one.class_index > 0:
                binned = _binned(panel, thresholds, head, one)
                yield from (_part(level, stratum, binned, clusters) for stratum in strata)


def _binned(panel: Panel, thresholds: pd.DataFrame, head: Hashable, one: ClassCounts) -> Binned:
    of_class = thresholds["class_index"].to_numpy(np.int64) == one.class_index
    of_head = thresholds["head"].to_numpy(object) == head
    rows = thresholds[of_class & of_head]
    known = _has_counts(rows)
    rows = rows[known]
    # Both tables are in the order of the catalog, so what is left of the images has the order of the rows.
    image_ids = panel.images["image_id"]
    all_there = len(rows) == len(image_ids)
    places = np.arange(len(rows)) if all_there else np.flatnonzero(image_ids.isin(rows["image_id"]).to_numpy(bool))
    if not np.array_equal(image_ids.to_numpy(object)[places], rows["image_id"].to_numpy(object)):
        raise ArgumentError("thresholds: expected the images of per_image, in their order, each once, got others")
    counts = one.counts.take(places)
    n_kept = sum(str(name).startswith("predicted_") for name in rows)
    true_positive, predicted = (
        np.stack([rows[pair_names(k)[side]].to_numpy(np.int64) for k in range(1, n_kept + 1)], axis=1)
        for side in (0, 1)
    )
    n_pixels = counts.true_positive + counts.false_positive + counts.false_negative + counts.true_negative
    bins = bins_of(true_positive, predicted, counts.reference_sum, n_pixels, counts.soft_prediction_sum)
    if panel.units is not None:
        of_units, codes = np.unique(panel.units.members[places], return_inverse=True)
        places, bins = of_units.astype(np.int64), bins.sum_by(codes, len(of_units))
    return Binned(one.class_index, one.class_name, str(head), bins, places.astype(np.int64))


def _has_counts(rows: pd.DataFrame) -> BoolArray:
    has: BoolArray = rows[pair_names(1)[1]].notna().to_numpy(bool)
    return has


def _clusters(level: Panel, settings: ScoreSettings) -> Int64Array:
    """(places,) what belongs together, null values as one cluster."""
    if not settings.cluster_by:
        return np.arange(len(level.images))
    codes, _ = pd.factorize(level.images[settings.cluster_by], use_na_sentinel=False)
    return codes.astype(np.int64)


def _part(level: Panel, stratum: Stratum, binned: Binned, clusters: Int64Array) -> Part:
    keys = {
        "unit": level.unit, "stratum": stratum.name, "class_index": binned.class_index,
        "class_name": binned.class_name, "head": binned.head,
    }  # fmt: skip
    chosen = np.isin(binned.places, stratum.images, assume_unique=True)
    rows = np.flatnonzero(chosen)
    found, codes = np.unique(clusters[binned.places[rows]], return_inverse=True)
    missing = stratum.n_missing
    lost = {
        "n_missing": missing, "n_failed": stratum.n_failed - (missing or 0),
        "n_label_maps": len(stratum.images) - rows.size,
    }  # fmt: skip
    return Part(keys, binned.bins if chosen.all() else binned.bins.take(rows), Clusters(codes, len(found)), lost)
