"""One run by itself: the scores of a class over its images or units, missing predictions as missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.decisions.lost import Lost, lost_images
from segscale.tasks.metrics.compare import clusters_of
from segscale.tasks.metrics.count_columns import BoolArray, Float64Array
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.paired_estimates import Units
from segscale.tasks.metrics.pairing import PairedClass, Pairs, by_unit, pair_images
from segscale.tasks.metrics.panel import Stratum
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.refusal import there_are


@dataclass(frozen=True, slots=True)
class SingleRun:
    """A run, as it is paired with itself, so that what is said of one is what is said of two."""

    pairs: Pairs
    settings: ScoreSettings
    lost: Lost
    """Failed images of which no score is known."""
    head: object

    @property
    def unit(self) -> str:
        return self.pairs.panel.unit

    def strata(self) -> list[Stratum]:
        """The whole set, then those of `group_by`."""
        return self.pairs.strata(self.settings.group_by)

    def classes(self, metric: Metric) -> Iterator[Scored]:
        """Foreground classes and regions that occur, in their order.

        Raises ArgumentError where the run has no such score, and where a cluster is not known.
        """
        everything = np.arange(len(self.pairs.panel.images))
        units, trouble = clusters_of(self.pairs, Stratum("", everything, 0, None), self.settings.cluster_by)
        if trouble:
            raise ArgumentError(f"cluster_by: {trouble}: nobody can say what is independent of what")
        for pair in self.pairs.classes:
            if pair.class_index > 0 and pair.head_a == self.head:
                found = _scored(pair, metric, self.settings, units)
                if not np.isnan(found.scores).all():
                    yield found


@dataclass(frozen=True, slots=True)
class Scored:
    """One class of a run."""

    class_index: int
    class_name: str
    head: str
    scores: Float64Array
    """(n,) score of each image or unit, 0 without a prediction; NaN where it is undefined."""
    lacking: BoolArray
    """(n,) whether some of the prediction is missing."""
    clusters: Units
    """Of the n."""


def single_run(per_image: pd.DataFrame, settings: ScoreSettings, head: str | None) -> SingleRun:
    """The run of a `per_image` table. ArgumentError where no image is ok, and where a head or unit is not there."""
    pairs = pair_images(per_image, per_image)
    lost = lost_images(pairs, per_image, is_alone=True)
    chosen = chosen_head(pairs, head)
    with_missing = pairs.with_missing or pairs
    return SingleRun(by_unit(with_missing, settings) if settings.unit else with_missing, settings, lost, chosen)


def chosen_head(pairs: Pairs, head: str | None) -> object:
    """The head of run a that is paired with the one that is meant."""
    heads = list(dict.fromkeys((one.head_a, one.head_b) for one in pairs.classes))
    names = [str(of_b) for _, of_b in heads]
    if head is None and len(heads) > 1:
        raise ArgumentError(f"head: expected one of {', '.join(names)}, as the runs have several, got none")
    if head is not None and head not in names:
        raise ArgumentError(f"head: expected a head of both runs, got {head!r}; {there_are(names)}")
    return heads[names.index(head) if head is not None else 0][0]


def _scored(pair: PairedClass, metric: Metric, settings: ScoreSettings, units: Units) -> Scored:
    counts = pair.b
    if metric.is_unknown(counts, settings):
        raise ArgumentError(f"{metric.name}: expected a score that the run has; label maps have no soft scores")
    lacking = counts.is_missing if counts.missed is None else counts.is_missing | (counts.missed > 0)
    return Scored(pair.class_index, pair.class_name, str(pair.head_b), metric.score(counts, settings), lacking, units)
