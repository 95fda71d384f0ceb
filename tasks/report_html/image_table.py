"""The table of images: all of them, or of many the extremes and a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.tasks.metrics.per_image import PREDICTION_MISSING, REFERENCE_PIXELS, is_ok
from segscale.tasks.report_html.headline import Tables, matches
from segscale.tasks.report_html.measured import NAMES, distance_unit
from segscale.tasks.report_html.words import number

MAX_ROWS = 3000
"""A browser sorts as many at once, and a page of them is small."""
MAX_FAILED = 300
SEED = 0
SCORES = ("dice", "iou", "sensitivity", "precision")
DISTANCES, LESIONS = ("hd95", "assd"), ("lesion_f1", "lesion_sensitivity", "lesion_precision")
"""Columns of the tables surface and lesion_counts that are shown where these were measured."""
OK, ZERO, UNDEFINED, FAILED, MISSING = "scored", "Dice 0", "nothing to score", "failed", "no prediction"
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image and class; a failed image has one row."""

    image_id: str
    class_name: str
    """"" of a failed image."""
    state: str
    """OK, ZERO, UNDEFINED, FAILED or MISSING."""
    groups: tuple[str, ...]
    """Its values in the columns of groups, "" for null."""
    scores: tuple[float, ...]
    """Of SCORES; NaN where undefined."""
    reference_pixels: int | None
    predicted_pixels: int | None
    contribution: float
    """To the gap of Dice; NaN where there is none."""
    distances: tuple[float, ...]
    """In the columns of distances; NaN where there is no structure to measure from."""
    lesion_scores: tuple[float, ...]
    """In the columns of lesions; NaN where undefined."""


@dataclass(frozen=True, slots=True)
class ImageTable:
    """The rows that a page holds."""

    groups: tuple[str, ...]
    """Names of the columns of groups."""
    distances: tuple[str, ...]
    """Names of the columns of distances, with their unit; () where surfaces were not measured."""
    lesion_scores: tuple[str, ...]
    """Names of the columns about lesions; () where they were not counted."""
    rows: tuple[ImageRow, ...]
    """In the order of the catalog."""
    words: str
    """Which of all rows these are."""
    classes: tuple[str, ...]
    states: tuple[str, ...]
    """Those that occur."""


def image_table(tables: Tables, head: object) -> ImageTable:
    """The table of a head: sound images by foreground class and region, and each failed image once.

    Above MAX_ROWS of each class the lowest and highest Dice and the largest parts in the gap, failed images, and a
    seeded sample of the rest. tables: per_image, and `surface` and `lesion_counts` where there are such.
    """
    per_image = tables["per_image"]
    foreground = matches(per_image, head=head) & (per_image["class_index"] > 0).to_numpy(bool)
    ok = is_ok(per_image)
    sound = np.flatnonzero(foreground & ok)
    classes = per_image["class_index"].to_numpy(np.int64)
    failed = np.flatnonzero(foreground & ~ok)
    failed = failed[classes[failed] == classes[failed].min(initial=1)] if failed.size else failed
    if sound.size + failed.size <= MAX_ROWS:
        places, words = np.sort(np.concatenate([sound, failed])), ""
    else:
        places, words = _chosen(per_image, classes, sound, failed)
    groups = _group_columns(per_image)
    shown = per_image.iloc[places]
    distances, lesions = (_beside(shown, tables.get(name), columns) for name, columns in _MEASURES.items())
    rows = tuple(
        _row(row, groups, *measured)
        for row, *measured in zip(shown.to_dict("records"), distances.values, lesions.values, strict=True)
    )
    unit = distance_unit(tables)
    return ImageTable(
        groups=groups,
        distances=tuple(f"{NAMES[name]} ({unit})" for name in distances.names),
        lesion_scores=tuple(NAMES[name] for name in lesions.names),
        rows=rows,
        words=words,
        classes=tuple(dict.fromkeys(row.class_name for row in rows if row.class_name)),
        states=tuple(dict.fromkeys(row.state for row in rows)),
    )


