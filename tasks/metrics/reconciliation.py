"""nnU-Net's mean of a label against the scores of a run: one step for each cause, from the one number to the other.

A step begins where the one before it ended, so the steps add up to the whole difference, and each changes one thing.
What a step explains depends on the order; it is that of `segscale.tasks.metrics.causes.CAUSES`, always.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.tasks.metrics import causes
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.causes import CAUSES, REMAINS
from segscale.tasks.metrics.count_agreement import (
    EQUAL,
    OTHER_PREDICTION,
    OTHER_REFERENCE,
    OTHER_VOXELS,
    Counting,
    agreement,
)
from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.metric_table import DICE, METRICS, Metric
from segscale.tasks.metrics.nnunet_cases import Labels, names_of
from segscale.tasks.metrics.panel import IMAGE, Panel
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean
from segscale.tasks.metrics.units import with_units

UNKNOWN, FAILED = -1, -2
"""In place of a sound image: the report does not have the case, or its image failed."""
SCORES: tuple[Metric, ...] = (DICE, next(metric for metric in METRICS if metric.name == "iou"))
"""What nnU-Net's summary states a mean of, and so does a run."""
ROUNDING = 1e-9
"""What two ways to add the same scores may differ in."""
NNUNET = ScoreSettings(smooth=0.0, empty="nan")
"""How nnU-Net scores: without smoothing, undefined where both masks are empty."""
KINDS = ((OTHER_VOXELS, causes.VOXELS), (OTHER_REFERENCE, causes.REFERENCE), (OTHER_PREDICTION, causes.PREDICTION))


@dataclass(frozen=True, slots=True)
class MatchedClass:
    """A label or region of nnU-Net's and the class or region of ours that has its values."""

    labels: Labels
    class_index: int
    class_name: str
    theirs: CountColumns
    """Of all cases of summary.json."""
    stated: Mapping[str, float]
    """`dice` and `iou` as summary.json states their mean."""
    ours: CountColumns
    """Of the shared cases, as the run decided."""
    best: Counting
    """Of ours the one that agrees with theirs, over the shared cases: the run's own, or another proved one."""
    best_class: tuple[str, CountColumns]
    """The name of the class of `best`, and its counts as the run decided."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for all classes."""

    places: NDArray[np.int64]
    """(cases,) the place of each case among the sound images, UNKNOWN or FAILED."""
    knows_negatives: bool
    settings: ScoreSettings
    threshold: float | None
    """Of the run; None where argmax or a label map decided."""

    @property
    def is_shared(self) -> NDArray[np.bool_]:
        """(cases,) whether the image of a case is sound."""
        return np.asarray(self.places >= 0)


@dataclass(frozen=True, slots=True)
class Step:
    """What one cause explains."""

    cause: str
    before: float
    after: float
    n_cases: int | None
    """The cases or images that it concerns; None where that is no number of one class."""
    detail: str = ""

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def sentence(self) -> str:
        return f"{CAUSES[self.cause]}: {self.detail}" if self.detail else CAUSES[self.cause]


@dataclass(frozen=True, slots=True)
class Path:
    """The steps from nnU-Net's mean of a class to one score of ours."""

    label: str
    """As nnU-Net calls it."""
    class_name: str
    metric: str
    aggregation: str
    unit: str
    steps: tuple[Step, ...]

    @property
    def theirs(self) -> float:
        return self.steps[0].before

    @property
    def ours(self) -> float:
        return self.steps[-1].after

    @property
    def unexplained(self) -> float:
        """The sum of the steps whose cause does not say where a difference comes from."""
        return float(sum(step.difference for step in self.steps if step.cause in REMAINS))

    @property
    def verdict(self) -> str:
        """`undefined` where either number is; `cannot tell` where something remains, else `explained`."""
        if np.isnan(self.theirs) or np.isnan(self.ours):
            return "undefined"
        remaining = [step for step in self.steps if step.cause in REMAINS]
        moved = any(not abs(step.difference) <= ROUNDING for step in remaining)
        return "cannot tell" if moved or any(step.n_cases for step in remaining) else "explained"

    @property
    def sentence(self) -> str:
        """Both numbers, and what remains between them."""
        both = f"nnU-Net {self.theirs:.4f}, here {self.ours:.4f}"
        if self.verdict == "undefined":
            return f"{both}: no difference where one is undefined"
        remains = f"{self.unexplained:+.4f} of it remains: what the cases of other counts come from cannot be told"
        explained = "explained" if self.verdict == "explained" else remains
        return f"{both}, {self.ours - self.theirs:+.4f}; {explained}"


