"""Errors about keys of a configuration, in the words of a command that has none."""

from __future__ import annotations

from segscale.flows.config.spoken import Words

OPTIONS = {
    "dataset.references": "--references",
    "dataset.columns": "--by",
    "dataset.classes": "--classes",
    "predictions.path": "--predictions",
    "metrics.unit": "--unit",
    "metrics.group_by": "--group-by",
    "store.path": "--output",
    "report.path": "--output",
}
"""All other keys are set with --set."""
EVALUATE = Words(OPTIONS, lambda key, value: f"--set '{key} = {value}'")
option_words = EVALUATE.spoken


RESCORE = {
    "threshold": "--threshold",
    "tversky_alpha": "--alpha",
    "tversky_beta": "--beta",
    "smooth": "--smooth",
    "batch_sizes": "--batch-size",
    "empty": "--empty",
    "group_by": "--by",
    "unit": "--unit",
    "folds": "--folds",
    "missed_distance": "--missed-distance",
}
"""What settings of scores are called where a written report is read."""
GATE = {
    "margin": "--margin",
    "floor": "--floor",
    "superior": "--superior",
    "aggregation": "--aggregation",
    "group_by": "--by",
    "unit": "--unit",
    "cluster_by": "--cluster-by",
    "head": "--head",
}
"""The same of a gate."""
STRATA = {
    "metric": "--metric",
    "margin": "--margin",
    "below": "--below",
    "worst": "--worst",
    **{name: GATE[name] for name in ("group_by", "unit", "cluster_by", "head")},
}
"""The same of strata."""
PLAN = {
    **{name: f"--{name}" for name in ("metric", "width", "margin", "difference", "power")},
    **{name: GATE[name] for name in ("aggregation", "group_by", "unit", "cluster_by", "head")},
}
"""The same of the plan of a study."""
CALIBRATION = {name: GATE[name] for name in ("group_by", "unit", "cluster_by", "head")} | {"map": "--map"}
"""The same of calibration."""


def in_options(text: str) -> str:
    """A message about keys of a configuration in the words of `segscale evaluate`.

    >>> print(in_options('dataset.references: 0, 7; set dataset.foreground = "any"'))
    --references: 0, 7; set --set 'dataset.foreground = "any"'
    """
    return EVALUATE.say(text)
