"""Diagnosis of a training: why its loss falls while the score stands, why it exceeds 1, and what else is wrong."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.metrics.findings import Finding, by_severity
from segscale.tasks.training.diagnosis import predictions, signatures, values
from segscale.tasks.training.diagnosis.course import Course, TrainingFacts, courses_of, standstills

T = TypeVar("T")


def diagnose_history(history: pd.DataFrame, settings: TrainingFacts) -> list[Finding]:
    """What a history says against the training, errors first; nothing but notes for a sound one.

    history: a row per epoch (from 1) and split ("training", "validation"), with the columns of `history.parquet` as far
    as they are known; any other column of numbers is a metric of another tool. Each signature is told once, of
    validation where it shows there. Raises ValueError without the columns epoch, split and loss, or without a row.
    """
    missing = sorted({"epoch", "split", "loss"} - set(history))
    courses = [] if missing else courses_of(history)
    if not courses:
        raise ArgumentError(f"history: expected rows of training or validation, got {missing or 'none'} missing")
    return by_severity(_findings(courses, settings))


def _findings(courses: list[Course], facts: TrainingFacts) -> Iterator[Finding]:
    still = list(standstills(courses))
    found = [
        *_first_of_each(
            courses, facts, values.loss_not_finite, values.labels_as_numbers, values.alpha_beta_swapped,
            predictions.broken_prediction, predictions.metric_reads_background, predictions.constant_metric,
        ),
        *_first_of_each(
            still, facts, signatures.regularization_falls, signatures.smoothing_saturates,
            signatures.batches_hide_small_lesions,
        ),
        *_first_of_each(courses, facts, predictions.class_never_found),
        # Of whole images where they are known: the threshold of varied patches is nobody's.
        *_first_of_each(courses[:1], facts, signatures.threshold_is_off),
    ]  # fmt: skip
    yield from found
    by_split = {course.split: course for course in courses}
    training = by_split.get("training", courses[-1])
    if all(one.severity == "note" for one in found):
        yield from _first_of_each(still, facts, lambda one, _: signatures.falls_without_score(one, training, facts))
    if "validation" in by_split and "training" in by_split:
        finding = values.overfitting(by_split["validation"], training, facts)
        if finding:
            yield finding
    # The loss that people watch is that of training.
    yield from _first_of_each(
        [training], facts, values.learning_rate_zero, values.loss_rises, signatures.loss_exceeds_one,
        values.negative_loss, signatures.smoothed_empty_references, values.still_falling,
    )  # fmt: skip


def _first_of_each(
    places: Iterable[T], facts: TrainingFacts, *each: Callable[[T, TrainingFacts], Finding | None]
) -> Iterator[Finding]:
    """For each signature, the finding of the first place that shows it."""
    for signature in each:
        finding = next((found for one in places if (found := signature(one, facts))), None)
        if finding:
            yield finding
