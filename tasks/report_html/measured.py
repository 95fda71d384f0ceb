"""What was measured beside pixels: distances of surfaces and counts of lesions of the whole set, with intervals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from segscale.tasks.metrics.aggregate import MISSING_AS_WORST
from segscale.tasks.metrics.panel import OVER_CLASSES
from segscale.tasks.metrics.surface_metrics import NSD, UNIT, is_distance
from segscale.tasks.report_html.headline import OVER_CLASSES_NAMES, Estimate, Tables, estimate, rows_of, whole_set

NAMES = {
    "hd": "HD",
    "hd95": "HD95",
    "assd": "ASSD",
    "masd": "MASD",
    "boundary_iou": "boundary IoU",
    "lesion_f1": "lesion F1",
    "lesion_sensitivity": "lesion sensitivity",
    "lesion_precision": "lesion precision",
    "lesion_dice": "lesion Dice",
    "panoptic_quality": "panoptic quality",
}
"""Metrics with their names; of NSD the tolerance stands in it."""
FEW = ("hd95", NSD, "lesion_f1", "lesion_dice")
"""Those that a terminal shows."""


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One class, head and metric of the whole set."""

    class_name: str
    head: str
    metric: str
    """With the unit of what is a distance."""
    per_sample: Estimate
    missing_as_worst: Estimate
    per_unit: Estimate | None
    """The mean over units of evaluation; None without units."""
    pooled: Estimate | None
    """Of all lesions together; None of distances, which are never summed."""
    n_undefined: int | None
    """Ok images without a value; None for a mean over classes."""


def measured_rows(tables: Tables, unit: str, shown: Collection[str] = tuple(NAMES)) -> tuple[MeasuredRow, ...]:
    """The rows of per_sample that are of surfaces and lesions, classes before what is over them; () of pixels alone.

    unit: of distances. shown: names of metrics.
    """
    per_sample = tables["per_sample"]
    chosen = whole_set(per_sample[[_is_shown(name, shown) for name in per_sample["metric"]]])
    rows: list[Any] = list(chosen.itertuples(index=False))
    single = len({row.class_index for row in rows if row.class_index > 0}) == 1
    # Of one class what is over classes is the class.
    return tuple(_row(row, tables, unit) for row in rows if row.class_index > 0 or not single)


def distance_unit(tables: Tables) -> str:
    """Of the distances of a report, "" where it has none."""
    return next(iter(tables["surface"][UNIT].dropna().astype(str)), "") if "surface" in tables else ""


def _is_shown(name: str, shown: Collection[str]) -> bool:
    return name in shown or (name.startswith(NSD) and (NSD in shown or "hd95" in shown))


def _row(row: Any, tables: Tables, unit: str) -> MeasuredRow:
    same = {name: getattr(row, name) for name in ("class_index", "class_name", "head", "metric")}
    ranges = rows_of(whole_set(tables["intervals"]), **same)
    batches = rows_of(whole_set(tables["batch_summed"]), **same, pooled=True)
    of_units = rows_of(whole_set(tables["per_sample"], units=True), **same)["mean"]
    of_unit_ranges = rows_of(whole_set(tables["intervals"], units=True), **same, aggregation="per_sample")
    over = row.class_index == OVER_CLASSES
    worst = float(getattr(row, MISSING_AS_WORST))
    return MeasuredRow(
        class_name=OVER_CLASSES_NAMES[row.class_name] if over else str(row.class_name),
        head=str(row.head),
        metric=_name(row.metric, unit),
        per_sample=estimate(float(row.mean), rows_of(ranges, aggregation="per_sample")),
        missing_as_worst=estimate(worst, rows_of(ranges, aggregation="per_sample_missing")),
        per_unit=None if of_units.empty else estimate(float(of_units.item()), of_unit_ranges),
        pooled=_pooled(batches, ranges),
        n_undefined=None if pd.isna(row.n_defined) else int(row.n_images - row.n_failed - row.n_defined),
    )


def _pooled(batches: pd.DataFrame, ranges: pd.DataFrame) -> Estimate | None:
    if batches.empty:
        return None
    return estimate(float(batches["mean"].item()), rows_of(ranges, aggregation="pooled"))


def _name(metric: str, unit: str) -> str:
    if metric.startswith(NSD):
        return f"NSD within {metric.removeprefix(NSD)} {unit}"
    return f"{NAMES[metric]} ({unit})" if is_distance(metric) else NAMES[metric]
