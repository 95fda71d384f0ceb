"""Signatures of broken predictions in a training history: constant ones, another channel, the wrong arrays."""

import numpy as np

from segscale.tasks.metrics.findings import Finding
from segscale.tasks.training.diagnosis.course import Course, TrainingFacts

CONSTANT_SPREAD = 1e-4
"""Standard deviation of the probabilities, or range of a metric over the epochs, below which it is one number."""
HARDLY_ANY = 0.01
"""Pooled Dice of a class below which nothing was found."""
HIGH = 0.9
"""Dice of a background that hides what the foreground does."""
EQUAL = 1e-3
"""Difference of two logged scores that are the same."""
FITS = 0.01
"""Difference between a head's loss and what a constant prediction would give."""


def broken_prediction(course: Course, facts: TrainingFacts) -> Finding | None:
    """The most specific signature that the predictions of the last epochs show, if any."""
    for signature in (_constant, _everything_foreground, _nothing_foreground, _wrong_channel, _hardly_any_overlap):
        finding = signature(course, facts)
        if finding:
            return finding
    return None


def class_never_found(course: Course, facts: TrainingFacts) -> Finding | None:
    """One class of several that is not found while others are."""
    scores = {index: course.last(f"dice_pooled_class_{index}") for index in course.foreground_classes}
    missed = [index for index, score in scores.items() if score < HARDLY_ANY]
    if not 0 < len(missed) < len(scores):
        return None
    return Finding(
        "class-never-found",
        "warning",
        "a class of several is hardly ever found; a mean over classes hides it",
        f"{course.split}, epoch {course.epochs[-1]}: pooled Dice "
        + ", ".join(f"{facts.class_name(index)} {score:.4f}" for index, score in scores.items()),
        "check that the class is in the training images; give it more weight in class_weights, and more patches",
    )


def metric_reads_background(course: Course, facts: TrainingFacts) -> Finding | None:
    """A metric of another that has the values of the background's Dice, not of the foreground's."""
    for name in course.other_scores:
        for aggregation in ("per_sample", "batch_summed", "pooled"):
            background, foreground = f"dice_{aggregation}_class_0", f"dice_{aggregation}_class_1"
            if _are_equal(course, name, background) and not _are_equal(course, name, foreground):
                return Finding(
                    "metric-reads-background",
                    "error",
                    "the metric reads the channel of the background",
                    f"{course.split}: {course.said(name)}, as is {background}; {course.said(foreground)}",
                    f"read the channel of {facts.class_name(1)}: y_pred[..., 1] of a softmax over two channels",
                )
    return None


def constant_metric(course: Course, _: TrainingFacts) -> Finding | None:
    """A metric of another that has one value in every epoch, whatever was learnt."""
    found = {name: value for name in course.other_scores if (value := _constant_value(course, name)) is not None}
    if not found:
        return None
    shown = ", ".join(f"{name} {value:.6g}" for name, value in list(found.items())[:4])
    return Finding(
        "constant-metric",
        "error",
        "the metric does not depend on what is predicted: a reference of one channel stretched over a softmax, softmax "
        "or argmax over one channel, or a constant prediction",
        f"{course.split}, epochs {course.epochs[0]} to {course.epochs[-1]}: {shown}, and {len(found)} such in all; "
        + _formulas(next(iter(found.values())), course.last("reference_share")),
        "compare the shapes of reference and prediction (segscale.tasks.metrics.diagnose.check_arrays does), and the "
        "predictions of two images",
    )


def _constant(course: Course, facts: TrainingFacts) -> Finding | None:
    spread, probability = course.last("probability_std"), course.last("probability_mean")
    if not spread <= CONSTANT_SPREAD:
        return None
    return Finding(
        "constant-prediction",
        "error",
        "the network gives every pixel the same probability: it learnt nothing, or collapsed",
        f"{_where(course)}: probability {probability:.4g}, standard deviation {spread:.2g}{_scores(course)}"
        + _expected_loss(course, facts, probability),
        "check the learning rate, the normalisation of the images and that the weights were loaded",
    )


def _everything_foreground(course: Course, facts: TrainingFacts) -> Finding | None:
    share = course.last("reference_share")
    if not (_has_ended_at(course, "predicted_share", 1.0) and share < 1):
        return None
    return Finding(
        "everything-foreground",
        "error",
        "every pixel is predicted: softmax over a single channel, which is 1 everywhere, or all probabilities reach "
        "the threshold",
        f"{_where(course)}: predicted share 1, reference share {share:.4g}: the pooled Dice is 2F/(F+N) = "
        f"{2 * share / (1 + share):.4f} whatever the network learns{_scores(course)}"
        + _expected_loss(course, facts, 1.0),
        "give a network of one output channel a sigmoid, or two channels and a softmax",
    )


def _nothing_foreground(course: Course, facts: TrainingFacts) -> Finding | None:
    share = course.last("reference_share")
    if not (_has_ended_at(course, "predicted_share", 0.0) and share > 0):
        return None
    return Finding(
        "nothing-foreground",
        "error",
        "no pixel is predicted: an all-background network, argmax over a single channel, or a threshold above all "
        "probabilities",
        f"{_where(course)}: predicted share 0, reference share {share:.4g}{_scores(course)}"
        + _expected_loss(course, facts, 0.0),
        "weigh the foreground more, place patches on it, and raise the learning rate; threshold a single channel",
    )


