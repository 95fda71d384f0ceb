"""A judged answer as one sentence, and the verdict of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from segscale.tasks.decisions.answers import Answer
from segscale.tasks.decisions.verdicts import POWER, Judged, Verdict
from segscale.tasks.metrics.panel import IMAGE

_AGGREGATION = {"per_sample": "mean", "pooled": "pooled"}


def name_of(answer: Answer) -> str:
    """What is measured, and where: `mean dice of lesion, site=A`."""
    where = f", {answer.stratum}" if answer.stratum else ", whole set"
    per = "" if answer.unit == IMAGE or answer.question.aggregation == "pooled" else f" per {answer.unit}"
    metric = f"{_AGGREGATION[answer.question.aggregation]} {answer.question.metric.name}"
    return f"{metric}{per} of {answer.class_name}{where}"


def asked_in_words(answer: Answer) -> str:
    """What is asked, as the end of a sentence that begins with the run: `worse by 0.01 or more`."""
    question = answer.question
    if question.kind == "not worse":
        return f"worse by {question.margin:g} or more"
    return "better" if question.kind == "better" else f"above {question.bound:g}"


def sentence(row: Judged, confidence: float, cluster_by: str) -> str:
    """Numbers, interval, margin and verdict of a row, and why it cannot be told, as one sentence."""
    answer = row.answer
    what = "image" if answer.unit == IMAGE else answer.unit
    clusters = f" of {answer.estimate.n_clusters} {cluster_by}" if cluster_by else ""
    counted = f"{_counted(answer.n, what)}{clusters}{_missing(answer)}"
    interval = f", {confidence:.0%} interval {_signed(row, row.low)} to {_signed(row, row.high)}"
    shown = "" if np.isnan(row.low) else interval
    if answer.question.is_difference:
        numbers = f"NEW {answer.new:.4f}, BASE {answer.base:.4f}, difference {answer.estimate.value:+.4f}{shown}"
    else:
        numbers = f"NEW {answer.new:.4f}{shown}"
    independent = cluster_by or _counted(2, what).removeprefix("2 ")
    per_cluster = answer.n / answer.estimate.n_clusters if cluster_by and answer.n else 0.0
    return (
        f"{name_of(answer)}: {numbers} ({counted}): {_verdict(row, independent)}{_more(row, independent, per_cluster)}."
    )


def summary(verdict: Verdict, rows: Sequence[Judged], n_left_out: int = 0) -> str:
    """The verdict of all rows as one sentence, with what was asked."""
    counts = Counter(one.verdict for one in rows)
    numbers = ", ".join(f"{counts[one]} {one}" for one in ("fail", "cannot tell", "pass") if counts[one])
    asked = "; ".join(dict.fromkeys(_demand(one.answer) for one in rows))
    left_out = f"; {n_left_out} left out, as nothing occurs there" if n_left_out else ""
    of_rows = f"{len(rows)} question{'' if len(rows) == 1 else 's'}"
    return f"{verdict}: of {of_rows} {numbers}{left_out}; asked was: {asked}"


def _demand(answer: Answer) -> str:
    question = answer.question
    name = f"{_AGGREGATION[question.aggregation]} {question.metric.name}"
    if question.kind == "floor":
        return f"{name} above {question.bound:g}"
    if question.kind == "better":
        return f"{name} of the whole set better than BASE's"
    return f"{name} not worse than BASE's by {question.margin:g}"


def _signed(row: Judged, value: float) -> str:
    return f"{value:+.4f}" if row.answer.question.is_difference else f"{value:.4f}"


def _missing(answer: Answer) -> str:
    parts = []
    if answer.n_missing_new or answer.n_missing_base:
        of_base = f" and {answer.n_missing_base} of BASE's" if answer.question.is_difference else ""
        parts.append(f"{answer.n_missing_new} of NEW's{of_base} without a usable prediction, counted as missed")
    if answer.n_unknown:
        parts.append(f"{answer.n_unknown} more failed and unknown")
    if answer.n_only_new or answer.n_only_base:
        parts.append(f"{answer.n_only_new} with a score in NEW alone, {answer.n_only_base} in BASE alone")
    return "; " + "; ".join(parts) if parts else ""


def _verdict(row: Judged, independent: str) -> str:
    kind, asked = row.answer.question.kind, asked_in_words(row.answer)
    if row.verdict == "cannot tell":
        return f"cannot tell whether it is {asked}, for {row.reason}"
    is_so = (row.verdict == "pass") != (kind == "not worse")
    said = f"it is {'' if is_so else 'not '}{asked}"
    if row.verdict == "fail" and kind == "better":
        said = "it is worse, and should be better"
    unseen = f"; up to {row.unseen_share:.1%} of {independent} may do what none here does"
    return f"{row.verdict}, {said} (adjusted p {_p(row)}{unseen if row.verdict == 'pass' else ''})"


def _p(row: Judged) -> str:
    p = row.p_pass_holm if row.verdict == "pass" else row.p_fail_holm
    return "below 0.0001" if p < 1e-4 else f"{p:.4f}"


def _more(row: Judged, independent: str, per_cluster: float) -> str:
    """How many more would tell; with their images, where each stands for several."""
    parts = []
    for more, supposed in (
        (row.more_if_equal, "the runs are equally good"), (row.more_if_as_measured, "the truth is as measured"),
    ):  # fmt: skip
        if more is not None:
            images = f" (about {more * per_cluster:.0f} images)" if per_cluster > 1 else ""
            parts.append(f"about {more} more {independent}{images} would tell if {supposed}")
    return f"; {', '.join(parts)} (in {POWER:.0%} of such studies)" if parts else ""


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 or noun != IMAGE else f'{noun}s'}"
