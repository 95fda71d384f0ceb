"""Gaps between strata: whether the images of a stratum score lower or higher than all the others.

Three things can be shown of a gap, its stratum's mean minus that of the rest, with a margin M: that it is below -M
("lower"), above M ("higher"), or between both ("alike"; two one-sided tests, Schuirmann 1987). All of them, of all
strata, classes and columns, are adjusted at once: of what is told at most 1 - confidence is expected to be wrong,
however strata depend on each other (false discovery rate; Benjamini and Yekutieli 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from segscale.tasks.decisions.estimate import Estimate
from segscale.tasks.decisions.single_run import Scored
from segscale.tasks.decisions.verdicts import MIN_EFFECTIVE
from segscale.tasks.metrics.bootstrap import UnitSums, influence
from segscale.tasks.metrics.count_columns import BoolArray, Float64Array
from segscale.tasks.metrics.panel import Stratum

TOLD = ("lower", "higher", "alike")


@dataclass(frozen=True, slots=True)
class StratumGap:
    """One class in one stratum against the rest of the set."""

    scored: Scored
    stratum: Stratum
    mean: float
    mean_of_rest: float
    estimate: Estimate
    """Of the stratum's mean minus that of the rest."""
    n: int
    """With a score in the stratum."""
    n_rest: int
    reason: str
    """Why nothing can be told ("" if it can)."""

    def p_values(self, margin: float) -> tuple[float, float, float]:
        """One-sided, of what TOLD says not being so; NaN where nothing can be told."""
        if self.reason:
            return np.nan, np.nan, np.nan
        gap = self.estimate
        alike = max(gap.p_not_above(-margin), gap.p_not_below(margin))
        return gap.p_not_below(-margin), gap.p_not_above(margin), alike


def stratum_gap(scored: Scored, stratum: Stratum) -> StratumGap:
    """The gap of a stratum, over images that have a score. Clusters may have images on both sides."""
    inside = np.zeros(scored.scores.size, np.bool_)
    inside[stratum.images] = True
    sides = [_side(scored, inside), _side(scored, ~inside)]
    (mean, of_mean, sizes), (rest, of_rest, sizes_of_rest) = sides
    estimate = Estimate(mean - rest, of_mean - of_rest, sizes)
    fewer = min((estimate, Estimate(rest, of_rest, sizes_of_rest)), key=lambda one: one.n_effective)
    # What both sides can tell together is bounded by the one that tells less.
    estimate = Estimate(estimate.value, estimate.influence, fewer.sizes)
    return StratumGap(
        scored,
        stratum,
        mean,
        rest,
        estimate,
        _n_scored(scored, inside),
        _n_scored(scored, ~inside),
        _trouble(sides, fewer),
    )


def told(gaps: Sequence[StratumGap], margin: float, confidence: float) -> list[tuple[str, float]]:
    """Of each gap what can be told of it, one of TOLD or "", and the smallest of its adjusted p-values, NaN without."""
    p_values = np.array([one.p_values(margin) for one in gaps], np.float64).reshape(-1, len(TOLD))
    adjusted = np.full(p_values.shape, np.nan)
    known = ~np.isnan(p_values)
    if known.any():
        adjusted[known] = stats.false_discovery_control(p_values[known], method="by")
    found = []
    for row in adjusted:
        place = int(np.argmin(np.where(np.isnan(row), np.inf, row)))
        shown = TOLD[place] if row[place] <= 1 - confidence else ""
        found.append((shown, float(row[place])))
    return found


Side = tuple[float, Float64Array, Float64Array]


def _side(scored: Scored, chosen: BoolArray) -> Side:
    """Mean, influence and sizes of clusters, of the images chosen."""
    known = chosen & ~np.isnan(scored.scores)
    sizes = scored.clusters.sum(known)
    sums = UnitSums(scored.clusters.sum(scored.scores, known), sizes, 0.0)
    if not known.any():
        return np.nan, np.full(sizes.size, np.nan), sizes
    return float(scored.scores[known].mean()), influence(sums), sizes


def _n_scored(scored: Scored, chosen: BoolArray) -> int:
    return int((chosen & ~np.isnan(scored.scores)).sum())


def _trouble(sides: Sequence[Side], fewer: Estimate) -> str:
    if any(np.isnan(mean) for mean, _, _ in sides):
        return "no image has a score on one side"
    if fewer.n_effective < MIN_EFFECTIVE:
        return f"effectively {fewer.n_effective:.3g} independent units on one side, fewer than {MIN_EFFECTIVE}"
    return ""
