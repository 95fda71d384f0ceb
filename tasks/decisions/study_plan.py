"""The plan of a study: how many images, or patients, tell what is asked of one run, or of the difference of two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.decisions.answers import Answer, answers
from segscale.tasks.decisions.lost import lost_images
from segscale.tasks.decisions.questions import (
    AGGREGATIONS,
    DECIDABLE,
    Aggregation,
    Asked,
    Kind,
    Question,
    expect_decidable,
)
from segscale.tasks.decisions.single_run import chosen_head
from segscale.tasks.decisions.study_size import (
    clusters_for_width,
    design_effect,
    deviations,
    intraclass_correlation,
    power_at,
    width_of,
)
from segscale.tasks.decisions.study_words import plan_sentence
from segscale.tasks.decisions.verdicts import MIN_EFFECTIVE, planned_clusters
from segscale.tasks.metrics.layout import Row, table
from segscale.tasks.metrics.pairing import by_unit, pair_images, refuse_different_settings
from segscale.tasks.metrics.settings import ScoreSettings

KEYS: dict[str, str | None] = {
    "unit": "str", "stratum": "str", "class_index": "Int64", "class_name": "str", "head": "str", "metric": "str",
    "aggregation": "str", "goal": "str",
}  # fmt: skip
PLAN_COLUMNS: dict[str, str | None] = {
    **KEYS, "target": "float64", "power": "float64", "estimate": "float64", "told": "str", "reason": "str",
    **dict.fromkeys(["clusters", "clusters_low", "clusters_high", "images", "n", "n_clusters"], "Int64"),
    **dict.fromkeys(["now", "deviation", "deviation_low", "deviation_high", "design_effect", "icc"], "float64"),
    **dict.fromkeys(["n_missing", "n_unknown"], "Int64"), "sentence": "str",
}  # fmt: skip
CURVE_COLUMNS: dict[str, str | None] = {
    **KEYS, "target": "float64", **dict.fromkeys(["clusters", "images"], "Int64"),
    **dict.fromkeys(["value", "value_low", "value_high"], "float64"),
}  # fmt: skip
TIMES = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16)
"""Of the clusters that are there: the points of a curve."""
INTERVAL, NOT_WORSE, DIFFERENCE = "interval", "not worse", "difference"


@dataclass(frozen=True, slots=True)
class StudyAsked:
    """What a study is to tell."""

    metric: str = "dice"
    aggregations: tuple[str, ...] = ("per_sample", "pooled")
    width: float = 0.02
    """From end to end of an interval."""
    margin: float = 0.01
    """Of two runs: by how much the second may be worse, in truth being as good."""
    difference: float | None = None
    """Of two runs: how far apart they are in truth, which is to be shown; None: as measured."""
    power: float = 0.8

    def check(self) -> None:
        """ArgumentError naming what was expected."""
        expect_decidable("metric", self.metric)
        for name in ("width", "margin", "difference", "power"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ArgumentError(f"{name}: expected a number above 0 and below 1, got {value!r}")
        for one in self.aggregations:
            if one not in AGGREGATIONS:
                raise ArgumentError(f"aggregation: expected {', '.join(AGGREGATIONS)}, got {one!r}")


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a study needs."""

    sizes: pd.DataFrame
    """A row per stratum, class, aggregation and goal, PLAN_COLUMNS."""
    curves: pd.DataFrame
    """What other sizes would tell, CURVE_COLUMNS: of an interval its width, of the others the power."""


def study_plan(
    first: pd.DataFrame,
    second: pd.DataFrame | None,
    recorded: tuple[ScoreSettings, ScoreSettings] | None,
    settings: ScoreSettings,
    asked: StudyAsked,
    head: str | None = None,
) -> StudyPlan:
    """The plan from the `per_image` table of a run, or of two over the same images.

    Clusters are images, or what cluster_by of the settings names; missing predictions count as missed. recorded: how
    both were scored, which must be alike. Nothing is told where clusters count for fewer than 20, or do not vary.

    Raises ArgumentError as `gate` does, and for what cannot be asked.
    """
    asked.check()
    if recorded is not None:
        refuse_different_settings(*recorded)
    pairs = pair_images(first, first if second is None else second)
    lost = lost_images(pairs, first, is_alone=second is None)
    chosen = chosen_head(pairs, head)
    paired = pairs.with_missing or pairs
    if settings.unit:
        paired = by_unit(paired, settings)
    questions = _questions(asked, is_difference=second is not None)
    found = list(answers(paired, questions, settings, chosen, lost))
    alone = list(answers(paired, questions, settings.changed(cluster_by=""), chosen, lost))
    both = [(one, other) for one, other in zip(found, alone, strict=True) if not one.says_nothing]
    if not both:
        raise ArgumentError("no image has any of the classes: nothing can be planned")
    goals = [_Goal(*pair, name, target, settings, asked) for pair in both for name, target in _targets(pair[0], asked)]
    curves = [row for goal in goals for row in goal.curve()]
    return StudyPlan(table([goal.row() for goal in goals], PLAN_COLUMNS), table(curves, CURVE_COLUMNS))