def _wrong_channel(course: Course, facts: TrainingFacts) -> Finding | None:
    p, share = course.last("predicted_share"), course.last("reference_share")
    if len(course.foreground_classes) != 1 or not (0 < p < 1 and 0 < share < 1):
        return None
    # What shares of these sizes overlap by chance; the negative of a good prediction overlaps less, in both classes.
    chance = (2 * (1 - p) * (1 - share) / (2 - p - share), 2 * p * share / (p + share))
    if not all(course.last(f"dice_pooled_class_{index}") < chance[index] / 2 for index in (0, 1)):
        return None
    return Finding(
        "wrong-channel",
        "error",
        "the wrong channel is trained or read, or label values are swapped: the prediction is the reference's negative",
        f"{_where(course)}: predicted share {p:.4g}, reference share {share:.4g}{_scores(course)}; by chance "
        f"{chance[0]:.4f} and {chance[1]:.4f}",
        f"read the channel of {facts.class_name(1)} (the last of two), and check classes and label_values",
    )


def _hardly_any_overlap(course: Course, facts: TrainingFacts) -> Finding | None:
    scores = {index: course.last(f"dice_pooled_class_{index}") for index in course.foreground_classes}
    background = course.last("dice_pooled_class_0")
    if not scores or not all(score < HARDLY_ANY for score in scores.values()):
        return None
    hides = background >= HIGH
    return Finding(
        "hardly-any-overlap",
        "error",
        "the foreground is all but missed; a metric of the background's channel, or a mean over both, moves near 1 and"
        " hides it" if hides else "predictions and references hardly overlap",
        f"{_where(course)}: "
        + "; ".join(course.said(f"dice_pooled_class_{index}") for index in (0, *scores))
        + (f"; accuracy {course.last('sparse_categorical_accuracy'):.4f}" if hides else "")
        + _expected_loss(course, facts, 0.0),
        "report foreground classes only; weigh the foreground more and place patches on it" if hides else
        "check that images and references belong together, and which channel is read",
    )  # fmt: skip


def _expected_loss(course: Course, facts: TrainingFacts, probability: float) -> str:
    """What a head's loss is for this one probability everywhere, if that is known and is what was logged.

    Pooled Dice of each class from the share r of the reference, 2pr/(p+r) and 2(1-p)(1-r)/(2-p-r). Smoothing weighs
    nothing against whole images, but gives those without a reference a Dice of their own: then the measured smoothed
    Dice takes the place of the foreground's.
    """
    share, weights = course.last("reference_share"), facts.class_weights
    if weights is None or len(weights) != 2 or not 0 < share < 1:
        return ""
    p = min(max(probability, 0.0), 1.0)
    foreground = _smoothed_foreground(course, facts, 2 * p * share / (p + share))
    background = 2 * (1 - p) * (1 - share) / (2 - p - share)
    expected = 1 - weights[0] * background - weights[1] * foreground
    losses = [course.last(f"head_{place}_loss") for place in course.heads]
    fitting = [loss for loss in losses if abs(loss - expected) <= FITS]
    if not fitting:
        return ""
    return (
        f"; 1 - ({weights[0]:g} x {background:.4f} background + {weights[1]:g} x {foreground:.4f} foreground) = "
        f"{expected:.3f} is the loss of such a prediction, and that of {len(fitting)} of {len(losses)} heads "
        f"({fitting[-1]:.3f})"
    )


def _smoothed_foreground(course: Course, facts: TrainingFacts, unsmoothed: float) -> float:
    names = [f"smoothed_dice_reference_{kind}" for kind in ("empty", "present")]
    if facts.reduction_axes != "per_sample" or not facts.smooth or not course.knows(*names, "n_images"):
        return unsmoothed
    empty = course.last("n_reference_empty") / course.last("n_images")
    return empty * course.last(names[0]) + (1 - empty) * course.last(names[1])


def _formulas(value: float, share: float) -> str:
    """What a constant value is by the formulas of broken metrics: of the known share of the foreground, or of which."""
    if np.isfinite(share):
        return (
            f"with a foreground share of {share:.4g}, 2F/(F+N) is {2 * share / (1 + share):.4g} and Tversky's "
            f"F/(F+0.5N) {share / (share + 0.5):.4g}"
        )
    if not 0 < value < 1:
        return "such is the score of an empty, or a full, prediction"
    dice, tversky = value / (2 - value), value / (2 * (1 - value))
    return (
        f"2F/(F+N) has this value for a foreground of {dice:.4%} of all pixels, Tversky's F/(F+0.5N) for {tversky:.4%}"
    )


def _constant_value(course: Course, name: str) -> float | None:
    values = course.values(name)
    known = values[np.isfinite(values)]
    if known.size < 3 or np.ptp(known) > CONSTANT_SPREAD:
        return None
    return float(known[-1])


def _are_equal(course: Course, name: str, other: str) -> bool:
    difference = np.abs(course.values(name) - course.values(other))
    known = difference[np.isfinite(difference)]
    return bool(known.size and known.max() <= EQUAL)


def _has_ended_at(course: Course, name: str, value: float) -> bool:
    """Whether the last three epochs, or all, have exactly this value."""
    return bool((np.abs(course.values(name)[-3:] - value) <= 1e-9).all())


def _scores(course: Course) -> str:
    known = [name for name in ("dice_pooled_class_0", "dice_pooled_class_1") if course.knows(name)]
    return "".join(f"; {name} {course.last(name):.4f}" for name in known)


def _where(course: Course) -> str:
    return f"{course.split}, epoch {course.epochs[-1]}"
