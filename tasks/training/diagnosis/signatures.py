"""Signatures in a training history of why the loss falls while the score stands, and why it exceeds 1."""

import numpy as np

from segscale.tasks.metrics.findings import Finding, Severity
from segscale.tasks.training.diagnosis.course import Course, Standstill, TrainingFacts

FALLS = 0.05
"""Share of its first value by which a loss falls visibly, and by at least 0.01."""
RISES = 0.05
"""Change of a score that a reader of the curves sees."""
MOST, NEARLY_ALL = 0.5, 0.8
"""Shares of the fall."""
BETTER_THRESHOLD = 0.02
"""Dice that another threshold must add to be worth a word; more than RISES is a warning."""


def regularization_falls(still: Standstill, _: TrainingFacts) -> Finding | None:
    """The fall of the loss is that of the penalty on the weights."""
    course, start = still.course, still.start
    total, part = -course.change("loss", start), -course.change("regularization", start)
    if not (falls_visibly(course, start) and part >= MOST * total):
        return None
    share = f"{part / total:.1%}" if part <= total else "more than all"
    return Finding(
        "only-regularization-falls",
        _severity(still) if part >= NEARLY_ALL * total else "note",
        "the loss falls because the weights shrink: it is the L2 penalty that falls, not what the heads are trained on",
        f"{course.split}: {course.said('loss', start)}, a fall of {total:.4g}; regularization of it {part:.4g} "
        f"({share}), the heads {total - part:.4g}; {still.said}",
        "look at the head losses apart from the regularization, and lower l2 or raise the learning rate",
    )


def smoothing_saturates(still: Standstill, facts: TrainingFacts) -> Finding | None:
    """Images without a reference get better by smoothing, those with one do not."""
    course, start = still.course, still.start
    empty, present = (course.change(f"smoothed_dice_reference_{kind}", start) for kind in ("empty", "present"))
    # Over a whole batch an image without a reference is no denominator of its own.
    if facts.reduction_axes == "batch" or not (empty >= RISES and present <= empty / 5):
        return None
    share = _share_empty(course)
    worth = ""
    if facts.class_weights is not None and len(facts.class_weights) == 2:
        worth = f", worth {facts.class_weights[1] * share * empty:.4g} of each head's loss"
    smooth = "" if facts.smooth is None else f" (smooth = {facts.smooth:g})"
    return Finding(
        "smoothing-saturates",
        _severity(still),
        f"the loss falls on images without a reference, where smoothing{smooth} turns fewer false pixels into a Dice "
        "towards 1; where there is something to find, nothing gets better",
        f"{course.split}: {course.said('smoothed_dice_reference_empty', start)}{worth}; "
        f"{course.said('smoothed_dice_reference_present', start)}; {share:.1%} of the images have no reference; "
        f"{still.said}",
        "watch the Dice of images with a reference; sample patches around the foreground, or lower smooth",
    )  # fmt: skip


def batches_hide_small_lesions(still: Standstill, _: TrainingFacts) -> Finding | None:
    """Batch-summed or pooled Dice rises with the large lesions, the mean over images stands."""
    if still.score != "dice_per_sample":
        return None
    course, start = still.course, still.start
    # A batch of one image sums nothing: what rises with per-sample Dice hides nothing.
    rising = [
        name for name in ("dice_batch_summed", "dice_pooled")
        if course.change(name, start) >= RISES and course.last(name) >= course.last(still.score) + RISES
    ]  # fmt: skip
    if not rising:
        return None
    return Finding(
        "batch-summed-hides-small-lesions",
        _severity(still),
        "what is summed over images follows the large lesions, which get better; small ones stay missed and hardly "
        "enter the sums",
        f"{course.split}: {'; '.join(course.said(name, start) for name in rising)}; {still.said}",
        'train with reduction_axes = "per_sample", place patches on the foreground, and judge by dice_per_sample',
    )


def smoothed_empty_references(course: Course, facts: TrainingFacts) -> Finding | None:
    """Images without a reference under a smoothed per-image Dice: one false pixel decides much."""
    if facts.reduction_axes == "batch" or facts.smooth == 0 or not course.knows("smoothed_dice_reference_empty"):
        return None
    share = _share_empty(course)
    if not share >= RISES:
        return None
    smooth = 1.0 if facts.smooth is None else facts.smooth
    return Finding(
        "smoothed-empty-reference",
        "note",
        "an image without a reference has the smoothed Dice s/(s + false positives), whatever is found elsewhere",
        f"{course.split}: {share:.1%} of the images have no reference; with s = {smooth:g} one false pixel gives "
        f"{smooth / (smooth + 1):.4g}, 100 give {smooth / (smooth + 100):.3g}; "
        f"{course.said('smoothed_dice_reference_empty')}",
        "read the Dice of images with and without a reference apart",
    )


