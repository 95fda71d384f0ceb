"""Cases: the worst, middle and best images of each class, which a page shows or names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.tasks.report_html.curves import ImageScores, image_scores
from segscale.tasks.report_html.headline import Tables, rows_of, whole_set

MAX_CLASSES = 4
"""Classes with plots and cases."""
MAX_CASES = 24
RANKS = ("worst", "median", "best")


@dataclass(frozen=True, slots=True)
class Case:
    """One image and class."""

    image_id: str
    class_index: int
    class_name: str
    rank: str
    """One of RANKS, by Dice."""
    dice: float
    reference_pixels: int
    predicted_pixels: int


def drawn_classes(tables: Tables, head: object) -> pd.DataFrame:
    """The rows of the gap of Dice of the foreground classes and regions that are drawn.

    Of more than MAX_CLASSES those with the largest gap.
    """
    gaps = rows_of(whole_set(tables["gap"]), metric="dice", head=head)
    foreground = gaps[(gaps["class_index"] > 0).to_numpy(bool)]
    size = foreground["gap"].abs().fillna(-1.0).to_numpy(np.float64)
    return foreground.iloc[np.sort(np.argsort(-size, kind="stable")[:MAX_CLASSES])]


def last_head(tables: Tables) -> object:
    """The head that plots are of; what is kept of predictions is of this one."""
    return tables["per_sample"]["head"].iloc[-1]


def cases_of(tables: Tables) -> tuple[Case, ...]:
    """At most MAX_CASES, of each drawn class as many, and of each rank; of few images fewer, none of them twice.

    Images with a Dice and with a pixel of the class in reference or prediction, by Dice; of equal ones those with more
    pixels are worse.
    """
    head = last_head(tables)
    drawn: list[Any] = list(drawn_classes(tables, head).itertuples(index=False))
    each = MAX_CASES // (len(RANKS) * max(len(drawn), 1))
    return tuple(
        _case(images, place, int(row.class_index), str(row.class_name), rank)
        for row in drawn
        for images in (image_scores(tables["per_image"], int(row.class_index), head),)
        for rank, places in zip(RANKS, ranked(images, each), strict=True)
        for place in places
    )


def ranked(images: ImageScores, each: int) -> tuple[NDArray[np.int64], ...]:
    """The places of the worst, the middle and the best images, at most `each` of them."""
    places = np.flatnonzero(~np.isnan(images.dice) & (images.weight > 0))
    order = places[np.lexsort((-images.weight[places], images.dice[places]))]
    count = min(each, -(-order.size // len(RANKS)))
    worst, rest = order[:count], order[count:]
    best = rest[::-1][:count]
    rest = rest[: rest.size - best.size]
    start = max(rest.size - count, 0) // 2
    return worst, rest[start : start + count], best


def _case(images: ImageScores, place: int, class_index: int, class_name: str, rank: str) -> Case:
    reference = int(images.reference_pixels[place])
    predicted = int(images.weight[place]) - reference
    image_id, dice = str(images.image_id[place]), float(images.dice[place])
    return Case(image_id, class_index, class_name, rank, dice, reference, predicted)