_MEASURES = {"surface": DISTANCES, "lesion_counts": LESIONS}


class _Beside(NamedTuple):
    """Columns of another table for rows of per_image."""

    names: tuple[str, ...]
    values: list[tuple[float, ...]]
    """Of each row."""


def _beside(shown: pd.DataFrame, table: pd.DataFrame | None, columns: Sequence[str]) -> _Beside:
    """What a table says of the same images, heads and classes; nothing where it was not made."""
    if table is None:
        return _Beside((), [()] * len(shown))
    keys = ["image_id", "head", "class_index"]
    of_shown = table.loc[table["image_id"].isin(shown["image_id"]).to_numpy(bool), [*keys, *columns]]
    joined = shown[keys].merge(of_shown, on=keys, how="left", validate="one_to_one")
    values = joined[list(columns)].to_numpy(np.float64, na_value=np.nan)
    return _Beside(tuple(columns), [tuple(row) for row in values.tolist()])


def _chosen(per_image: pd.DataFrame, classes: Places, sound: Places, failed: Places) -> tuple[Places, str]:
    """The places of the rows that are kept, in their order, and which these are, in words."""
    dice, share = (per_image[name].to_numpy(np.float64) for name in ("dice", "gap_contribution_dice"))
    indices = np.unique(classes[sound])
    each = max(MAX_ROWS // 2 // (3 * max(indices.size, 1)), 1)
    found = [failed[:MAX_FAILED]]
    for index in indices:
        places = sound[classes[sound] == index]
        for values in (dice[places], -dice[places], -np.abs(share[places])):
            known = np.flatnonzero(~np.isnan(values))
            found.append(places[known[np.argsort(values[known], kind="stable")[:each]]])
    extremes = np.unique(np.concatenate(found))[:MAX_ROWS]
    rest = np.setdiff1d(sound, extremes, assume_unique=True)
    count = min(MAX_ROWS - extremes.size, rest.size)
    sample = np.random.default_rng(SEED).choice(rest, count, replace=False)
    some = f"{number(min(failed.size, MAX_FAILED))} of {number(failed.size)} failed images, " if failed.size else ""
    n_all, n_held, best = number(sound.size + failed.size), number(extremes.size + count), number(each)
    words = (
        f"Of {n_all} rows this table holds {n_held}: of each class the {best} lowest and the {best} highest Dice and "
        f"the {best} largest parts in the gap, {some}and a random sample of {number(count)} of the rest (seed {SEED}). "
        "All rows are in per_image.parquet."
    )
    return np.sort(np.concatenate([extremes, sample])), words


def _group_columns(per_image: pd.DataFrame) -> tuple[str, ...]:
    """The columns that came with the images: between their id and their class."""
    names = [str(name) for name in per_image.columns]
    between = names[names.index("image_id") + 1 : names.index("class_index")] if "image_id" in names else []
    return tuple(between)


def _row(
    row: dict[Any, Any], groups: tuple[str, ...], distances: tuple[float, ...], lesion_scores: tuple[float, ...]
) -> ImageRow:
    is_failed = row["status"] != "ok"
    reference = row[REFERENCE_PIXELS]
    return ImageRow(
        image_id=str(row["image_id"]),
        class_name="" if is_failed else str(row["class_name"]),
        state=_state(row),
        groups=tuple("" if pd.isna(row[name]) else str(row[name]) for name in groups),
        scores=tuple(float(row[name]) for name in SCORES),
        reference_pixels=None if is_failed or pd.isna(reference) else int(reference),
        predicted_pixels=None if is_failed else int(row["true_positive"] + row["false_positive"]),
        contribution=float(row["gap_contribution_dice"]),
        distances=distances,
        lesion_scores=lesion_scores,
    )


def _state(row: dict[Any, Any]) -> str:
    if row["status"] != "ok":
        lacks_prediction = row[PREDICTION_MISSING]
        return MISSING if not pd.isna(lacks_prediction) and lacks_prediction else FAILED
    if np.isnan(row["dice"]):
        return UNDEFINED
    return ZERO if row["dice"] == 0 else OK