def threshold_is_off(course: Course, facts: TrainingFacts) -> Finding | None:
    """Another threshold would give a much better Dice."""
    gain = course.last("dice_per_sample_at_best") - course.last("dice_per_sample")
    if not gain >= BETTER_THRESHOLD:
        return None
    threshold = 0.5 if facts.threshold is None else facts.threshold
    return Finding(
        "threshold-far-off",
        "warning" if gain >= RISES else "note",
        "the network ranks pixels better than its hard masks show: the threshold is far from its operating point",
        f"{course.split}, epoch {course.epochs[-1]}: Dice per sample {course.last('dice_per_sample'):.4f} at "
        f"{threshold:g}, {course.last('dice_per_sample_at_best'):.4f} at {course.last('best_threshold'):g}",
        "choose the threshold on validation images (never on the test set), or train on until probabilities spread",
    )


def loss_exceeds_one(course: Course, facts: TrainingFacts) -> Finding | None:
    """A loss above 1, taken apart at the first and the last epoch."""
    losses = course.values("loss")
    if not np.nanmax(losses, initial=-np.inf) > 1:
        return None
    first, last = course.ends("loss")
    return Finding(
        "loss-exceeds-one",
        "note",
        f"a Dice lies between 0 and 1, the loss is more than one Dice: {_reasons(course, facts)}",
        f"{course.split}: {'; '.join(_parts(course, facts, place) for place in dict.fromkeys((first, last)))}",
        "compare the loss of a single head, without regularization, with 1 - Dice",
    )


def falls_without_score(still: Standstill, training: Course, _: TrainingFacts) -> Finding | None:
    """The loss falls, a score stands, and the columns do not say why."""
    if not (still.is_worrying and falls_visibly(training, 0)):
        return None
    return Finding(
        "loss-falls-score-stands",
        "warning",
        "the loss falls while the score stands, and this history does not hold what would tell why: shrinking weights "
        "(L2), smoothing on empty references, a metric of another channel, or probabilities far from the threshold",
        f"{training.split}: {training.said('loss')}; {still.course.split}: {still.said}",
        "log each head's loss apart from the regularization, Dice per class, per image and pooled, and the mean and "
        "standard deviation of the probabilities; segscale train logs all of these",
    )


def falls_visibly(course: Course, start: int) -> bool:
    """Whether the loss falls from place `start` to the end by what one sees in a curve."""
    fall = -course.change("loss", start)
    if not np.isfinite(fall):
        return False
    first = course.values("loss")[course.ends("loss", start)[0]]
    return bool(fall >= max(FALLS * abs(first), 0.01))


def _reasons(course: Course, facts: TrainingFacts) -> str:
    """Everything that lifts this loss."""
    weights = [course.last(f"head_{place}_weight") for place in course.heads]
    found = []
    if len(weights) > 1 and sum(weights) > 1 + 1e-6:
        found.append(f"{len(weights)} heads are added, with weights that sum to {sum(weights):g}")
    if np.nanmax(course.values("regularization"), initial=0) > 0:
        l2 = "" if facts.l2 is None else f" (l2 = {facts.l2:g})"
        found.append(f"the penalty on the weights{l2} is added")
    if any(np.nanmax(course.values(f"head_{place}_loss")) > 1 for place in course.heads):
        found.append("a head's loss alone is above 1, as the sum of Dice and cross-entropy can be")
    return "; ".join(found) or (
        "its parts are not in this history; Keras adds the losses of all outputs and the penalties of all layers, and "
        "cross-entropy has no upper bound"
    )


def _parts(course: Course, facts: TrainingFacts, place: int) -> str:
    parts = [
        f"{_factor(course.values(f'head_{head}_weight')[place])}{course.values(f'head_{head}_loss')[place]:.4g} "
        f"({facts.head_name(head)})"
        for head in course.heads
    ]
    if np.nanmax(course.values("regularization"), initial=0) > 0:
        parts.append(f"{course.values('regularization')[place]:.4g} (regularization)")
    whole = f"loss {course.values('loss')[place]:.4g} at epoch {course.epochs[place]}"
    return f"{whole} = {' + '.join(parts)}" if parts else whole


def _factor(weight: float) -> str:
    return "? x " if np.isnan(weight) else f"{weight:g} x "


def _share_empty(course: Course) -> float:
    n_images = course.last("n_images")
    return course.last("n_reference_empty") / n_images if n_images else float("nan")


def _severity(still: Standstill) -> Severity:
    return "warning" if still.is_worrying else "note"
