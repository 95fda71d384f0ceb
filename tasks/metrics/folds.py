"""Folds of a cross-validation: the mean of their means, beside the mean of all cases."""

import pandas as pd

from segscale.tasks.metrics.count_columns import Float64Array, Int64Array
from segscale.tasks.metrics.panel import Panel, Stratum
from segscale.tasks.metrics.statistics import mean, means_within


def fold_codes(panel: Panel, stratum: Stratum, column: str) -> Int64Array | None:
    """(n,) the fold of each ok image of the stratum as a number; None without a column."""
    if not column:
        return None
    return pd.factorize(panel.images[column].iloc[stratum.images])[0].astype("int64")


def mean_of_folds(scores: Float64Array, folds: Int64Array) -> tuple[float, int]:
    """The mean over folds of the mean of each, and how many have one; undefined scores (NaN) are left out."""
    means = means_within(scores, folds)
    return mean(means), means.size