class _Chain:
    """Steps under way: each begins where the last one ended."""

    def __init__(self, start: float, steps: Iterable[Step] = ()) -> None:
        self.value, self.steps = start, list(steps)

    def to(self, cause: str, value: float, n_cases: int | None, detail: str = "") -> None:
        self.steps.append(Step(cause, self.value, value, n_cases, detail))
        self.value = value

    def copy(self) -> _Chain:
        return _Chain(self.value, self.steps)


def paths(
    matched: Iterable[MatchedClass], setting: Setting, ours: Panel, reported: tuple[pd.DataFrame, pd.DataFrame]
) -> Iterator[Path]:
    """For each class and score the steps from nnU-Net's mean to each of the run's numbers.

    ours: the counts of the run, of one head. reported: its tables per_sample and batch_summed, of the same head.
    """
    ends = _Ends(ours, setting.settings, reported)
    for one in matched:
        for metric in SCORES:
            chain = _to_own_cases(one, metric, setting, ends)
            yield from _to_ours(chain, one, metric, setting, ends)


def _to_own_cases(one: MatchedClass, metric: Metric, setting: Setting, ends: _Ends) -> _Chain:
    """From nnU-Net's mean to the mean over the run's sound images, still as nnU-Net scores."""
    scores, places, is_shared = metric.score(one.theirs, NNUNET), setting.places, setting.is_shared
    chain = _Chain(one.stated[metric.name])
    before = mean(scores)
    chain.to(causes.STATED, before, 0, f"{chain.value:.6g} stated, {before:.6g} by their counts")
    n_unknown, n_failed = int((places == UNKNOWN).sum()), int((places == FAILED).sum())
    chain.to(causes.UNKNOWN_CASES, mean(scores[places != UNKNOWN]), n_unknown, f"{n_unknown} of {places.size}")
    shared = scores[is_shared]
    chain.to(causes.FAILED_CASES, mean(shared), n_failed, f"{n_failed} of {places.size}")
    kinds = agreement(one.theirs.take(np.flatnonzero(is_shared)), one.best.counts, setting.knows_negatives)
    best = metric.score(one.best.counts, NNUNET)
    for kind, cause in KINDS:
        shared = np.where(kinds == kind, best, shared)
        n_cases = int((kinds == kind).sum())
        chain.to(cause, mean(shared), n_cases, f"{n_cases} of {kinds.size}")
    class_name, decided = one.best_class
    n_cases = _n_different(one.best.counts, decided)
    here = "by argmax or label map" if setting.threshold is None else f"at {setting.threshold:g}"
    there = here if one.best.threshold is None else f"at {one.best.threshold:g}"
    chain.to(
        causes.THRESHOLD, mean(metric.score(decided, NNUNET)), n_cases, f"{n_cases} cases; {there}, the run {here}"
    )
    n_cases = _n_different(decided, one.ours)
    chain.to(causes.LABEL_MAP, mean(metric.score(one.ours, NNUNET)), n_cases,
             f"{n_cases} cases; those of {class_name}, and by its value it is {one.class_name}")  # fmt: skip
    n_images, n_added = ends.n_images, ends.n_images - kinds.size
    value = ends.value("nnunet", IMAGE, one.class_name, metric.name).mean
    chain.to(causes.ADDED_CASES, value, n_added, f"{n_added} of {n_images}")
    return chain


def _n_different(one: CountColumns, other: CountColumns) -> int:
    return int((agreement(one, other, knows_negatives=False) != EQUAL).sum())


