"""Verdicts: each answer of a gate as pass, fail or cannot tell, and all of them as one.

Two families of hypotheses are tested, each by Holm (1979) over all answers at once: that NEW is no better than the
bound (rejected: pass), and that it is no worse (rejected: fail). Each is tested at (1 - confidence) / 2 on one side,
which the interval at `confidence` shows. So a run that lies at its bound anywhere passes as a whole in at most that
share of studies, and one that lies above it everywhere fails in at most that share, however answers depend on each
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from segscale.tasks.decisions.answers import Answer
from segscale.tasks.decisions.estimate import Estimate
from segscale.tasks.decisions.needed_units import needed_units, unseen_share
from segscale.tasks.metrics.paired_tests import holm

Verdict = Literal["pass", "fail", "cannot tell"]
MIN_EFFECTIVE = 20
"""Of fewer effective clusters neither approximation keeps its level where differences are skewed (docs/gate.md)."""
RESERVE = 1.25
"""So many times as many are planned: the next clusters are of other sizes."""
POWER = 0.8
"""With which a study of the needed size passes as a whole."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer with its verdict."""

    answer: Answer
    low: float
    high: float
    p_pass: float
    """One-sided p of the hypothesis that the truth is no more than the bound."""
    p_pass_holm: float
    p_fail: float
    """Of the hypothesis that it is no less."""
    p_fail_holm: float
    family: int
    """Answers that were adjusted together."""
    verdict: Verdict
    reason: str
    """Why it cannot be told ("" if it can)."""
    unseen_share: float
    """Share of clusters that may do what none of these did."""
    more_if_equal: int | None
    """Further clusters with which the gate passes with probability POWER if the runs are equally good; None where no
    number of them would do, or where it can be told."""
    more_if_as_measured: int | None
    """The same if the truth is the estimate, whichever way it then goes."""


def judged(answers: Sequence[Answer], confidence: float) -> tuple[Judged, ...]:
    """The verdict of each answer, in their order."""
    level = (1 - confidence) / 2
    troubles = [_trouble(one) for one in answers]
    of_pass, of_fail = (
        np.array([
            np.nan if trouble else getattr(one.estimate, test)(one.question.bound)
            for one, trouble in zip(answers, troubles, strict=True)
        ], np.float64)
        for test in ("p_not_above", "p_not_below")
    )  # fmt: skip
    adjusted_pass, adjusted_fail = holm(of_pass), holm(of_fail)
    n_tested = int((~np.isnan(of_pass)).sum())
    found = []
    for place, (one, trouble) in enumerate(zip(answers, troubles, strict=True)):
        low, high = (np.nan, np.nan) if trouble else one.estimate.interval(confidence)
        verdict, reason = _verdict(one, trouble, adjusted_pass[place], adjusted_fail[place], low, high, level)
        more = _more(one, level, len(answers)) if verdict == "cannot tell" else (None, None)
        found.append(Judged(
            one, low, high, float(of_pass[place]), float(adjusted_pass[place]), float(of_fail[place]),
            float(adjusted_fail[place]), n_tested, verdict, reason,
            unseen_share(one.estimate.n_clusters, confidence), *more,
        ))  # fmt: skip
    return tuple(found)


def verdict_of(rows: Sequence[Judged]) -> Verdict:
    """fail where one fails, pass where all pass, else cannot tell."""
    verdicts = {one.verdict for one in rows}
    return "fail" if "fail" in verdicts else "pass" if verdicts == {"pass"} else "cannot tell"


def _trouble(answer: Answer) -> str:
    """Why no test is made; "" where one is."""
    if answer.trouble:
        return answer.trouble
    if np.isnan(answer.estimate.value):
        return "no image has a score" + (" in both runs" if answer.question.is_difference else "")
    effective = answer.estimate.n_effective
    if effective < MIN_EFFECTIVE:
        n = answer.estimate.n_clusters
        unequal = f" that tell no more than {effective:.1f} of one size," if effective < n - 0.05 else ""
        return f"{n} independent {'units' if n != 1 else 'unit'}{unequal or ','} fewer than {MIN_EFFECTIVE}"
    return ""


def _verdict(
    answer: Answer, trouble: str, p_pass: float, p_fail: float, low: float, high: float, level: float
) -> tuple[Verdict, str]:
    if trouble:
        return "cannot tell", trouble
    if p_fail <= level:
        return "fail", ""
    bound = answer.question.bound
    if p_pass <= level:
        unseen = _unseen(answer, low)
        return ("cannot tell", unseen) if unseen else ("pass", "")
    if low > bound or high < bound:
        return "cannot tell", "by itself it would be told, but not among so many: Holm adjusts for all of them"
    return "cannot tell", f"the interval holds {bound:.4g}"


def _unseen(answer: Answer, low: float) -> str:
    """What is left out, and at its worst would turn a pass; "" where nothing would."""
    if answer.question.aggregation == "pooled":
        if answer.n_unknown_new:
            return f"of {answer.n_unknown_new} failed images nothing is known that could be counted in a pooled score"
        return ""
    unseen = answer.n_unknown_new + answer.n_only_new
    if not unseen or low - unseen / answer.n > answer.question.bound:
        return ""
    parts = []
    if answer.n_unknown_new:
        parts.append(f"{answer.n_unknown_new} failed, it is not known with which score")
    if answer.n_only_new:
        parts.append(f"{answer.n_only_new} have a score in NEW alone, as false alarms on empty references have")
    return f"it passes on the images that count, but {' and '.join(parts)}: at their worst it would not pass"


def planned_clusters(
    estimate: Estimate, distance: float, level: float, n_answers: int, power: float = POWER
) -> int | None:
    """With how many clusters like these all of so many answers pass, in `power` of the studies at least.

    distance: the truth less the bound, below 0 where it is to fail; None where both are one, and where no number would
    do. Level and power are shared among the answers (Bonferroni 1936): the level is what Holm asks of the smallest p.
    """
    if not abs(distance) > 0 or not estimate.n_clusters or np.isnan(estimate.standard_error):
        return None
    evenness = estimate.n_effective / estimate.influence.size
    effect = abs(distance) / estimate.deviation if estimate.deviation else np.inf
    skewness = float(np.sign(distance)) * estimate.skewness
    needed = needed_units(effect, level / n_answers, 1 - (1 - power) / n_answers, evenness, skewness)
    return None if needed is None else max(needed, ceil(RESERVE * MIN_EFFECTIVE / evenness))


def _more(answer: Answer, level: float, n_answers: int) -> tuple[int | None, int | None]:
    """Clusters beyond those there are, if NEW equals BASE, and if the truth is as measured."""
    estimate, question = answer.estimate, answer.question
    distances = (-question.bound if question.is_difference else 0.0), estimate.value - question.bound
    planned = [planned_clusters(estimate, one, level, n_answers) for one in distances]
    # None further where there are enough: then it is the estimate that lies too near.
    equal, measured = (
        None if n is None or n <= estimate.influence.size else n - estimate.influence.size for n in planned
    )
    return equal, measured
