"""nnU-Net's mean of a label against the scores of a run: one step for each cause, from the one number to the other.

A step begins where the one before it ended, so the steps add up to the whole difference, and each changes one thing.
What a step explains depends on the order; it is that of `segscale.tasks.metrics.causes.CAUSES`, always.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.tasks.metrics import causes
from segscale.tasks.metrics.count_agreement import (
    EQUAL,
    OTHER_PREDICTION,
    OTHER_REFERENCE,
    OTHER_VOXELS,
    Counting,
    agreement,
)
from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.difference_path import Chain, Path
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.nnunet_cases import Labels, names_of
from segscale.tasks.metrics.panel import IMAGE, MACRO, Panel
from segscale.tasks.metrics.run_numbers import NNUNET, SCORES, RunNumbers
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean

UNKNOWN, FAILED = -1, -2
"""In place of a sound image: the report does not have the case, or its image failed."""
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
class LabelAlone:
    """A label of nnU-Net's that no class of ours has the value of."""

    theirs: CountColumns
    stated: Mapping[str, float]


FOREGROUND = "foreground"
"""Instead of a label: the mean over all of them."""


def paths(
    matched: Sequence[MatchedClass],
    alone: Sequence[LabelAlone],
    foreground_mean: Mapping[str, float],
    setting: Setting,
    ours: Panel,
    reported: tuple[pd.DataFrame, pd.DataFrame],
) -> Iterator[Path]:
    """For each class and score the steps from nnU-Net's mean to each of the run's numbers; then those over classes.

    alone: labels of nnU-Net's that have no class here. foreground_mean: over labels, as stated; empty where none is, or
    where it is no mean over what our mean over classes is. ours: the counts of the run, of one head. reported: its
    tables per_sample and batch_summed, of the same head.
    """
    ends = RunNumbers(ours, setting.settings, reported)
    for metric in SCORES:
        chains = [_to_own_cases(one, metric, setting, ends) for one in matched]
        for one, chain in zip(matched, chains, strict=True):
            yield from _to_ours(chain, (names_of(one.labels), one.class_name, metric.name), setting, ends)
        if foreground_mean:
            others = [_to_sound_cases(one, metric, setting) for one in alone]
            over = _over_labels(foreground_mean[metric.name], chains, others)
            value = ends.value("nnunet", IMAGE, MACRO, metric.name).mean
            over.to(causes.ADDED_CLASSES, value, None)
            yield from _to_ours(over, (FOREGROUND, MACRO, metric.name), setting, ends)


def _to_sound_cases(one: MatchedClass | LabelAlone, metric: Metric, setting: Setting) -> Chain:
    """From nnU-Net's mean to its mean over the cases whose image is sound in the run."""
    scores, places = metric.score(one.theirs, NNUNET), setting.places
    chain = Chain(one.stated[metric.name])
    before = mean(scores)
    chain.to(causes.STATED, before, 0, f"{chain.value:.6g} stated, {before:.6g} by their counts")
    n_unknown, n_failed = int((places == UNKNOWN).sum()), int((places == FAILED).sum())
    chain.to(causes.UNKNOWN_CASES, mean(scores[places != UNKNOWN]), n_unknown, f"{n_unknown} of {places.size}")
    chain.to(causes.FAILED_CASES, mean(scores[setting.is_shared]), n_failed, f"{n_failed} of {places.size}")
    return chain


def _to_own_cases(one: MatchedClass, metric: Metric, setting: Setting, ends: RunNumbers) -> Chain:
    """From nnU-Net's mean to the mean over the run's sound images, still as nnU-Net scores."""
    chain = _to_sound_cases(one, metric, setting)
    theirs = one.theirs.take(np.flatnonzero(setting.is_shared))
    shared, best = metric.score(theirs, NNUNET), metric.score(one.best.counts, NNUNET)
    kinds = agreement(theirs, one.best.counts, setting.knows_negatives)
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


def _over_labels(stated: float, matched: Sequence[Chain], alone: Sequence[Chain]) -> Chain:
    """The steps of all labels as those of their mean, of which those without a class are left out on the way."""
    found, labels = Chain(stated), [*matched, *alone]
    for place, step in enumerate(matched[0].steps):
        if step.cause == causes.VOXELS:
            labels = list(matched)
            detail = f"{len(alone)} of {len(matched) + len(alone)} labels"
            found.to(causes.OTHER_LABELS, mean([chain.steps[place - 1].after for chain in matched]), len(alone), detail)
        steps = [chain.steps[place] for chain in labels]
        n_cases = max(one.n_cases or 0 for one in steps)
        found.to(step.cause, mean([one.after for one in steps]), n_cases, f"up to {n_cases} of a label")
    return found


def _n_different(one: CountColumns, other: CountColumns) -> int:
    return int((agreement(one, other, knows_negatives=False) != EQUAL).sum())


def _to_ours(chain: Chain, keys: tuple[str, str, str], setting: Setting, ends: RunNumbers) -> Iterator[Path]:
    """From the mean as nnU-Net scores to each of the run's numbers; keys: label, class_name, metric."""
    settings, name = setting.settings, keys[1:]

    def path(aggregation: str, found: Chain, unit: str = IMAGE) -> Path:
        return Path(*keys, aggregation, unit, tuple(found.steps))

    smooth, policy = f"{settings.smooth:g} pixels", f'metrics.empty = "{settings.empty}"'
    smoothed, own = ends.value("smoothed", IMAGE, *name), ends.value("own", IMAGE, *name)
    stated = ends.value("reported", IMAGE, *name)
    averaged = chain.copy()
    averaged.to(causes.SMOOTHING, smoothed.mean, ends.n_images if settings.smooth else 0, smooth)
    empty = "" if own.n_both_empty is None else f"{own.n_both_empty} of {ends.n_images}; "
    averaged.to(causes.EMPTY, own.mean, own.n_both_empty, f"{empty}{policy}")
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


def _reported(chain: Chain, stated: float) -> Chain:
    found = chain.copy()
    found.to(causes.REPORTED, stated, 0, f"{stated:.6g} reported, {chain.value:.6g} by its counts")
    return found


def _missing(chain: Chain, value: float, stated: float, n_missing: int) -> Chain:
    found = chain.copy()
    found.to(causes.MISSING, value, n_missing, f"{n_missing}")
    return _reported(found, stated)
