"""The counts of a report at each of its kept thresholds, a pair of columns at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.flows.reports.tables import recorded_threshold_count
from segscale.storage.reports import Report
from segscale.tasks.metrics.count_agreement import Counting
from segscale.tasks.metrics.kept_thresholds import counts_at, pair_names
from segscale.tasks.metrics.panel import Panel

TABLE = "thresholds"
KEYS = ("image_id", "class_index", "head")


@dataclass(frozen=True, slots=True)
class KeptCounts:
    """thresholds.parquet of a report, over the sound images of one head."""

    report: Report
    panel: Panel

    def of(self, decided: Counting, places: NDArray[np.int64]) -> Iterator[Counting]:
        """The counts of a class at each kept threshold, over some sound images; none where the report keeps none.

        decided: those of the run itself, over the same images.
        """
        rows = self._rows(decided.class_index, places) if f"{TABLE}.parquet" in self.report.run()["files"] else None
        if rows is None:
            return
        threshold_count = recorded_threshold_count(self.report)
        for index in range(1, threshold_count):
            columns = ("reference_sum", *pair_names(index))
            pair = self.report.table(TABLE, columns).iloc[rows]
            if pair.isna().any(axis=None):
                return  # of label maps among probabilities
            counts = counts_at(pair, index)
            predicted = counts.true_positive + counts.false_positive + counts.false_negative
            of_run = decided.counts
            n_voxels = of_run.true_positive + of_run.false_positive + of_run.false_negative + of_run.true_negative
            yield Counting(
                decided.class_index, index / threshold_count, replace(counts, true_negative=n_voxels - predicted)
            )

    def _rows(self, class_index: int, places: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """The row of each image; None where one has none."""
        keys = self.report.table(TABLE, KEYS)
        is_asked = (keys["class_index"] == class_index) & (keys["head"] == self.panel.heads[0])
        asked = np.flatnonzero(is_asked.to_numpy(bool))
        found = pd.Index(keys["image_id"].to_numpy()[asked]).get_indexer(
            self.panel.images["image_id"].to_numpy()[places]
        )
        return None if (found < 0).any() else asked[found]
