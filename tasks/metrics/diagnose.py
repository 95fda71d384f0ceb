"""Diagnosis: what in the numbers says that the evaluation is wrong."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics import array_signatures
from segscale.tasks.metrics.aggregate_signatures import (
    batch_size_notes,
    failed_images,
    gap_notes,
    short_last_batch_notes,
    smoothed_empty_references,
)
from segscale.tasks.metrics.array_signatures import Arrays
from segscale.tasks.metrics.findings import Finding, by_severity
from segscale.tasks.metrics.panel import Panel, panel_of
from segscale.tasks.metrics.prediction_signatures import broken_prediction, cases_of
from segscale.tasks.metrics.reference_signatures import IgnoredBy, nothing_but_ignored
from segscale.tasks.metrics.settings import ScoreSettings


def diagnose(
    per_image: pd.DataFrame | Panel,
    per_sample: pd.DataFrame,
    batch_summed: pd.DataFrame,
    gap: pd.DataFrame,
    settings: ScoreSettings,
    ignored: IgnoredBy = "label",
) -> list[Finding]:
    """What the tables of a report say against the run, errors first; nothing but notes for a sound one.

    The predictions of a class get at most one finding, the most specific. Aggregates are judged over the whole set.
    ignored: what pixels may be ignored by, as `ignored_by` says.
    """
    panel = panel_of(per_image)
    cases = list(cases_of(panel))
    found = [nothing_but_ignored(panel, ignored), *(broken_prediction(case) for case in cases)]
    found += [smoothed_empty_references(case, settings) for case in cases]
    found.append(failed_images(per_sample))
    found += [*gap_notes(gap, cases), *batch_size_notes(batch_summed), *short_last_batch_notes(batch_summed)]
    return by_severity(finding for finding in found if finding)


def check_arrays(reference: ArrayLike, prediction: ArrayLike) -> list[Finding]:
    """What a reference and a prediction say against a formula that is fed with them as they are, errors first.

    reference: labels of any number type, (..., height, width), with or without a channel axis of 1.
    prediction: probabilities or labels of the same shape, or with a channel axis where the reference has none or 1.
    Raises ValueError where the shapes do not belong together, an array is empty, or values are not finite numbers.

    >>> [finding.signature for finding in check_arrays([[0, 255]], [[0.1, 0.9]])]
    ['labels-as-numbers']
    """
    arrays = _arrays(np.asarray(reference), np.asarray(prediction))
    checks = (
        array_signatures.broadcast_channels,
        array_signatures.labels_as_numbers,
        array_signatures.everything_foreground,
        array_signatures.nothing_foreground,
        array_signatures.interpolated_reference,
        array_signatures.narrow_sums,
    )
    return by_severity(finding for check in checks if (finding := check(arrays)))


def _arrays(reference: NDArray[Any], prediction: NDArray[Any]) -> Arrays:
    for name, array in (("reference", reference), ("prediction", prediction)):
        if array.dtype.kind not in "biuf" or array.size == 0 or array.ndim < 2:
            raise ArgumentError(
                f"{name}: expected numbers of at least 2 axes, got {array.dtype} of shape {array.shape}: "
                f"pass the arrays that enter the metric"
            )
        if not np.isfinite(array).all():
            raise ArgumentError(f"{name}: expected finite values, got NaN or infinity: the model or the file is broken")
    for labels in (reference, reference[..., 0]) if reference.shape[-1] == 1 else (reference,):
        n_channels = _channels(labels.shape, prediction.shape)
        if n_channels is not None:
            return Arrays(reference, prediction, labels, n_channels, np.unique(reference))
    raise ArgumentError(
        f"prediction: expected the shape {reference.shape} of the reference, or that with a channel axis, got "
        f"{prediction.shape}: crop or resample it to the grid of the reference"
    )


def _channels(labels: tuple[int, ...], prediction: tuple[int, ...]) -> int | None:
    """Channels of a prediction over such labels, 0 for no axis of channels; None if they do not fit."""
    if prediction == labels:
        return 0
    return prediction[-1] if prediction[:-1] == labels else None
