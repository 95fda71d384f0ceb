"""Strata: Dice of parts of the set (sites, sizes of the reference), both aggregations with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segscale.tasks.metrics.panel import IMAGE, MACRO, OVER_CLASSES
from segscale.tasks.report_html.headline import OVER_CLASSES_NAMES, Estimate, Tables, estimate, matches, rows_of

MAX_STRATA = 200
"""Rows of the table of strata; those of more lie in the Parquet files."""


@dataclass(frozen=True, slots=True)
class StratumRow:
    """Dice of one class in one stratum."""

    stratum: str
    """column=value."""
    class_name: str
    per_sample: Estimate
    pooled: Estimate
    n_images: int
    n_failed: int


def strata_rows(tables: Tables, head: object) -> tuple[StratumRow, ...]:
    """Dice of every foreground class and region in every stratum, of one head; () without strata.

    Of several classes their mean comes first. Classes and strata are in the order of the tables.
    """
    table = tables["per_sample"]
    chosen = matches(table, metric="dice", head=head, unit=IMAGE) & (table["stratum"] != "").to_numpy(bool)
    rows: list[Any] = list(table[chosen].itertuples(index=False))
    single = len({row.class_index for row in rows if row.class_index > 0}) == 1
    means = [row for row in rows if row.class_name == MACRO and row.class_index == OVER_CLASSES and not single]
    foreground = [row for row in rows if row.class_index > 0]
    order = {index: place for place, index in enumerate(dict.fromkeys(row.class_index for row in foreground))}
    return tuple(_row(row, tables) for row in (*means, *sorted(foreground, key=lambda row: order[row.class_index])))


def _row(row: Any, tables: Tables) -> StratumRow:
    keys = {name: getattr(row, name) for name in ("unit", "stratum", "class_index", "class_name", "head", "metric")}
    ranges = rows_of(tables["intervals"], **keys)
    pooled = rows_of(tables["batch_summed"], **keys, pooled=True)["mean"]
    return StratumRow(
        stratum=str(row.stratum),
        class_name=OVER_CLASSES_NAMES[row.class_name] if row.class_index == OVER_CLASSES else str(row.class_name),
        per_sample=estimate(float(row.mean), rows_of(ranges, aggregation="per_sample")),
        pooled=estimate(float(pooled.item()), rows_of(ranges, aggregation="pooled")),
        n_images=int(row.n_images),
        n_failed=int(row.n_failed),
    )
