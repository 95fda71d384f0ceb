"""Scores beside those of the headline: IoU, sensitivity and precision of the whole set, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from segscale.tasks.metrics.panel import OVER_CLASSES
from segscale.tasks.report_html.headline import OVER_CLASSES_NAMES, Estimate, Tables, estimate, rows_of, whole_set

NAMES = {"iou": "IoU", "sensitivity": "sensitivity", "precision": "precision"}
"""Metrics with their names."""


@dataclass(frozen=True, slots=True)
class FurtherRow:
    """One foreground class or region, head and metric of the whole set."""

    class_name: str
    head: str
    metric: str
    per_sample: Estimate
    per_unit: Estimate | None
    """The mean over units of evaluation; None without units."""
    pooled: Estimate
    n_undefined: int | None
    """Ok images without a value; None for a mean over classes."""


def further_rows(tables: Tables) -> tuple[FurtherRow, ...]:
    """The rows, class by class; what is over classes stands last, and not at all where there is one class."""
    per_sample = whole_set(tables["per_sample"])
    per_sample = per_sample[per_sample["metric"].isin(list(NAMES)).to_numpy(bool)]
    rows: list[Any] = [row for row in per_sample.itertuples(index=False) if row.class_index != 0]
    single = len({row.class_index for row in rows if row.class_index > 0}) == 1
    over = [row for row in rows if row.class_index == OVER_CLASSES and not single]
    return tuple(_row(row, tables) for row in (*(row for row in rows if row.class_index > 0), *over))


def _row(row: Any, tables: Tables) -> FurtherRow:
    same = {name: getattr(row, name) for name in ("class_index", "class_name", "head", "metric")}
    ranges = rows_of(whole_set(tables["intervals"]), **same)
    pooled = rows_of(whole_set(tables["batch_summed"]), **same, pooled=True)["mean"]
    units = rows_of(whole_set(tables["per_sample"], units=True), **same)["mean"]
    of_units = rows_of(whole_set(tables["intervals"], units=True), **same, aggregation="per_sample")
    return FurtherRow(
        class_name=OVER_CLASSES_NAMES[row.class_name] if row.class_index == OVER_CLASSES else str(row.class_name),
        head=str(row.head),
        metric=NAMES[row.metric],
        per_sample=estimate(float(row.mean), rows_of(ranges, aggregation="per_sample")),
        per_unit=estimate(float(units.item()), of_units) if len(units) else None,
        pooled=estimate(float(pooled.item()), rows_of(ranges, aggregation="pooled")),
        n_undefined=None if pd.isna(row.n_defined) else int(row.n_images - row.n_failed - row.n_defined),
    )
