"""Which gap stands for a run: of its only foreground class, else of the mean over foreground classes."""

from collections.abc import Collection
from typing import Any

import pandas as pd

from segscale.tasks.metrics.panel import MACRO
from segscale.tasks.report_html.headline import rows_of


def lead_row(gaps: pd.DataFrame, regions: Collection[int]) -> Any:
    """The row of the table `gap` that is told first.

    gaps: of the whole set, one metric, one head and one step. regions: the class indices of regions, which are no
    classes and stand for nothing over classes.
    """
    foreground = gaps[((gaps["class_index"] > 0) & ~gaps["class_index"].isin(list(regions))).to_numpy(bool)]
    told = foreground if len(foreground) == 1 else rows_of(gaps, class_index=-1, class_name=MACRO)
    return told.iloc[0]
