"""What a run says of each class: scored as nnU-Net does, with smoothing, as the run does, and as its report states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.metric_table import DICE, METRICS, Metric
from segscale.tasks.metrics.panel import Panel
from segscale.tasks.metrics.per_image import PREDICTION_MISSING
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.units import with_units

SCORES: tuple[Metric, ...] = (DICE, next(metric for metric in METRICS if metric.name == "iou"))
"""What nnU-Net's summary states a mean of, and so does a run."""
NNUNET = ScoreSettings(smooth=0.0, empty="nan")
"""How nnU-Net scores: without smoothing, undefined where both masks are empty."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the tables of a run say of one class and score."""

    mean: float
    mean_missing: float
    pooled: float
    pooled_missing: float
    n_images: int
    """Sound ones, or units with one."""
    n_both_empty: int | None
    """None of what is said over classes."""


class RunNumbers:
    """The run's numbers, scored as nnU-Net does, with smoothing, as the run does, and as its report states them."""

    def __init__(self, panel: Panel, settings: ScoreSettings, reported: tuple[pd.DataFrame, pd.DataFrame]) -> None:
        own = settings.changed(group_by=(), folds="", batch_sizes=())
        with_own_units = with_units(_scored(panel), own)
        self._of = {
            "nnunet": _indexed(*_aggregated(_scored(panel), NNUNET.changed(batch_sizes=()))),
            "smoothed": _indexed(*_aggregated(_scored(panel), NNUNET.changed(batch_sizes=(), smooth=own.smooth))),
            "own": _indexed(*_aggregated(with_own_units, own)),
            "reported": _indexed(*reported),
        }
        self.n_images = len(panel.images)
        known = panel.failed[PREDICTION_MISSING].notna().all()
        self.n_missing = len(panel.missing) if known else 0
        """Images without a usable prediction; 0 too where it is not known which they are."""

    def value(self, scored: str, unit: str, class_name: str, metric: str) -> Numbers:
        return self._of[scored][unit, class_name, metric]


def _scored(panel: Panel) -> Panel:
    return replace(panel, metrics=SCORES, units=None)


def _aggregated(panel: Panel, settings: ScoreSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    return per_sample(panel, settings), batch_summed(panel, settings)


def _indexed(means: pd.DataFrame, sums: pd.DataFrame) -> dict[tuple[str, str, str], Numbers]:
    """The numbers of the whole set by unit, class and metric, from tables as per_sample and batch_summed are."""
    names = [metric.name for metric in SCORES]
    means, sums = (table[(table["stratum"] == "") & table["metric"].isin(names)] for table in (means, sums))
    pooled_rows: Iterable[Any] = sums[sums["pooled"].to_numpy(bool)].itertuples()
    pooled = {(row.unit, row.class_name, row.metric): row for row in pooled_rows}
    rows: Iterable[Any] = means.itertuples()
    return {
        (key := (row.unit, row.class_name, row.metric)): Numbers(
            mean=float(row.mean),
            mean_missing=float(row.mean_missing_as_zero),
            pooled=float(pooled[key].mean),
            pooled_missing=float(pooled[key].pooled_missing_as_missed),
            n_images=int(row.n_images - row.n_failed),
            n_both_empty=None if pd.isna(row.n_both_empty) else int(row.n_both_empty),
        )
        for row in rows
    }
