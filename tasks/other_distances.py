"""Other distances: percentiles and tolerances that the run was not asked for, from the histograms of its report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.metrics.surface_metrics import BORDERS, nsd_name, percentile_names
from segscale.tasks.surfaces.histograms import DistanceHistogram, nsd_of_pair, percentile_of_pair

HISTOGRAMS = ("reference_bins", "reference_counts", "prediction_bins", "prediction_counts")
"""The columns of a table of surfaces that this reads."""
_DEFINED = ("larger", "pooled", "mean_directed")
"""What `percentile_names` names, in its order."""


def with_other_distances(
    surface: pd.DataFrame, tolerances: Sequence[float] = (), percentiles: Sequence[float] = ()
) -> pd.DataFrame:
    """The table with a column for each tolerance and three for each percentile, by `nsd_name` and `percentile_names`.

    The share within a tolerance is exact; a percentile is off by half a bin, 0.5 % of itself, at most. Both are NaN
    where a side has no border. A metric that is there stays as it is.

    Raises ArgumentError for a tolerance that the bins cannot tell, and for what is no percentile.
    """
    for q in percentiles:
        if not 0 <= q <= 100:
            raise ArgumentError(f"percentiles: expected numbers from 0 to 100, got {q:g}")
    names = [*map(nsd_name, tolerances), *(name for q in percentiles for name in percentile_names(q))]
    found = np.full((len(surface), len(names)), np.nan)
    both = (surface[list(BORDERS)].fillna(0) > 0).all(axis=1).to_numpy(bool)
    rows = surface.loc[both, list(HISTOGRAMS)].itertuples(index=False, name=None)
    for place, columns in zip(np.flatnonzero(both), rows, strict=True):
        arrays = [np.asarray(one) for one in columns]
        sides = DistanceHistogram(arrays[0], arrays[1]), DistanceHistogram(arrays[2], arrays[3])
        within = [nsd_of_pair(*sides, tolerance) for tolerance in tolerances]
        found[place] = [*within, *(percentile_of_pair(*sides, q, one, np.nan) for q in percentiles for one in _DEFINED)]
    added = pd.DataFrame(found, surface.index, names)
    return pd.concat([surface, added[[name for name in names if name not in surface]]], axis=1)
