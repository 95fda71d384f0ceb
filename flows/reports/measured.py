"""What written reports hold beside pixels: surfaces and lesions, read for other scores and for comparisons."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from segscale.errors import ConfigError
from segscale.storage.catalog import SPACING
from segscale.storage.reports import Report
from segscale.tasks.metrics.lesion_metrics import REFERENCE, lesion_panel, lesions_by_size, size_column
from segscale.tasks.metrics.measures import LESIONS, SURFACE
from segscale.tasks.metrics.pairing import Beside, BothBeside
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.size_strata import is_lesion_size
from segscale.tasks.metrics.surface_metrics import (
    BORDERS,
    UNIT,
    WORST,
    mixed_units,
    surface_columns,
    surface_panel,
    with_missed,
)
from segscale.tasks.other_distances import HISTOGRAMS, with_other_distances

KEYS = ("image_id", "class_index", "head")
OF_LESIONS = (*KEYS, "side", "voxels", "volume_mm3", "area_mm2", "matched", "dice", "iou")
LESION_KEYS = ("lesion_neighbours", "lesion_rule", "lesion_threshold")


@dataclass(frozen=True, slots=True)
class MeasuredByBoth:
    """What two runs measured alike."""

    panels: tuple[BothBeside, ...]
    left_out: tuple[str, ...]
    """What was measured and cannot be compared, a sentence each."""


@dataclass(frozen=True, slots=True)
class OtherDistances:
    """What is asked of surfaces beside what the run was asked for."""

    tolerances: tuple[float, ...] = ()
    percentiles: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tolerances or self.percentiles)


NO_OTHERS = OtherDistances()


def measures_of(
    report: Report,
    settings: ScoreSettings,
    asked: Collection[str] = (SURFACE, LESIONS),
    others: OtherDistances = NO_OTHERS,
) -> dict[str, pd.DataFrame]:
    """The columns of the tables surface and lesions that scores are made of, where the report has them.

    A structure on one side alone has the distance that the settings say.
    """
    files = report.run()["files"]
    found = {}
    if others and f"{SURFACE}.parquet" not in files:
        raise ConfigError(f"{report.path}: measured no surfaces, of which other percentiles and tolerances are asked")
    if SURFACE in asked and f"{SURFACE}.parquet" in files:
        names = report.columns(SURFACE)
        columns = (*KEYS, UNIT, WORST, *BORDERS, *surface_columns(names), *(HISTOGRAMS if others else ()))
        table = report.table(SURFACE, columns)
        if others:
            table = with_other_distances(table, others.tolerances, others.percentiles)
        found[SURFACE] = with_missed(table, settings)
    if LESIONS in asked and f"{LESIONS}.parquet" in files:
        found[LESIONS] = report.table(LESIONS, OF_LESIONS)
    return found


def measured_by_both(
    a: tuple[Report, ScoreSettings], b: tuple[Report, ScoreSettings], by: tuple[str, ...] = ()
) -> MeasuredByBoth:
    """What both runs measured: distances in one unit, by the metrics that both have; lesions by one rule, all of them
    and those of each size that `by` names.

    Raises ConfigError where sizes of lesions are asked for that cannot be compared.
    """
    for report, _ in (a, b):
        refuse_without_lesions(by, report)
    tables = [measures_of(*one) for one in (a, b)]
    panels: list[BothBeside] = []
    left_out = []
    surfaces = [one[SURFACE] for one in tables if SURFACE in one]
    if len(surfaces) == 2:
        units = sorted({str(unit) for table in surfaces for unit in table[UNIT].dropna()})
        shared = [name for name in surface_columns(list(surfaces[0])) if name in surfaces[1]]
        if len(units) != 1 or any(map(mixed_units, surfaces)):
            left_out.append(f"distances are in {' and '.join(units)}, and are not compared")
        elif said := _other_spacing((a[0], b[0])):
            left_out.append(said)
        else:
            kept = [table[[*KEYS, UNIT, WORST, *BORDERS, *shared]] for table in surfaces]
            panels.append(BothBeside(_surfaces(kept[0], a[1]), _surfaces(kept[1], b[1])))
    lesions = [one[LESIONS] for one in tables if LESIONS in one]
    if len(lesions) == 2:
        rules = [_rule_of(report) for report, _ in (a, b)]
        if rules[0] == rules[1]:
            panels += _lesions_of_both(lesions, by)
        else:
            said = f"lesions were counted by {rules[0]} in a and by {rules[1]} in b, and are not compared"
            if any(map(is_lesion_size, by)):
                raise ConfigError(f"group_by: {said}: count those of one run again by the rule of the other")
            left_out.append(said)
    return MeasuredByBoth(tuple(panels), tuple(left_out))


def _other_spacing(reports: Iterable[Report]) -> str:
    """What is said where the runs took other spacings for the same images."""
    a, b = (
        report.table("per_image", ("image_id", *SPACING)).drop_duplicates("image_id").set_index("image_id")
        for report in reports
    )
    a, b = a.astype(np.float64).align(b.astype(np.float64), join="inner", axis=0)
    other = np.flatnonzero(~np.isclose(a, b, equal_nan=True).all(axis=1))
    if not other.size:
        return ""
    first = other[0]
    spacings = (" x ".join(f"{side:g}" for side in one.iloc[first]) for one in (a, b))
    return (
        f"{other.size} of {len(a)} images have other spacings in a and b, e.g. {a.index[first]} "
        f"{' mm and '.join(spacings)} mm, and distances are not compared: score both with the same dataset.spacing_mm"
    )


def _surfaces(table: pd.DataFrame, settings: ScoreSettings) -> Beside:
    return partial(surface_panel, surface=table, settings=settings)


def _lesions_of_both(tables: list[pd.DataFrame], by: tuple[str, ...]) -> Iterator[BothBeside]:
    strata = list(lesions_by_size(tables, by))
    if strata:
        _refuse_other_sizes(tables)
    for stratum, (a, b) in (("", tables), *strata):
        yield BothBeside(partial(lesion_panel, lesions=a), partial(lesion_panel, lesions=b), stratum)


def _refuse_other_sizes(tables: list[pd.DataFrame]) -> None:
    """Raise ConfigError where lesions of the same references were measured with another spacing."""
    column = size_column(pd.concat(tables))
    sums = (table[table["side"] == REFERENCE].groupby([*KEYS])[column].sum() for table in tables)
    # Each head has the same references.
    a, b = (of_heads.groupby(level=[*KEYS[:2]]).first() for of_heads in sums)
    a, b = a.align(b, join="inner")
    other = ~np.isclose(a, b)
    if other.any():
        (image_id, _), n_others = a.index[other][0], int(other.sum())
        raise ConfigError(
            f"group_by: the same lesions have other sizes in {n_others} of {len(a)} references, e.g. of {image_id} "
            f"{a[other].iloc[0]:.6g} in a and {b[other].iloc[0]:.6g} in b ({column}): score both with the same "
            "dataset.spacing_mm"
        )


def _rule_of(report: Report) -> str:
    """What decides what a lesion is, as keys of the configuration."""
    config: Mapping[str, Mapping[str, object]] = report.run()["config"]
    keys = {name: config["metrics"].get(name) for name in LESION_KEYS}
    instances = config.get("dataset", {}).get("instances", "")
    return ", ".join(f"{name} = {value}" for name, value in {**keys, "instances": instances}.items() if value)


def refuse_without_lesions(group_by: tuple[str, ...], report: Report) -> None:
    """Raise ConfigError for strata of sizes of lesions where the run counted none."""
    asked = next(filter(is_lesion_size, group_by), None)
    if asked and f"{LESIONS}.parquet" not in report.run()["files"]:
        raise ConfigError(f"group_by: {asked!r} is of lesions, and {report.path} counted none (metrics.lesions = true)")
