"""Strata: columns of so few values that scores of each can be looked at, where nobody said which are meant."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from segscale.tasks.metrics.units import tears

MOST = 12
"""Values of a column that makes strata."""
EACH = 5
"""Images of a value on the average, at least."""


def columns_of_few_values(images: pd.DataFrame, names: Sequence[str], unit: str = "") -> list[str]:
    """Those of some columns that have 2 to `MOST` values, each of `EACH` images on the average, and that cut no unit
    apart.

    `images` has a row for each image, `unit` is the column that names the units; "" for none.
    """
    most = min(MOST, len(images) // EACH)
    few = [name for name in names if name != unit and 2 <= images[name].nunique() <= most]
    return [name for name in few if not (unit and tears(images, unit, name))]
