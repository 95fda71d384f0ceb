"""Signatures in the values and the shape of a training's curves: impossible ones, divergence, overfitting."""

import re

import numpy as np

from segscale.tasks.metrics.findings import Finding
from segscale.tasks.training.diagnosis.course import Course, Float64Array, TrainingFacts

LEAST_EPOCHS = 5
"""Epochs before the shape of a curve is judged."""
WORSE = 0.05
"""Fall of a validation score from its best that is more than noise; a loss must rise by twice that share."""
EQUAL, APART = 2e-3, 5e-3
"""Differences of two Tversky scores that are the same, and that are not."""
_OVERLAP = re.compile(r"dice|dsc|iou|jaccard|tversky|(^|_)f1|f_?score", re.IGNORECASE)


def loss_not_finite(course: Course, facts: TrainingFacts) -> Finding | None:
    """NaN or infinity in the loss."""
    broken = np.flatnonzero(~np.isfinite(course.values("loss")))
    # Validation may have been logged without a loss.
    if not broken.size or (course.split == "validation" and not course.knows("loss")):
        return None
    precision = "" if facts.precision is None else f"; precision {facts.precision}"
    return Finding(
        "loss-not-finite",
        "error",
        "the loss is NaN or infinite: it diverged, divided 0 by 0, or summed in float16, which overflows at 65504 "
        "(an image of 256 x 256 pixels)",
        f"{course.split}: {broken.size} of {len(course.rows)} epochs, first epoch {course.epochs[broken[0]]}{precision}"
        + (f"; {course.said('loss')}" if course.knows("loss") else ""),
        "lower the learning rate, sum in float32 whatever the precision of the network, and use smooth > 0",
    )


def labels_as_numbers(course: Course, _: TrainingFacts) -> Finding | None:
    """Scores above 1, or a loss too negative to be minus a score."""
    highest = {
        str(name): float(np.nanmax(course.values(str(name))))
        for name in course.rows
        if _OVERLAP.search(str(name)) and not str(name).endswith("loss") and course.knows(str(name))
    }
    above = {name: value for name, value in highest.items() if value > 1 + 1e-6}
    lowest = float(np.nanmin(course.values("loss"), initial=np.inf))
    if not above and not lowest < -max(len(course.heads), 1) - 1e-6:
        return None
    return Finding(
        "labels-as-numbers",
        "error",
        "a score lies above 1, or a loss far below 0: label values such as 0 and 255 are taken as numbers",
        f"{course.split}: "
        + "".join(f"{name} up to {value:.4g}, " for name, value in list(above.items())[:4])
        + f"loss down to {lowest:.4g}"
        + "; with a reference of 255 a Dice goes towards 2, an IoU towards 255",
        "map label values to 0..C-1 first: reference == 255, or label_values in the configuration",
    )


def negative_loss(course: Course, _: TrainingFacts) -> Finding | None:
    """A loss below 0 that is minus a score."""
    lowest = float(np.nanmin(course.values("loss"), initial=np.inf))
    if not -max(len(course.heads), 1) - 1e-6 <= lowest < 0:
        return None
    return Finding(
        "negative-loss",
        "note",
        "the loss is minus a score, not 1 minus a score: it differs by a constant, the gradient is the same",
        f"{course.split}: {course.said('loss')}",
        "add 1 for each head before comparing it with other trainings",
    )


def alpha_beta_swapped(course: Course, facts: TrainingFacts) -> Finding | None:
    """A Tversky of another that weighs false positives as false negatives should be.

    With a = FP/TP and b = FN/TP, Dice D and Tversky T of the same counts give a + b = 2/D - 2 and
    alpha a + beta b = 1/T - 1, hence a, b and the swapped 1/(1 + beta a + alpha b).
    """
    alpha, beta = facts.tversky_alpha, facts.tversky_beta
    if alpha is None or beta is None or alpha == beta or len(course.foreground_classes) != 1:
        return None
    for name in (name for name in course.other_scores if "tversky" in name.lower()):
        for aggregation in ("pooled", "batch_summed"):
            dice, tversky = course.values(f"dice_{aggregation}"), course.values(f"tversky_{aggregation}")
            swapped, given = _swapped(dice, tversky, alpha, beta), course.values(name)
            known = np.isfinite(swapped) & np.isfinite(given) & (np.abs(swapped - tversky) > APART)
            if known.any() and (np.abs(given - swapped)[known] <= EQUAL).all():
                place = int(np.flatnonzero(known)[-1])
                return Finding(
                    "alpha-beta-swapped",
                    "error",
                    "alpha and beta are exchanged in one of two Tversky indices; tools disagree on which of them "
                    "weighs false negatives",
                    f"{course.split}, epoch {course.epochs[place]}: {name} {given[place]:.4f}, tversky_{aggregation} "
                    f"{tversky[place]:.4f}; with {alpha:g} for false negatives and {beta:g} for false positives it "
                    f"would be {swapped[place]:.4f}",
                    f"weigh false positives with {alpha:g} and false negatives with {beta:g} in both",
                )
    return None


