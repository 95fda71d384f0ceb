"""What a written report says at a glance: both aggregations with intervals, strata, units, and its worst images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from segscale.storage.reports import Report
from segscale.tasks.metrics.panel import IMAGE
from segscale.tasks.report_html.headline import METRICS, HeadlineRow, headline_of
from segscale.tasks.report_html.measured import FEW, MeasuredRow, distance_unit, measured_rows

SHOWN_STRATA = 20
SHOWN_IMAGES = 3
_TABLES = ("per_sample", "batch_summed", "intervals")
_WORST_COLUMNS = (
    "image_id", "class_index", "class_name", "head", "dice", "true_positive", "false_positive", "false_negative",
)  # fmt: skip

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Part:
    """The scores of the whole set or of one stratum, each image counting for itself or in its unit."""

    unit: str
    """IMAGE, or the column whose values are the units."""
    stratum: str
    """"" for the whole set, else ``column=value``."""
    n_images: int
    """Images, or units."""
    n_failed: int
    n_missing: int | None
    """Of the failed ones, those whose prediction alone is missing or unusable; None where that is not known."""
    rows: tuple[HeadlineRow, ...]
    """Foreground classes, then over classes."""
    n_folds: int
    """0 where no folds were asked for."""
    reasons: tuple[str, ...]
    """Why intervals are missing, each reason once."""


@dataclass(frozen=True, slots=True)
class WorstImage:
    """An image and a class of it, with a low Dice."""

    image_id: str
    class_name: str
    dice: float
    reference_pixels: int
    predicted_pixels: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A report at a glance."""

    confidence: float
    """Of the intervals."""
    batch_sizes: tuple[int, ...]
    whole: tuple[Part, ...]
    """The whole set: of images, then of units."""
    strata: tuple[Part, ...]
    """Of images, with Dice alone; SHOWN_STRATA at most."""
    n_strata: int
    """All that there are."""
    worst: tuple[WorstImage, ...]
    """Of the last head, lowest Dice first."""
    keeps_thresholds: bool
    measured: tuple[MeasuredRow, ...] = ()
    """Of surfaces and lesions a few numbers of the whole set."""


def summary_of(report: Report) -> Summary:
    """Read what is needed of a report. Raises ReportError for a table that is missing or damaged."""
    run = report.run()
    whole_tables = {name: report.table(name) for name in _TABLES}
    tables = {name: _foreground(table) for name, table in whole_tables.items()}
    per_sample = tables["per_sample"]
    strata = [name for name in per_sample["stratum"].drop_duplicates() if name]
    units = list(per_sample["unit"].drop_duplicates())
    of_images = {name: _only(table, unit=IMAGE) for name, table in tables.items()}
    dice = {name: _only(table, metric="dice") for name, table in of_images.items()}
    whole = [_part(tables, unit, "") for unit in units]
    sizes = of_images["batch_summed"].query("not pooled")["batch_size"].drop_duplicates()
    return Summary(
        confidence=float(run["config"]["metrics"]["confidence"]),
        batch_sizes=tuple(int(size) for size in sizes),
        whole=tuple(whole),
        strata=tuple(_part(dice, IMAGE, stratum) for stratum in strata[:SHOWN_STRATA]),
        n_strata=len(strata),
        worst=tuple(_worst(report.table("per_image", _WORST_COLUMNS))),
        keeps_thresholds="thresholds.parquet" in run["files"],
        measured=measured_rows(whole_tables, _distance_unit(report, run), FEW),
    )


def _distance_unit(report: Report, run: Mapping[str, Any]) -> str:
    is_there = "surface.parquet" in run["files"]
    return distance_unit({"surface": report.table("surface", ["distance_unit"])} if is_there else {})


def _foreground(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of Dice and Tversky that are not of the background; a table without units is of images."""
    chosen = table[((table["class_index"] != 0) & table["metric"].isin(list(METRICS))).to_numpy(bool)]
    if chosen["class_index"].max() == 1:
        # Of two classes, what is summed or averaged over the foreground is the foreground.
        chosen = chosen[(chosen["class_index"] == 1).to_numpy(bool)]
    return chosen if "unit" in chosen else chosen.assign(unit=IMAGE)


def _only(table: pd.DataFrame, **keys: str) -> pd.DataFrame:
    for column, value in keys.items():
        table = table[(table[column] == value).to_numpy(bool)]
    return table


def _part(tables: Tables, unit: str, stratum: str) -> Part:
    # What the headline says of a whole set of images it says of any part of it.
    chosen = {
        name: _only(table, unit=unit, stratum=stratum).assign(unit=IMAGE, stratum="") for name, table in tables.items()
    }
    headline = headline_of(chosen)
    first = chosen["per_sample"].iloc[0]
    return Part(
        unit=unit,
        stratum=stratum,
        n_images=int(first["n_images"]),
        n_failed=int(first["n_failed"]),
        n_missing=None if pd.isna(first["n_missing"]) else int(first["n_missing"]),
        rows=headline.rows,
        n_folds=int(chosen["per_sample"]["n_folds"].fillna(0).max()),
        reasons=headline.reasons,
    )


def _worst(per_image: pd.DataFrame) -> Iterator[WorstImage]:
    last = per_image["head"].iloc[-1]
    chosen = per_image[(per_image["class_index"] > 0) & (per_image["head"] == last) & per_image["dice"].notna()]
    rows: list[Any] = list(chosen.sort_values("dice", kind="stable").head(SHOWN_IMAGES).itertuples())
    for row in rows:
        both = int(row.true_positive)
        yield WorstImage(
            str(row.image_id),
            str(row.class_name),
            float(row.dice),
            both + int(row.false_negative),
            both + int(row.false_positive),
        )
