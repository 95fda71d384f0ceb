"""What is asked of a run before it may be released: by how much it may be worse, and what it must reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from segscale.errors import ArgumentError
from segscale.tasks.metrics.metric_table import METRICS, Metric

Kind = Literal["not worse", "better", "floor"]
Aggregation = Literal["per_sample", "pooled"]
AGGREGATIONS: tuple[Aggregation, ...] = ("per_sample", "pooled")
DECIDABLE = {metric.name: metric for metric in METRICS if metric.has_worst_score_zero}
"""Scores from 0 to 1 of which more is better, so that a missing prediction is a 0 and a margin has one direction."""


@dataclass(frozen=True, slots=True)
class Question:
    """One metric and aggregation with what it must lie above."""

    kind: Kind
    metric: Metric
    aggregation: Aggregation
    bound: float
    """What a difference (new - base) must lie above: minus the margin, or 0 for "better"; of a floor the score."""
    margin: float
    """How much worse a run may be; NaN of a floor."""

    @property
    def is_difference(self) -> bool:
        return self.kind != "floor"


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions about a whole set, and about each of its strata."""

    of_whole: tuple[Question, ...]
    of_strata: tuple[Question, ...]
    """The same without superiority: there a run must not be worse."""


def asked(
    margins: Mapping[str, float],
    floors: Mapping[str, float],
    superior: Sequence[str],
    aggregations: Sequence[str],
) -> Asked:
    """The questions of a gate, in the order given; of each metric those of its margin.

    margins: by metric, above 0 and below 1; empty without a base. floors: by metric, from 0 to 1. superior: metrics of
    margins that must be better over the whole set. ArgumentError naming what was expected.
    """
    for key, values in (("margin", margins), ("floor", floors)):
        for name, value in values.items():
            expect_decidable(key, name)
            if not (0 < value < 1 if key == "margin" else 0 <= value <= 1):
                range_ = "above 0 and below 1" if key == "margin" else "from 0 to 1"
                raise ArgumentError(f"{key}: expected a number {range_} for {name}, got {value!r}")
    for name in superior:
        expect_decidable("superior", name)
        if name not in margins:
            raise ArgumentError(
                f"superior: expected a metric that has a margin ({_listed(margins)}), got {name!r}: its strata need one"
            )
    for one in aggregations:
        if one not in AGGREGATIONS:
            raise ArgumentError(f"aggregation: expected {_listed(AGGREGATIONS)}, got {one!r}")
    chosen = [one for one in AGGREGATIONS if one in aggregations]
    not_worse = [Question("not worse", DECIDABLE[name], one, -m, m) for name, m in margins.items() for one in chosen]
    reached = [Question("floor", DECIDABLE[name], one, f, float("nan")) for name, f in floors.items() for one in chosen]
    if not (not_worse or reached):
        raise ArgumentError("expected a margin, a floor or both, and an aggregation, got none: nothing is asked")
    better = [
        Question("better", one.metric, one.aggregation, 0.0, one.margin) if one.metric.name in superior else one
        for one in not_worse
    ]
    return Asked((*better, *reached), (*not_worse, *reached))


def expect_decidable(key: str, name: str) -> None:
    """ArgumentError where a name is no metric of DECIDABLE."""
    if name in DECIDABLE:
        return
    near = get_close_matches(name, DECIDABLE, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ArgumentError(
        f"{key}: expected a score from 0 to 1 of which more is better ({_listed(DECIDABLE)}), got {name!r}{meant}"
    )


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(names)