def learning_rate_zero(course: Course, _: TrainingFacts) -> Finding | None:
    """Epochs in which nothing could be learnt. The end of a schedule is one epoch at most."""
    rates = course.values("learning_rate")
    n_zero = int((rates == 0).sum())
    if n_zero < min(2, len(rates)):
        return None
    return Finding(
        "learning-rate-zero",
        "error" if n_zero == len(rates) else "warning",
        "the learning rate is 0: the weights do not move",
        f"{course.split}: {n_zero} of {len(rates)} epochs, first epoch {course.epochs[np.flatnonzero(rates == 0)[0]]}",
        "check the schedule: its length is counted in steps, not epochs",
    )


def loss_rises(course: Course, _: TrainingFacts) -> Finding | None:
    """A training loss that ends above where it began."""
    losses = course.values("loss")
    if not _is_judged(losses) or not _late(losses) > losses[0] + 0.01 * abs(losses[0]):
        return None
    return Finding(
        "loss-rises",
        "warning",
        "the training diverges: the loss ends above where it began",
        f"{course.split}: {course.said('loss')}, lowest {np.nanmin(losses):.4g} at epoch "
        f"{course.epochs[int(np.nanargmin(losses))]}",
        "lower the learning rate",
    )


def overfitting(validation: Course, training: Course, _: TrainingFacts) -> Finding | None:
    """Validation gets worse from its best epoch on while training gets better: the scores, or else the losses."""
    names = [name for name in validation.scores if training.knows(name)] or ["loss"]
    for name in names:
        sign = -1.0 if name == "loss" else 1.0
        seen, learnt = sign * validation.values(name), sign * training.values(name)
        if not (_is_judged(seen) and np.isfinite(learnt).all() and len(learnt) == len(seen)):
            continue
        best = int(np.argmax(seen))
        margin = WORSE if name != "loss" else max(2 * WORSE * abs(seen[best]), 0.02)
        if _late(seen) <= seen[best] - margin and _late(learnt) > learnt[best] and best <= len(seen) - 4:
            return Finding(
                "overfitting",
                "warning",
                "the network learns the training images by heart: validation gets worse while training gets better",
                f"validation {name} {sign * seen[best]:.4g} at its best epoch {validation.epochs[best]}, "
                f"{sign * seen[-1]:.4g} at epoch {validation.epochs[-1]}; training {sign * learnt[best]:.4g} and "
                f"{sign * learnt[-1]:.4g}",
                "keep the weights of the best epoch, stop earlier (patience), augment more, or add images",
            )
    return None


def still_falling(training: Course, _: TrainingFacts) -> Finding | None:
    """A loss that has not come to rest."""
    losses = training.values("loss")
    if not _is_judged(losses, 2 * LEAST_EPOCHS):
        return None
    quarter = max(len(losses) // 4, 2)
    fall = float(losses[-2 * quarter : -quarter].mean() - losses[-quarter:].mean())
    whole = float(losses[0] - losses[-1])
    if not (whole > 0 and fall >= WORSE * whole):
        return None
    return Finding(
        "still-falling",
        "note",
        "the loss still falls at the end: more epochs would go on",
        f"{training.split}: {training.said('loss')}; the last {quarter} epochs are {fall:.4g} below the {quarter} "
        f"before, {fall / whole:.1%} of the whole fall",
        "train for more epochs, or with a higher learning rate",
    )


def _swapped(dice: Float64Array, tversky: Float64Array, alpha: float, beta: float) -> Float64Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        both, weighted = 2 / dice - 2, 1 / tversky - 1
        false_negatives = (weighted - alpha * both) / (beta - alpha)
        swapped = 1 / (1 + beta * (both - false_negatives) + alpha * false_negatives)
    return np.asarray(np.where(np.isfinite(swapped), swapped, np.nan), np.float64)


def _is_judged(values: Float64Array, least: int = LEAST_EPOCHS) -> bool:
    return len(values) >= least and bool(np.isfinite(values).all())


def _late(values: Float64Array) -> float:
    """The median of the last three epochs: one bad epoch at the end is noise."""
    return float(np.median(values[-3:]))
