"""Strata and tails of one run: which groups of images are worse off than the others, and how bad the worst are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.decisions.questions import DECIDABLE, expect_decidable
from segscale.tasks.decisions.single_run import Scored, SingleRun, single_run
from segscale.tasks.decisions.strata_gaps import StratumGap, stratum_gap, told
from segscale.tasks.decisions.strata_words import gap_sentence, tail_sentence
from segscale.tasks.decisions.tails import Tail, share_below, worst_mean
from segscale.tasks.metrics.layout import Row, table
from segscale.tasks.metrics.panel import Stratum
from segscale.tasks.metrics.settings import ScoreSettings

KEYS: dict[str, str | None] = {
    "unit": "str", "stratum": "str", "class_index": "Int64", "class_name": "str", "head": "str", "metric": "str",
}  # fmt: skip
GAP_COLUMNS: dict[str, str | None] = {
    **KEYS, **dict.fromkeys(["mean", "mean_of_rest", "gap", "low", "high", "margin"], "float64"), "told": "str",
    "p_adjusted": "float64", "reason": "str",
    **dict.fromkeys(["n", "n_rest", "n_missing", "n_unknown"], "Int64"), "n_effective": "float64", "sentence": "str",
}  # fmt: skip
TAIL_COLUMNS: dict[str, str | None] = {
    **KEYS, **dict.fromkeys(["mean", "limit", "share_below", "share_low", "share_high"], "float64"),
    "n_below": "Int64",
    **dict.fromkeys(["worst_share", "worst_mean", "worst_low", "worst_high"], "float64"), "n_worst": "Int64",
    "reason": "str", **dict.fromkeys(["n", "n_undefined", "n_missing", "n_unknown"], "Int64"), "sentence": "str",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StrataAsked:
    """What is asked of the strata of a run."""

    metric: str = "dice"
    margin: float = 0.01
    """A gap that nobody would mind, above 0 and below 1."""
    below: float = 0.5
    """Scores below are catastrophic; above 0 and at most 1."""
    worst: float = 0.05
    """Share of images whose mean is the tail, above 0 and below 1."""

    def check(self) -> None:
        """ArgumentError naming what was expected."""
        expect_decidable("metric", self.metric)
        for name in ("margin", "below", "worst"):
            value = getattr(self, name)
            if not (0 < value < 1 or (name == "below" and value == 1)):
                raise ArgumentError(f"{name}: expected a number above 0 and below 1, got {value!r}")


@dataclass(frozen=True, slots=True)
class Strata:
    """What the strata of a run are like."""

    gaps: pd.DataFrame
    """A row per stratum and class, GAP_COLUMNS; empty without strata."""
    tails: pd.DataFrame
    """A row per stratum, the whole set first, and class, TAIL_COLUMNS."""


def strata(per_image: pd.DataFrame, settings: ScoreSettings, asked: StrataAsked, head: str | None = None) -> Strata:
    """Gaps and tails of a `per_image` table, by group_by, cluster_by, unit and confidence of the settings.

    Missing predictions score 0. Images that failed otherwise are in n_unknown and nowhere else, those without a score
    (both empty, where `empty` is "nan") in n_undefined.

    Raises ArgumentError where no image is ok or has a foreground class, and where a column, unit, head or metric is not
    there.
    """
    asked.check()
    run = single_run(per_image, settings, head)
    classes = list(run.classes(DECIDABLE[asked.metric]))
    if not classes:
        raise ArgumentError("no image has any of the classes: nothing can be told")
    every = run.strata()
    gaps = [stratum_gap(one, stratum) for stratum in every if stratum.name for one in classes]
    rows = [
        _gap_row(run, gap, asked, *found)
        for gap, found in zip(gaps, told(gaps, asked.margin, settings.confidence), strict=True)
    ]
    tails = [_tail_row(run, one, stratum, asked) for stratum in every for one in classes]
    return Strata(table(rows, GAP_COLUMNS), table(tails, TAIL_COLUMNS))


def _keys(run: SingleRun, scored: Scored, stratum: Stratum, metric: str) -> Row:
    same = {name: getattr(scored, name) for name in ("class_index", "class_name", "head")}
    return {"unit": run.unit, "stratum": stratum.name, **same, "metric": metric}


def _gap_row(run: SingleRun, gap: StratumGap, asked: StrataAsked, shown: str, p_adjusted: float) -> Row:
    low, high = (np.nan, np.nan) if gap.reason else gap.estimate.interval(run.settings.confidence)
    row = {
        **_keys(run, gap.scored, gap.stratum, asked.metric), "mean": gap.mean, "mean_of_rest": gap.mean_of_rest,
        "gap": gap.estimate.value, "low": low, "high": high, "margin": asked.margin, "told": shown or "cannot tell",
        "p_adjusted": p_adjusted, "reason": gap.reason, "n": gap.n, "n_rest": gap.n_rest,
        "n_missing": int(gap.scored.lacking[gap.stratum.images].sum()),
        "n_unknown": run.lost.numbers(gap.stratum.name)[0], "n_effective": gap.estimate.n_effective,
    }  # fmt: skip
    return row | {"sentence": gap_sentence(row, run.settings)}


def _tail_row(run: SingleRun, scored: Scored, stratum: Stratum, asked: StrataAsked) -> Row:
    scores = scored.scores[stratum.images]
    clusters = replace(scored.clusters, of_image=scored.clusters.of_image[stratum.images])
    share: Tail = share_below(scores, clusters, asked.below, run.settings.confidence)
    worst: Tail = worst_mean(scores, clusters, asked.worst, run.settings.confidence)
    n = int((~np.isnan(scores)).sum())
    row = {
        **_keys(run, scored, stratum, asked.metric), "mean": float(np.nanmean(scores)) if n else np.nan,
        "limit": asked.below, "share_below": share.value, "share_low": share.low, "share_high": share.high,
        "n_below": share.n, "worst_share": asked.worst, "worst_mean": worst.value, "worst_low": worst.low,
        "worst_high": worst.high, "n_worst": worst.n, "reason": share.reason or worst.reason, "n": n,
        "n_undefined": int(scores.size - n), "n_missing": int(scored.lacking[stratum.images].sum()),
        "n_unknown": run.lost.numbers(stratum.name)[0],
    }  # fmt: skip
    return row | {"sentence": tail_sentence(row, run.settings)}