def _questions(asked: StudyAsked, is_difference: bool) -> Asked:
    chosen: list[Aggregation] = [one for one in AGGREGATIONS if one in asked.aggregations]
    kind: Kind = "not worse" if is_difference else "floor"
    every = tuple(Question(kind, DECIDABLE[asked.metric], one, -asked.margin, asked.margin) for one in chosen)
    return Asked(every, every)


def _targets(answer: Answer, asked: StudyAsked) -> Iterator[tuple[str, float]]:
    yield INTERVAL, asked.width
    if answer.question.is_difference:
        yield NOT_WORSE, asked.margin
        yield DIFFERENCE, abs(answer.estimate.value) if asked.difference is None else asked.difference


@dataclass(frozen=True, slots=True)
class _Goal:
    """One thing that one answer is to tell."""

    answer: Answer
    alone: Answer
    """The same with every image independent."""
    name: str
    target: float
    settings: ScoreSettings
    asked: StudyAsked

    def row(self) -> Row:
        answer, estimate = self.answer, self.answer.estimate
        reason = self._trouble()
        spreads = (np.nan, np.nan) if reason else deviations(estimate, self.settings.confidence)
        needed = [None if reason else self._needed(one) for one in (estimate.deviation, *spreads)]
        if not reason and needed[0] is None:
            reason = "no number of them would do"
        effect = design_effect(estimate, self.alone.estimate)
        row = {
            **self._keys(), "target": self.target, "power": np.nan if self.name == INTERVAL else self.asked.power,
            "estimate": estimate.value, "told": self._told(needed[0], reason), "reason": reason,
            "clusters": needed[0], "clusters_low": needed[1], "clusters_high": needed[2],
            "images": None if needed[0] is None else ceil(needed[0] * self._images_per_cluster()),
            "n": answer.n, "n_clusters": estimate.n_clusters,
            "now": np.nan if reason else self._value(estimate.influence.size, estimate.deviation),
            "deviation": estimate.deviation, "deviation_low": spreads[0], "deviation_high": spreads[1],
            "design_effect": effect, "icc": intraclass_correlation(effect, estimate.sizes)
            if self.answer.question.aggregation == "per_sample" else np.nan,
            "n_missing": answer.n_missing_base + answer.n_missing_new, "n_unknown": answer.n_unknown,
        }  # fmt: skip
        return row | {"sentence": plan_sentence(row, self.settings)}

    def curve(self) -> Iterator[Row]:
        """Nothing where nothing can be told."""
        estimate = self.answer.estimate
        if self._trouble():
            return
        spreads = deviations(estimate, self.settings.confidence)
        for times in TIMES:
            n = max(round(times * estimate.influence.size), 2)
            values = [self._value(n, one) for one in (estimate.deviation, *spreads)]
            yield {
                **self._keys(), "target": self.target, "clusters": n, "images": round(n * self._images_per_cluster()),
                "value": values[0], "value_low": min(values[1:]), "value_high": max(values[1:]),
            }  # fmt: skip

    def _keys(self) -> Row:
        answer, question = self.answer, self.answer.question
        same = {name: getattr(answer, name) for name in ("unit", "stratum", "class_index", "class_name", "head")}
        return {**same, "metric": question.metric.name, "aggregation": question.aggregation, "goal": self.name}

    def _trouble(self) -> str:
        estimate = self.answer.estimate
        if self.answer.trouble:
            return self.answer.trouble
        if np.isnan(estimate.value):
            return "no image has a score"
        if estimate.n_effective < MIN_EFFECTIVE:
            return f"effectively {estimate.n_effective:.3g} independent units, fewer than {MIN_EFFECTIVE}"
        return "" if estimate.deviation > 0 else "all agree, so that nothing is known of how others would vary"

    def _needed(self, deviation: float) -> int | None:
        estimate, confidence = self.answer.estimate, self.settings.confidence
        if self.name == INTERVAL:
            return clusters_for_width(estimate, self.target, confidence, deviation)
        scaled = self._distance() * estimate.deviation / deviation
        return planned_clusters(estimate, scaled, (1 - confidence) / 2, 1, self.asked.power)

    def _distance(self) -> float:
        """Of the truth from what is tested: up from a margin, from 0 to where the measured difference lies."""
        is_below = self.name == DIFFERENCE and self.answer.estimate.value < 0
        return -self.target if is_below else self.target

    def _value(self, n: int, deviation: float) -> float:
        """What n clusters tell: the width of an interval, or the power."""
        estimate, confidence = self.answer.estimate, self.settings.confidence
        if self.name == INTERVAL:
            return width_of(estimate, n, confidence, deviation)
        return power_at(estimate, n, self._distance(), (1 - confidence) / 2, deviation)

    def _images_per_cluster(self) -> float:
        return self.answer.n / max(self.answer.estimate.n_clusters, 1)

    def _told(self, needed: int | None, reason: str) -> str:
        if reason or needed is None:
            return "cannot tell"
        return "enough" if needed <= self.answer.estimate.influence.size else "more"
