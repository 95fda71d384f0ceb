"""Stored pair: two label maps of bytes, counted as they lie in their files, without an array of classes for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.labels import FULL_8_BITS, IGNORED, NO_CLASS, LabelRule, index_of_each_byte
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.metrics.regions import Regions, members

_BYTES = "B?"
_MOST_CLASSES = 253
"""Kinds are bytes, and three stand beside the classes."""


def _is_simple(labels: NDArray[Any], size: Sequence[int] | None, rule: LabelRule) -> bool:
    """Whether there is one way alone to lay a label map over an image of `size` (D, H, W), and its values are bytes.

    Without a size it has to be flat.
    """
    fits = labels.ndim == 3 and (labels.shape[0] == 1 if size is None else labels.shape == tuple(size))
    return fits and labels.dtype.char in _BYTES and rule.n_classes <= _MOST_CLASSES


def count_stored(
    reference: NDArray[Any],
    prediction: NDArray[Any] | None,
    size: Sequence[int] | None,
    rule: LabelRule,
    of_predictions: LabelRule,
    regions: Regions = (),
) -> OverlapCounts | None:
    """The counts of a reference and a prediction as they are stored; `size` (D, H, W) is that of a named image.

    regions: of class indices, counted behind the classes.

    None where they do not lie over each other in one way alone, are no bytes, or something has to be said of one of
    them (`labels.class_indices` says it): a value that is no class, two that stand for one, or an ignored pixel of the
    prediction where the reference has a class.
    """
    if (
        prediction is None
        or not _is_simple(reference, size, rule)
        or not _is_simple(prediction, reference.shape, of_predictions)
    ):
        return None
    from segscale.tasks.metrics.pair_kernel import count_stored_pair

    n_classes = rule.n_classes
    counts, n_counted = count_stored_pair(
        _bytes_of(reference),
        _bytes_of(prediction),
        _kind_of_each_byte(rule, reference.dtype == np.bool_),
        _kind_of_each_byte(of_predictions, prediction.dtype == np.bool_),
        n_classes,
        members(regions, n_classes),
    )
    if n_counted < 0:
        return None
    nothing = _no_probabilities(n_classes + len(regions))
    true_positive, false_positive, false_negative, true_negative, reference_sum = counts
    return OverlapCounts(
        n_pixels=reference.size,
        n_ignored=reference.size - n_counted,
        true_positive=true_positive,
        false_positive=false_positive,
        false_negative=false_negative,
        true_negative=true_negative,
        soft_intersection=nothing.soft_intersection,
        soft_prediction_sum=nothing.soft_prediction_sum,
        soft_prediction_squared_sum=nothing.soft_prediction_squared_sum,
        reference_sum=reference_sum,
        histogram_foreground=nothing.histogram_foreground,
        histogram_background=nothing.histogram_background,
    )


_no_probabilities = cache(OverlapCounts.zero)


def _bytes_of(labels: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(labels).view(np.uint8).reshape(-1)


@cache
def _kind_of_each_byte(rule: LabelRule, is_bool: bool) -> NDArray[np.uint8]:
    """What each stored value is: a class, or one of the kinds beside them."""
    from segscale.tasks.metrics import pair_kernel

    n_classes = rule.n_classes
    kinds = np.frombuffer(index_of_each_byte(rule, is_bool), np.uint8).copy()
    kinds[kinds == IGNORED], kinds[kinds == NO_CLASS] = n_classes + pair_kernel.IGNORED, n_classes + pair_kernel.UNKNOWN
    if rule.found and not rule.values and not is_bool and kinds[FULL_8_BITS] == 1:
        kinds[FULL_8_BITS] = n_classes + pair_kernel.WHITE
    return kinds
