"""Surface metrics: distances of each image as numbers that have a mean, and what stands for a structure missed.

A distance is no ratio of counts. It enters means as value / 1, so that several images of a unit have their mean, and
nothing is ever summed over images. Where one of reference and prediction lacks the structure `missed_distance` says
what stands there: `worst`, the distance between the corners of the image, and 0 for NSD and boundary IoU; where both
lack it there is nothing to be measured.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from segscale.tasks.metrics.count_columns import BoolArray, CountColumns, Float64Array
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.panel import OVER_CLASSES, ClassCounts, Panel
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import MissedDistance, ScoreSettings

DISTANCES = ("hd", "hd95", "hd95_pooled", "hd95_mean_directed", "assd", "masd")
"""Those of every table."""
_PERCENTILE = re.compile(r"hd[0-9.]+(_pooled|_mean_directed)?")
BOUNDARY_IOU = "boundary_iou"
NSD = "nsd_"
BORDERS = ("reference_border", "prediction_border")
UNIT, WORST = "distance_unit", "worst_distance"


def nsd_name(tolerance: float) -> str:
    """What the normalised surface distance of a tolerance is called.

    >>> nsd_name(2.0), nsd_name(0.5)
    ('nsd_2', 'nsd_0.5')
    """
    return f"{NSD}{tolerance:g}"


def surface_columns(columns: Sequence[object]) -> tuple[str, ...]:
    """The metrics among the columns of a table of surfaces, in their order."""
    return tuple(
        name for name in map(str, columns) if is_distance(name) or name == BOUNDARY_IOU or name.startswith(NSD)
    )


def is_distance(name: str) -> bool:
    """Whether a column is a metric of which 0 is the best value; percentiles other than the 95th are called `hd90`."""
    return name in DISTANCES or _PERCENTILE.fullmatch(name) is not None


def percentile_names(q: float) -> tuple[str, str, str]:
    """What a percentile is called: the larger directed one, of both directions pooled, and the mean of the directed.

    >>> percentile_names(99.5)
    ('hd99.5', 'hd99.5_pooled', 'hd99.5_mean_directed')
    """
    return f"hd{q:g}", f"hd{q:g}_pooled", f"hd{q:g}_mean_directed"


def with_missed(surface: pd.DataFrame, settings: ScoreSettings) -> pd.DataFrame:
    """The table with what stands for a structure that is on one side alone, by its columns `BORDERS` and WORST.

    Rows of failed images, whose borders are null, stay as they are.
    """
    reference, prediction = (surface[name].to_numpy(np.float64, na_value=np.nan) > 0 for name in BORDERS)
    known = surface[list(BORDERS)].notna().all(axis=1).to_numpy(bool)
    alone = known & (reference != prediction)
    columns = {}
    for name in surface_columns(list(surface)):
        worst = _worst_of(name, surface[WORST].to_numpy(np.float64), settings.missed_distance)
        columns[name] = np.where(alone, worst, surface[name].to_numpy(np.float64))
    return surface.assign(**columns)


def _worst_of(name: str, worst_distance: Float64Array, missed: MissedDistance) -> Float64Array:
    if missed == "nan":
        return np.full(worst_distance.size, np.nan)
    if not is_distance(name):
        return np.zeros(worst_distance.size)
    return worst_distance if missed == "worst" else np.full(worst_distance.size, np.inf)


def mixed_units(surface: pd.DataFrame) -> bool:
    """Whether some distances are in mm and others in pixels, so that a mean over them would mean nothing."""
    return len(surface[UNIT].dropna().unique()) > 1


def surface_panel(panel: Panel, surface: pd.DataFrame, settings: ScoreSettings) -> Panel:
    """The panel of the surface metrics beside that of the pixels, over the same images.

    surface: a row for each image, head and foreground class or region with image_id, head, class_index, WORST, and a
    column for each metric as `with_missed` has it; rows of failed images without a sound reference lack WORST.

    An image without a usable prediction has the worst value there is: its own WORST, or where its reference lacks the
    structure too, so that nobody knows what was to be found, the largest of the set. So a deleted prediction never
    makes a mean better.
    """
    names = surface_columns(list(surface))
    metrics = tuple(_metric(name, place) for place, name in enumerate(names))
    made = partial(_class, panel=panel, surface=surface, names=names, missed=settings.missed_distance)
    classes = {
        head: tuple(made(one, head) for one in of_head if one.is_foreground or one.is_region)
        for head, of_head in panel.classes.items()
    }
    return replace(panel, classes=classes, metrics=metrics, explained=(), of_pixels=panel, units=None)


def _metric(name: str, place: int) -> Metric:
    def ratio(counts: CountColumns, _: ScoreSettings) -> Ratio:
        assert counts.sums is not None, "counts of pixels alone"
        return Ratio(counts.sums[:, 2 * place], counts.sums[:, 2 * place + 1])

    return Metric(name, ratio, fills_empty=False, has_worst_score_zero=not is_distance(name), is_averaged=True)


def _class(
    one: ClassCounts, head: Hashable, panel: Panel, surface: pd.DataFrame, names: Sequence[str], missed: MissedDistance
) -> ClassCounts:
    assert one.class_index != OVER_CLASSES, "distances are of structures"
    chosen = (surface["head"] == head) & (surface["class_index"] == one.class_index)
    rows = surface[chosen.to_numpy(bool)].set_index("image_id")
    values = rows.loc[panel.images["image_id"], list(names)].to_numpy(np.float64)
    worst_distance = rows.loc[panel.missing["image_id"], WORST].to_numpy(np.float64)
    # Where nothing was to be found the largest of all: whatever else is averaged, it makes no mean better.
    largest = float(surface[WORST].max())
    worst_distance = np.where(one.missed.reference_empty, largest, worst_distance)
    worst = [_worst_of(name, worst_distance, missed) for name in names]
    return replace(
        one,
        counts=replace(one.counts, sums=_sums(values)),
        missed=replace(one.missed, sums=_sums(np.stack(worst, axis=1))),
    )


def _sums(values: Float64Array) -> Float64Array:
    """(n, 2 k) of values (n, k): each, 0 where it is undefined, and 1 where it is defined."""
    defined: BoolArray = ~np.isnan(values)
    sums = np.empty((values.shape[0], 2 * values.shape[1]))
    sums[:, 0::2], sums[:, 1::2] = np.where(defined, values, 0.0), defined
    return sums