def _to_ours(chain: _Chain, one: MatchedClass, metric: Metric, setting: Setting, ends: _Ends) -> Iterator[Path]:
    settings, name = setting.settings, (one.class_name, metric.name)
    labels = names_of(one.labels)

    def path(aggregation: str, found: _Chain, unit: str = IMAGE) -> Path:
        return Path(labels, *name, aggregation, unit, tuple(found.steps))

    smooth, policy = f"{settings.smooth:g} pixels", f'metrics.empty = "{settings.empty}"'
    smoothed, own = ends.value("smoothed", IMAGE, *name), ends.value("own", IMAGE, *name)
    stated = ends.value("reported", IMAGE, *name)
    averaged = chain.copy()
    averaged.to(causes.SMOOTHING, smoothed.mean, ends.n_images if settings.smooth else 0, smooth)
    averaged.to(causes.EMPTY, own.mean, own.n_both_empty, f"{own.n_both_empty} of {ends.n_images}; {policy}")
    yield path("per_sample", _reported(averaged, stated.mean))
    if ends.n_missing:
        yield path("per_sample_missing", _missing(averaged, own.mean_missing, stated.mean_missing, ends.n_missing))
    if settings.unit:
        of_units, stated_of_units = (ends.value(kind, settings.unit, *name) for kind in ("own", "reported"))
        grouped = averaged.copy()
        grouped.to(causes.UNIT, of_units.mean, of_units.n_images, f"{of_units.n_images} of {settings.unit}")
        yield path("per_sample", _reported(grouped, stated_of_units.mean), settings.unit)
        if ends.n_missing:
            missed = _missing(grouped, of_units.mean_missing, stated_of_units.mean_missing, ends.n_missing)
            yield path("per_sample_missing", missed, settings.unit)
    summed = chain.copy()
    summed.to(causes.POOLED, ends.value("nnunet", IMAGE, *name).pooled, ends.n_images, f"{ends.n_images} images")
    summed.to(causes.SMOOTHING, smoothed.pooled, ends.n_images if settings.smooth else 0, smooth)
    summed.to(causes.EMPTY, own.pooled, 0, f"{policy} of all images together")
    yield path("pooled", _reported(summed, stated.pooled))
    if ends.n_missing:
        yield path("pooled_missing", _missing(summed, own.pooled_missing, stated.pooled_missing, ends.n_missing))


def _reported(chain: _Chain, stated: float) -> _Chain:
    found = chain.copy()
    found.to(causes.REPORTED, stated, 0, f"{stated:.6g} reported, {chain.value:.6g} by its counts")
    return found


def _missing(chain: _Chain, value: float, stated: float, n_missing: int) -> _Chain:
    found = chain.copy()
    found.to(causes.MISSING, value, n_missing, f"{n_missing}")
    return _reported(found, stated)


@dataclass(frozen=True, slots=True)
class _End:
    """What the tables of a run say of one class and score."""

    mean: float
    mean_missing: float
    pooled: float
    pooled_missing: float
    n_images: int
    """Sound ones, or units with one."""
    n_both_empty: int


class _Ends:
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
        known = panel.failed["prediction_missing"].notna().all()
        self.n_missing = len(panel.missing) if known else 0
        """Images without a usable prediction; 0 too where it is not known which they are."""

    def value(self, scored: str, unit: str, class_name: str, metric: str) -> _End:
        return self._of[scored][unit, class_name, metric]


def _scored(panel: Panel) -> Panel:
    return replace(panel, metrics=SCORES, units=None)


def _aggregated(panel: Panel, settings: ScoreSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    return per_sample(panel, settings), batch_summed(panel, settings)


def _indexed(means: pd.DataFrame, sums: pd.DataFrame) -> dict[tuple[str, str, str], _End]:
    keys = ["unit", "class_name", "metric"]
    names = [metric.name for metric in SCORES]
    means, sums = (table[(table["stratum"] == "") & table["metric"].isin(names)] for table in (means, sums))
    pooled = sums[sums["pooled"].to_numpy(bool)].set_index(keys)
    found = {}
    for row in means[means["class_name"] != ""].itertuples():
        key = (row.unit, row.class_name, row.metric)
        sum_row = pooled.loc[key]
        found[key] = _End(
            mean=float(row.mean),
            mean_missing=float(row.mean_missing_as_zero),
            pooled=float(sum_row["mean"]),
            pooled_missing=float(sum_row["pooled_missing_as_missed"]),
            n_images=int(row.n_images - row.n_failed),
            n_both_empty=0 if pd.isna(row.n_both_empty) else int(row.n_both_empty),
        )
    return found
