"""Strata: columns of so few values that scores of each can be looked at, where nobody said which are meant."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

MOST = 12
"""Values of a column that makes strata."""


def columns_of_few_values(table: pd.DataFrame, names: Sequence[str], unit: str = "") -> list[str]:
    """Those of some columns that have 2 to `MOST` values, each twice on the average, and one only of each unit.

    `unit` is the column that names the units; "" for none.
    """
    most = min(MOST, len(table) // 2)
    few = [name for name in names if name != unit and 2 <= table[name].nunique() <= most]
    if not unit or unit not in table:
        return few
    return [name for name in few if table.groupby(unit)[name].nunique(dropna=False).max() <= 1]
