"""Signatures of broken predictions in the counts of a run: of one class and head over all its images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.panel import OVER_CLASSES, Panel

CONSTANT_SPREAD = 1e-8
"""Relative variance of the probabilities of an image below which they are one number; float32 rounds at 6e-8."""
HARDLY_ANY = 0.01
"""Pooled Dice of a class below which nothing was found, even by chance."""
INVERTED_LEAD = 0.3
"""How much better the opposite prediction must score to be the one that was meant."""


@dataclass(frozen=True, slots=True)
class ClassCase:
    """A foreground class or a region of one head, beside the background of the same images."""

    where: str
    class_name: str
    counts: CountColumns
    background: CountColumns
    is_only_foreground: bool
    """Of two classes: not predicted means background."""

    @property
    def totals(self) -> tuple[int, int, int, int]:
        """tp, fp, fn, tn over all images."""
        return (*_errors(self.counts), int(self.counts.true_negative.sum()))


def cases_of(panel: Panel) -> Iterator[ClassCase]:
    """Every foreground class and region of every head that has images."""
    for head in panel.heads:
        classes = [one for one in panel.classes[head] if one.class_index != OVER_CLASSES]
        n_foreground = sum(one.is_foreground for one in classes)
        for one in classes[1:]:
            if one.counts.size:
                where = f"class {one.class_name}" + (f", head {head}" if str(head) else "")
                yield ClassCase(where, one.class_name, one.counts, classes[0].counts, n_foreground == 1)


def broken_prediction(case: ClassCase) -> Finding | None:
    """The most specific signature that the predictions of a class show, if any."""
    for signature in (_everything_foreground, _nothing_foreground, _constant, _inverted, _hardly_any_overlap):
        finding = signature(case)
        if finding:
            return finding
    return None


def _everything_foreground(case: ClassCase) -> Finding | None:
    tp, fp, fn, tn = case.totals
    if fn or tn or not fp:
        return None
    probability = case.counts.soft_prediction_sum.sum() / (tp + fp)
    certain = np.isnan(probability) or probability == 1
    seen = "" if np.isnan(probability) else f"; the mean probability is {probability:.6g}"
    return Finding(
        "everything-foreground",
        "error",
        "softmax over a single channel, which is 1 everywhere" if certain else
        "every probability reaches the threshold",
        f"{case.where}: all {tp + fp} pixels of {case.counts.size} images are predicted, so Dice is 2F/(F+N) = "
        f"{2 * tp / (2 * tp + fp):.4f} whatever the network learnt{seen}",
        "give a network of one output channel a sigmoid, or two channels and a softmax" if certain else
        "look at the probabilities: another threshold, or logits taken for probabilities",
    )  # fmt: skip


def _nothing_foreground(case: ClassCase) -> Finding | None:
    tp, fp, fn, _ = case.totals
    if tp or fp or not fn:
        return None
    probability = case.counts.soft_prediction_sum.sum()
    below = probability > 0
    return Finding(
        "nothing-foreground",
        "error" if case.is_only_foreground else "warning",
        "no probability reaches the threshold: an all-background network, or the wrong channel" if below else
        "argmax over a single channel, which is 0 everywhere, or the class is never predicted",
        f"{case.where}: no pixel of {case.counts.size} images is predicted, {fn} are in the references; Dice 0"
        + (f"; probabilities sum to {probability:.6g}" if below else ""),
        "check which channel is read and that training moved the loss" if below else
        "threshold a network of one channel instead of argmax; of several, check the order of the classes",
    )  # fmt: skip


def _constant(case: ClassCase) -> Finding | None:
    counts, n = case.counts, _counted(case.counts)
    if np.isnan(counts.soft_prediction_sum).any() or not n.all() or not 0 < counts.reference_sum.sum() < n.sum():
        return None
    mean, mean_square = counts.soft_prediction_sum / n, counts.soft_prediction_squared_sum / n
    if not (mean_square - mean**2 <= CONSTANT_SPREAD * np.maximum(mean_square, CONSTANT_SPREAD)).all():
        return None
    foreground, background = (_soft_dice(one) for one in (counts, case.background))
    return Finding(
        "constant-prediction",
        "error",
        "the network gives every pixel of an image the same probability: it learnt nothing, or collapsed",
        f"{case.where}: probabilities from {mean.min():.4g} to {mean.max():.4g} over {counts.size} images, one value "
        f"in each; soft Dice {foreground:.4f}, background {background:.4f}: 1 - (0.3 background + 0.7 foreground) is"
        f" {1 - 0.3 * background - 0.7 * foreground:.3f} per head",
        "check learning rate, normalisation of the images and that the weights were loaded",
    )


def _inverted(case: ClassCase) -> Finding | None:
    tp, fp, fn, tn = case.totals
    dice, opposite = _dice(tp, fp, fn), _dice(fn, tn, tp)
    if not case.is_only_foreground or not opposite > max(0.5, dice + INVERTED_LEAD):
        return None
    return Finding(
        "wrong-channel",
        "error",
        "the wrong channel is read, or the label values are swapped: the prediction is the negative of the reference",
        f"{case.where}: pooled Dice {dice:.4f}, of the opposite prediction {opposite:.4f}",
        "read the foreground channel (the last of two), and check classes and label_values",
    )


def _hardly_any_overlap(case: ClassCase) -> Finding | None:
    tp, fp, fn, tn = case.totals
    dice, background = _dice(tp, fp, fn), _dice(*_errors(case.background))
    if not fn or not dice < HARDLY_ANY:
        return None
    few = tp + fp < (tp + fn) / 2
    return Finding(
        "hardly-any-overlap",
        "error" if case.is_only_foreground else "warning",
        "the wrong channel is read, or the network predicts background all but everywhere" if few else
        "the wrong channel is read, or predictions meet the references of other images or another grid",
        f"{case.where}: {tp + fp} of {tp + fp + fn + tn} pixels are predicted, {tp + fn} are in the references, {tp} "
        f"in both; pooled Dice {dice:.4f}, background {background:.4f}: a mean over both classes would hide it",
        "check which channel is read and that training moved the loss; report foreground classes, not their mean with "
        "the background" if few else
        "check which channel is read, and how images, references and predictions are paired",
    )  # fmt: skip


def _errors(c: CountColumns) -> tuple[int, int, int]:
    return int(c.true_positive.sum()), int(c.false_positive.sum()), int(c.false_negative.sum())


def _counted(c: CountColumns) -> np.ndarray:
    return c.true_positive + c.false_positive + c.false_negative + c.true_negative


def _dice(tp: int, fp: int, fn: int) -> float:
    return float(scores.dice(tp, fp, fn))


def _soft_dice(c: CountColumns) -> float:
    return float(scores.soft_dice(c.soft_intersection.sum(), c.soft_prediction_sum.sum(), c.reference_sum.sum()))
