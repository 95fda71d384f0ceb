"""The gap between pooled score and per-sample mean, said in one sentence."""

import math
from dataclasses import dataclass

from segscale.tasks.report_html.words import score, signed

_WEIGHTY = (
    "images with more foreground, reference and prediction together, score {}, and pooling gives them more weight"
)
_CAUSES = {
    ("covariance", 1): _WEIGHTY.format("higher"),
    ("covariance", -1): _WEIGHTY.format("lower"),
    ("smoothing", 1): "smoothing lifts the pooled score more than the scores of single images",
    ("smoothing", -1): "smoothing lifts the scores of single images more than the pooled score",
    ("undefined", 1): "images with nothing to be scored lower the mean and do not touch the pooled score",
    ("undefined", -1): "images with nothing to be scored raise the mean and do not touch the pooled score",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """A row of the gap table."""

    metric: str
    subject: str
    """Class, or what stands for all of them."""
    per_sample_mean: float
    pooled: float
    covariance: float
    smoothing: float
    undefined: float

    @property
    def terms(self) -> dict[str, float]:
        return {"covariance": self.covariance, "smoothing": self.smoothing, "undefined": self.undefined}


@dataclass(frozen=True, slots=True)
class Steps:
    """The gap of units of evaluation in its two steps."""

    unit: str
    """Their column."""
    unit_mean: float
    to_unit: float
    """Mean over units minus mean over images."""
    within: float
    """Of that, the covariance of size and score within units."""
    count: float
    """Of that, what comes of units weighing alike, however many images they have."""
    to_pooled: float
    """Pooled minus mean over units."""


def steps_sentence(steps: Steps) -> str:
    """How the mean over units lies between mean over images and pooled.

    >>> steps_sentence(Steps("patient_id", 0.6, 0.1, 0.08, 0.02, 0.15))  # doctest: +ELLIPSIS
    'Per patient_id, with the counts of a unit summed, Dice is 0.600: +0.100 from the per-sample mean to the units ...'
    """
    if math.isnan(steps.unit_mean):
        return f"Per {steps.unit}, with the counts of a unit summed, there is no Dice."
    return (
        f"Per {steps.unit}, with the counts of a unit summed, Dice is {score(steps.unit_mean)}: "
        f"{signed(steps.to_unit)} from the per-sample mean to the units (size and score within units "
        f"{signed(steps.within)}, units of many images weighing no more than others {signed(steps.count)}), "
        f"{signed(steps.to_pooled)} from there to pooled."
    )


def sentence(gap: Gap) -> str:
    """What the gap is and which of its terms carries it, in words and numbers.

    >>> sentence(Gap("Dice", "lesion", 0.5, 0.75, 0.25, 0.0, 0.0))  # doctest: +ELLIPSIS
    'Pooled Dice of lesion is 0.250 above the per-sample mean (0.750 against 0.500), carried by the covariance term ...'
    """
    values = f"{score(gap.pooled)} against {score(gap.per_sample_mean)}"
    head = f"Pooled {gap.metric} of {gap.subject}"
    size = gap.pooled - gap.per_sample_mean
    if math.isnan(size):
        return f"{head} cannot be set against the per-sample mean ({values}): there is no image to be scored."
    amounts = {name: f"the {name} term ({signed(value)})" for name, value in gap.terms.items()}
    if score(abs(size)) == score(0.0):
        return f"{head} equals the per-sample mean to three decimals ({values}): {_listed(list(amounts.values()))}."
    carrier = max(gap.terms, key=lambda name: gap.terms[name] * math.copysign(1, size))
    others = [amounts[name] for name in gap.terms if name != carrier]
    cause = _CAUSES[carrier, 1 if size > 0 else -1]
    return (
        f"{head} is {score(abs(size))} {'above' if size > 0 else 'below'} the per-sample mean ({values}), carried by "
        f"the {carrier} term ({signed(gap.terms[carrier])}: {cause}), beside {_listed(others)}."
    )


def _listed(items: list[str]) -> str:
    return f"{', '.join(items[:-1])} and {items[-1]}"
