"""Units of evaluation: patients, series, sites, whose images' counts are summed before anything is divided.

Summed are the sound images of a unit; it is failed if none is sound. Where predictions are missing, that is also scored
with their references as missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.count_columns import BoolArray, CountColumns, Float64Array, Int64Array
from segscale.tasks.metrics.panel import ClassCounts, Panel, panel_of
from segscale.tasks.metrics.per_image import PREDICTION_MISSING
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.size_strata import UNKNOWN

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Units:
    """The units of evaluation of a panel of images."""

    panel: Panel
    """A place per unit, in the order of their first images. Frames hold the columns that the settings name; a unit is
    ok if one of its images is, missing if none is and one lacks nothing but a usable prediction."""
    members: Int64Array
    """The place of its unit for each ok image."""
    tallies: pd.DataFrame
    """n_images, n_failed and n_missing (Int64) of each ok unit, then of each failed one."""


def levels(per_image: pd.DataFrame | Panel, settings: ScoreSettings) -> tuple[Panel, ...]:
    """What is evaluated: the images, and the units where the settings name some. ArgumentError as `with_units`."""
    panel = with_units(panel_of(per_image), settings)
    return (panel,) if panel.units is None else (panel, panel.units.panel)


def with_units(panel: Panel, settings: ScoreSettings) -> Panel:
    """The panel with its units, made once, where the settings name some, and its folds checked.

    Raises ArgumentError as `check_units`.
    """
    _expect_known([panel.images, panel.failed], "folds", settings.folds)
    if not settings.unit:
        return panel
    needed = set(settings.columns)
    made = panel.units.panel if panel.units else None
    if made is not None and made.unit == settings.unit and needed <= set(made.images):
        return panel
    return replace(panel, units=_units_of(panel, settings))


def check_units(images: pd.DataFrame, settings: ScoreSettings) -> None:
    """Raise ArgumentError, naming the unit, where the columns of units and folds do not hold for these images.

    images: a row each, with image_id and the columns that the settings name. No unit or fold may be null or blank. A
    unit may not lie in two values of a column that makes strata, clusters or folds.
    """
    _expect_known([images], "folds", settings.folds)
    if settings.unit:
        _coded([images], settings)


def tears(images: pd.DataFrame, unit: str, column: str) -> bool:
    """Whether images of one unit lie in several values of a column; null is a value."""
    values = images.groupby(unit, sort=False, observed=True)[column].nunique(dropna=False)
    return bool(values.max() > 1)


@dataclass(frozen=True, slots=True)
class _Coded:
    """Which unit each image belongs to, the units in the order of their first images."""

    codes: Int64Array
    """(n,) of the frames' rows, one frame after the other."""
    first: pd.DataFrame
    """(U,) of each unit the columns that the settings name, with the index of its first row."""


def _coded(frames: list[pd.DataFrame], settings: ScoreSettings) -> _Coded:
    """Raises ArgumentError as `check_units`."""
    _expect_columns(frames[0], settings)
    _expect_known(frames, "unit", settings.unit)
    columns = list(settings.columns)
    rows = frames[0] if len(frames) == 1 or frames[1].empty else pd.concat([frame[columns] for frame in frames])
    order = np.argsort(rows.index.to_numpy(), kind="stable")
    in_order, _ = pd.factorize(rows[settings.unit].to_numpy()[order])
    codes = np.empty(len(rows), np.int64)
    codes[order] = in_order
    first = rows[columns].iloc[order[~pd.Series(in_order).duplicated().to_numpy(bool)]]
    for column in columns:
        if column != settings.unit:
            _expect_one_value(rows, codes, column, settings)
    return _Coded(codes, first)


def _expect_columns(frame: pd.DataFrame, settings: ScoreSettings) -> None:
    for key, names in (
        ("unit", [settings.unit]), ("folds", [settings.folds]), ("cluster_by", [settings.cluster_by]),
        ("group_by", settings.group_columns),
    ):  # fmt: skip
        for name in names:
            if name and name not in frame:
                raise ArgumentError(f"{key}: expected a column of per_image, got {name!r}; there are {list(frame)}")


def _expect_known(frames: Iterable[pd.DataFrame], key: str, column: str) -> None:
    """Raise where the column is null or blank for an image."""
    if not column:
        return
    found = []
    for frame in frames:
        if column not in frame:
            raise ArgumentError(f"{key}: expected a column of per_image, got {column!r}; there are {list(frame)}")
        found.append(frame.loc[_is_blank(frame[column]), "image_id"])
    if any(len(names) for names in found):
        lacking = pd.concat(found).sort_index().astype(str).tolist()
        named = "images" if len(lacking) > 1 else "image"
        raise ArgumentError(
            f"{key}: expected a value of {column} for every image, got none for {len(lacking)} {named} "
            f"({_shown(lacking)}): fill the column in, or leave these images out"
        )


def _is_blank(column: pd.Series) -> BoolArray:
    blanks = [value for value in column.dropna().unique() if isinstance(value, str) and not value.strip()]
    return (column.isna() | column.isin(blanks)).to_numpy(bool)


