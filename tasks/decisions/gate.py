"""The gate: whether a run is good enough to replace another one, or to be released at all."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.decisions.answers import answers
from segscale.tasks.decisions.lost import lost_images
from segscale.tasks.decisions.questions import Asked
from segscale.tasks.decisions.single_run import chosen_head
from segscale.tasks.decisions.verdicts import Judged, Verdict, judged, verdict_of
from segscale.tasks.decisions.words import name_of, sentence, summary
from segscale.tasks.metrics.layout import Row, table
from segscale.tasks.metrics.pairing import by_unit, pair_images, refuse_different_settings
from segscale.tasks.metrics.settings import ScoreSettings

COLUMNS: dict[str, str | None] = {
    "unit": "str", "stratum": "str", "class_index": "Int64", "class_name": "str", "head": "str", "metric": "str",
    "aggregation": "str", "question": "str",
    **dict.fromkeys(["base", "new", "estimate", "low", "high", "margin", "bound"], "float64"),
    "verdict": "str", "reason": "str",
    **dict.fromkeys(["p_pass", "p_pass_holm", "p_fail", "p_fail_holm"], "float64"), "family": "Int64",
    **dict.fromkeys(["n", "n_clusters"], "Int64"), "n_effective": "float64",
    **dict.fromkeys(["n_missing_base", "n_missing_new", "n_unknown", "n_only_base", "n_only_new"], "Int64"),
    "unseen_share": "float64", **dict.fromkeys(["more_if_equal", "more_if_as_measured"], "Int64"), "sentence": "str",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict of a gate, and how it came about."""

    verdict: Verdict
    """pass, fail or cannot tell."""
    summary: str
    """The verdict in a sentence, with what was asked."""
    strata: pd.DataFrame
    """A row per stratum, class, metric, aggregation and question, as docs/gate.md describes them."""
    left_out: tuple[str, ...]
    """What occurs in neither run, so that nothing was asked of it, a sentence each."""


def gate(
    base: pd.DataFrame | None,
    new: pd.DataFrame,
    recorded: tuple[ScoreSettings, ScoreSettings] | None,
    settings: ScoreSettings,
    asked: Asked,
    head: str | None = None,
) -> Gate:
    """Judge the `per_image` table of a run, against that of a base where there is one.

    recorded: how base and new were scored, which must be alike. settings: how they are judged, with group_by,
    cluster_by, unit and confidence; bootstrap and seed are not used. head: needed where the runs have several.

    Raises ArgumentError as `compare` does, where the runs are over other images,
    references or classes or score them differently; and where a column, a unit or a head is not there.
    """
    if recorded is not None:
        refuse_different_settings(*recorded)
    first = new if base is None else base
    pairs = pair_images(first, new)
    lost = lost_images(pairs, first, is_alone=base is None)
    chosen = chosen_head(pairs, head)
    paired = pairs.with_missing or pairs
    if settings.unit:
        paired = by_unit(paired, settings)
    found = list(answers(paired, asked, settings, chosen, lost))
    told = judged([one for one in found if not one.says_nothing], settings.confidence)
    idle = [one for one in found if one.says_nothing]
    left_out = tuple(f"{name_of(one)}: occurs in no image, so that nothing was asked" for one in idle)
    if not told:
        raise ArgumentError("no image has any of the classes: nothing can be asked")
    verdict = verdict_of(told)
    rows = table([_row(one, settings) for one in told], COLUMNS)
    return Gate(verdict, summary(verdict, told, len(left_out)), rows, left_out)


def _row(one: Judged, settings: ScoreSettings) -> Row:
    answer, question = one.answer, one.answer.question
    return {
        **{name: getattr(answer, name) for name in ("unit", "stratum", "class_index", "class_name", "head")},
        "metric": question.metric.name, "aggregation": question.aggregation, "question": question.kind,
        "base": answer.base, "new": answer.new, "estimate": answer.estimate.value, "low": one.low, "high": one.high,
        "margin": question.margin, "bound": question.bound, "verdict": one.verdict, "reason": one.reason,
        "p_pass": one.p_pass, "p_pass_holm": one.p_pass_holm, "p_fail": one.p_fail, "p_fail_holm": one.p_fail_holm,
        "family": one.family, "n": answer.n, "n_clusters": answer.estimate.n_clusters,
        "n_effective": answer.estimate.n_effective, "n_missing_base": answer.n_missing_base,
        "n_missing_new": answer.n_missing_new, "n_unknown": answer.n_unknown, "n_only_base": answer.n_only_base,
        "n_only_new": answer.n_only_new, "unseen_share": one.unseen_share, "more_if_equal": one.more_if_equal,
        "more_if_as_measured": one.more_if_as_measured,
        "sentence": sentence(one, settings.confidence, settings.cluster_by),
    }  # fmt: skip
