"""Measures: surfaces and lesions in the tables over images, below the rows of the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from segscale.tasks.metrics.aggregate import (
    MISSING_AS_WORST,
    PER_SAMPLE_COLUMNS_WITH_DISTANCES,
    batch_summed,
    per_sample,
)
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.lesion_metrics import lesion_panels
from segscale.tasks.metrics.panel import OVER_CLASSES, Panel, panel_of
from segscale.tasks.metrics.per_unit import measured_units
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean
from segscale.tasks.metrics.surface_metrics import BORDERS, UNIT, mixed_units, surface_panel
from segscale.tasks.metrics.units import with_units

SURFACE, LESIONS = "surface", "lesions"
"""Tables of what was measured of each image."""


def with_measures(
    tables: Mapping[str, pd.DataFrame], panel: Panel, measures: Mapping[str, pd.DataFrame], settings: ScoreSettings
) -> dict[str, pd.DataFrame]:
    """The tables over images with the rows of surfaces and lesions below; as they are where nothing was measured.

    panel: of the pixels. measures: the tables of `run_measures`, or what a report holds of them. Distances are averaged
    and never summed, so that they have no part in batch_summed and in the gap.
    """
    if not measures:
        return dict(tables)
    more: dict[str, list[pd.DataFrame]] = {name: [table] for name, table in tables.items()}
    for stratum, beside in panels_of(panel, measures, settings):
        # Strata of sizes of lesions are strata of the whole set alone.
        own = settings.changed(group_by=()) if stratum else settings
        made = {"per_sample": per_sample(beside, own, PER_SAMPLE_COLUMNS_WITH_DISTANCES)}
        if beside.explained:
            made |= {"batch_summed": batch_summed(beside, own), "gap": gap(beside, own)}
        if "intervals" in tables:
            made["intervals"] = intervals(beside, own)
        for name, table in made.items():
            more[name].append(table.assign(stratum=stratum).astype({"stratum": "str"}) if stratum else table)
        if "per_unit" in more and not stratum:
            assert beside.units is not None, "units are made of every panel"
            scores, keys = measured_units(beside.units, settings), ["unit_value", "class_index", "head"]
            more["per_unit"] = [more["per_unit"][0].merge(scores, on=keys, how="left", sort=False)]
    own_rows = more["per_sample"][0]
    more["per_sample"][0] = own_rows.assign(**{MISSING_AS_WORST: own_rows["mean_missing_as_zero"]})
    return {name: several[0] if len(several) == 1 else pd.concat(several, ignore_index=True)
            for name, several in more.items()}  # fmt: skip


def panels_of(
    panel: Panel, measures: Mapping[str, pd.DataFrame], settings: ScoreSettings
) -> Iterator[tuple[str, Panel]]:
    """The panels beside that of the pixels, with their units: each with the stratum that it is, "" for all."""
    if SURFACE in measures and not mixed_units(measures[SURFACE]):
        yield "", with_units(surface_panel(panel, measures[SURFACE], settings), settings)
    if LESIONS in measures:
        for stratum, beside in lesion_panels(panel, measures[LESIONS], settings):
            yield stratum, with_units(beside, settings)


def measured_headline(
    per_image: pd.DataFrame, settings: ScoreSettings, measures: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Surfaces and lesions of the whole set: a row for each class, head and metric, empty where nothing was measured.

    Columns: class, head, metric, per-sample, missing as worst, all lesions (pooled; NaN of distances).
    """
    whole = settings.changed(group_by=(), unit="")
    found = []
    for _, panel in panels_of(panel_of(per_image), measures, whole):
        rows = per_sample(panel, whole, PER_SAMPLE_COLUMNS_WITH_DISTANCES)
        own = rows[["class_index", "class_name", "head", "metric", "mean", MISSING_AS_WORST]]
        if panel.explained:
            pooled = batch_summed(panel, whole.changed(batch_sizes=())).query("pooled")["mean"]
            own = own.assign(pooled=pooled.to_numpy())
        found.append(own)
    if not found:
        return pd.DataFrame()
    table = pd.concat(found, ignore_index=True)
    single = len(set(table["class_index"]) - {OVER_CLASSES}) == 1
    chosen = table[(table["class_index"] > 0) | (not single)].drop(columns="class_index")
    names = {"class_name": "class", "mean": "per-sample", MISSING_AS_WORST: "missing as worst", "pooled": "all lesions"}
    return chosen.rename(columns=names).reset_index(drop=True)


def about_measures(measures: Mapping[str, pd.DataFrame], settings: ScoreSettings) -> Iterator[Finding]:
    """What the tables say against the run."""
    if SURFACE in measures:
        yield from _missed_structures(measures[SURFACE], settings)
    if SURFACE in measures and mixed_units(measures[SURFACE]):
        images = measures[SURFACE].drop_duplicates("image_id").dropna(subset=[UNIT])
        of_units = [(str(unit), rows) for unit, rows in images.groupby(UNIT, sort=True)]
        counted = [f"{unit}: {len(rows)} images, {rows['image_id'].iloc[0]} for one" for unit, rows in of_units]
        yield Finding(
            "mixed-distance-units",
            "error",
            "distances of some images are in mm and those of others in pixels, so a mean over them would mean nothing: "
            "surface.parquet holds each, and no mean is made",
            "; ".join(counted),
            "say with dataset.spacing_mm how far the voxels of those files are apart that do not, or evaluate the two "
            "kinds apart, by a manifest of each",
        )


def _missed_structures(surface: pd.DataFrame, settings: ScoreSettings) -> Iterator[Finding]:
    """Structures on one side alone: what stands for their distance may be all that a mean tells."""
    rows = surface.dropna(subset=[*BORDERS])
    alone = ((rows[BORDERS[0]] > 0) != (rows[BORDERS[1]] > 0)).to_numpy(bool)
    if not alone.any() or mixed_units(surface):
        return
    said = []
    for (name, head), of_class in rows.assign(_alone=alone).groupby(["class_name", "head"], sort=False):
        one_sided = of_class["_alone"].to_numpy(bool)
        if one_sided.any():
            measured = mean(of_class.loc[~one_sided, "hd95"].to_numpy(np.float64))
            with_all = mean(of_class["hd95"].to_numpy(np.float64))
            where = f"class {name}" + (f", head {head}" if str(head) else "")
            said.append(f"{where}: {int(one_sided.sum())} of {len(of_class)} images; mean hd95 {with_all:.4g}, "
                        f"{measured:.4g} over those where it could be measured")  # fmt: skip
    yield Finding(
        "missed-structures",
        "note",
        "in some images reference or prediction alone has the structure, so that there is no distance to measure: "
        f"missed_distance = {settings.missed_distance} stands there",
        "; ".join(said),
        "say both means and how many images lack the structure, or look at NSD, in which such an image is a plain 0",
    )