def _expect_one_value(rows: pd.DataFrame, codes: Int64Array, column: str, settings: ScoreSettings) -> None:
    values = pd.factorize(rows[column], use_na_sentinel=False)[0]
    of_unit = np.empty(codes.max(initial=-1) + 1, np.int64)
    of_unit[codes] = values
    torn = np.flatnonzero(of_unit[codes] != values)
    if not torn.size:
        return
    keys = {"group_by": settings.group_columns, "cluster_by": (settings.cluster_by,), "folds": (settings.folds,)}
    asked = ", ".join(key for key, names in keys.items() if column in names)
    units = rows[settings.unit].to_numpy(object)
    unit = units[torn[0]]
    found = rows.loc[codes == codes[torn[0]], column].drop_duplicates().astype(object).tolist()
    n_torn = len(np.unique(codes[torn]))
    others = f" (and {n_torn - 1} more like it)" if n_torn > 1 else ""
    raise ArgumentError(
        f"unit: expected all images of a {settings.unit} in one {column} (metrics.{asked}), got {settings.unit} "
        f"{unit!r} in {len(found)}: {_shown(found)}{others}: choose another unit, or another column for {asked}"
    )


def _shown(values: list[object] | list[str]) -> str:
    return ", ".join(map(str, values[:SHOWN])) + (", ..." if len(values) > SHOWN else "")


def _units_of(panel: Panel, settings: ScoreSettings) -> Units:
    n_ok = len(panel.images)
    coded = _coded([panel.images, panel.failed], settings)
    of_ok, of_failed = coded.codes[:n_ok], coded.codes[n_ok:]
    is_missing, is_unknown = _missing(panel.failed)
    is_ok, lacks, unknown = np.zeros((3, len(coded.first)), bool)
    is_ok[of_ok], lacks[of_failed[is_missing]], unknown[of_failed[is_unknown]] = True, True, True
    units = coded.first.assign(**{PREDICTION_MISSING: pd.arrays.BooleanArray(lacks, unknown)})
    whole = lacks & ~is_ok & ~unknown
    place_of_ok, place_of_missing = np.cumsum(is_ok) - 1, np.cumsum(whole) - 1
    members = place_of_ok[of_ok]
    # What lacks a prediction in a unit is summed beside its sound images, or alone.
    of_lost = of_failed[is_missing]
    beside, alone = np.flatnonzero(is_ok[of_lost]), np.flatnonzero(whole[of_lost])
    lost = _Lost(beside, place_of_ok[of_lost[beside]], alone, place_of_missing[of_lost[alone]], int(is_ok.sum()))
    made: dict[int, ClassCounts] = {}
    for one in (one for classes in panel.classes.values() for one in classes):
        made.setdefault(id(one.counts), _summed(one, members, lost))
    classes = {
        head: tuple(
            replace(made[id(one.counts)], class_index=one.class_index, class_name=one.class_name) for one in of_head
        )
        for head, of_head in panel.classes.items()
    }
    of_units = replace(
        panel, images=units[is_ok], failed=units[~is_ok], missing=units[whole], classes=classes, unit=settings.unit,
        volumes=None, units=None,
    )  # fmt: skip
    if panel.of_pixels is not None:
        of_pixels = with_units(panel.of_pixels, settings).units
        assert of_pixels is not None, "settings without a unit"
        of_units = replace(of_units, of_pixels=of_pixels.panel)
    if panel.volumes is not None:
        ok, failed, _ = panel.volumes
        volumes = _summed_volumes(np.concatenate([ok, failed]), coded.codes, len(units))
        of_units = replace(of_units, volumes=(volumes[is_ok], volumes[~is_ok], volumes[whole]))
    return Units(of_units, members, _tallies(coded.codes, n_ok, is_missing, unknown, is_ok))


def _summed_volumes(volumes: Float64Array, codes: Int64Array, n_units: int) -> Float64Array:
    """Of each unit those of its images that are known; UNKNOWN where none is."""
    known = volumes != UNKNOWN
    summed = np.bincount(codes[known], weights=volumes[known], minlength=n_units)
    return np.where(np.bincount(codes[known], minlength=n_units) > 0, summed, UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Lost:
    """Places of images without a usable prediction, and of their units: ok ones, and missing ones."""

    beside: NDArray[np.intp]
    ok_units: Int64Array
    alone: NDArray[np.intp]
    missing_units: Int64Array
    n_ok: int


def _summed(one: ClassCounts, members: Int64Array, lost: _Lost) -> ClassCounts:
    partly = None
    if lost.beside.size:
        beside = one.missed.take(lost.beside)
        pixels = np.zeros(lost.n_ok, np.int64)
        np.add.at(pixels, lost.ok_units, beside.reference_sum)
        sums = None
        if beside.sums is not None:
            sums = np.zeros((lost.n_ok, beside.sums.shape[1]))
            np.add.at(sums, lost.ok_units, beside.sums)
        partly = CountColumns.of_missing(pixels, sums=sums)
    missed: CountColumns = one.missed.take(lost.alone).sum_by(lost.missing_units)
    return replace(one, counts=one.counts.sum_by(members), missed=missed, partly_missed=partly)


def _missing(failed: pd.DataFrame) -> tuple[BoolArray, BoolArray]:
    """(failed,) whether an image lacks nothing but a usable prediction, and whether that is not known."""
    column = failed[PREDICTION_MISSING]
    return column.fillna(False).to_numpy(bool), column.isna().to_numpy(bool)


def _tallies(codes: Int64Array, n_ok: int, is_missing: BoolArray, unknown: BoolArray, is_ok: BoolArray) -> pd.DataFrame:
    n_units, of_failed = is_ok.size, codes[n_ok:]
    n_missing = np.bincount(of_failed[is_missing], minlength=n_units)
    tallies = pd.DataFrame(
        {
            "n_images": pd.array(np.bincount(codes, minlength=n_units), dtype="Int64"),
            "n_failed": pd.array(np.bincount(of_failed, minlength=n_units), dtype="Int64"),
            "n_missing": pd.array(np.ma.array(n_missing, mask=unknown), dtype="Int64"),
        }
    )
    return pd.concat([tallies[is_ok], tallies[~is_ok]], ignore_index=True)
