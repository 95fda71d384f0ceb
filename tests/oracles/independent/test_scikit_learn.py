"""Beside scikit-learn: confusion matrices exactly; scores of images, batches and the whole set to 1e-12."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.exceptions import UndefinedMetricWarning

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap

if TYPE_CHECKING:
    from tests.oracles.independent.conftest import Masks

pytestmark = pytest.mark.oracle

Score = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]

SCORES = {
    "dice": (metrics.f1_score, np.nan, "nan"),
    "iou": (metrics.jaccard_score, 0.0, "zero"),
    "sensitivity": (metrics.recall_score, np.nan, "nan"),
    "precision": (metrics.precision_score, np.nan, "nan"),
}
"""Function, its zero_division, and our empty policy that means the same; jaccard_score takes no NaN."""


def of_each_class(metric: str, n_classes: int) -> Score:
    function, zero_division, _ = SCORES[metric]
    labels = np.arange(n_classes)

    def score(reference: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.float64]:
        flat = reference.ravel(), prediction.ravel()
        return np.asarray(function(*flat, labels=labels, average=None, zero_division=zero_division))

    return score


def confusion(counts: NDArray[Any]) -> NDArray[np.int64]:
    """(..., tp, fp, fn, tn) as scikit-learn's [[tn, fp], [fn, tp]]."""
    return counts[..., [3, 1, 2, 0]].reshape(*counts.shape[:-1], 2, 2)


def test_counts_of_every_image(masks: Masks) -> None:
    labels = np.arange(masks.n_classes)
    for ours, reference, prediction in zip(confusion(masks.counts()), masks.reference, masks.prediction, strict=True):
        theirs = metrics.multilabel_confusion_matrix(reference.ravel(), prediction.ravel(), labels=labels)
        np.testing.assert_array_equal(ours, theirs)


def test_counts_of_label_maps_with_ignored_pixels(masks: Masks) -> None:
    marked = masks.reference.astype(np.int16)
    marked[..., ::3] = -1
    total = sum(
        (
            count_overlap(reference, n_classes=masks.n_classes, label_map=prediction, ignore_index=-1)
            for reference, prediction in zip(marked, masks.prediction, strict=True)
        ),
        start=OverlapCounts.zero(masks.n_classes),
    )
    ours = np.stack([total.true_negative, total.false_positive, total.false_negative, total.true_positive], axis=-1)
    kept = marked >= 0
    theirs = metrics.multilabel_confusion_matrix(
        marked[kept], masks.prediction[kept], labels=np.arange(masks.n_classes)
    )
    np.testing.assert_array_equal(ours.reshape(-1, 2, 2), theirs)


@pytest.mark.parametrize("metric", SCORES)
def test_scores_of_images_and_of_the_set(masks: Masks, metric: str) -> None:
    _, _, empty = SCORES[metric]
    score = of_each_class(metric, masks.n_classes)
    theirs = np.stack([score(r, p) for r, p in zip(masks.reference, masks.prediction, strict=True)])
    np.testing.assert_allclose(masks.scores(metric, empty=empty), theirs, rtol=1e-12, atol=0)
    means = masks.means(metric, empty=empty)[masks.class_names]
    np.testing.assert_allclose(means, pd.DataFrame(theirs).mean(), rtol=1e-12, atol=0)
    pooled = masks.pooled(metric, empty=empty)[masks.class_names]
    np.testing.assert_allclose(pooled, score(masks.reference, masks.prediction), rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [2, 4])
def test_dice_of_batches(masks: Masks, size: int) -> None:
    score = of_each_class("dice", masks.n_classes)
    starts = range(0, len(masks.reference), size)
    theirs = np.stack([score(masks.reference[at : at + size], masks.prediction[at : at + size]) for at in starts])
    images = np.array([[min(size, len(masks.reference) - at)] for at in starts])
    ours = masks.batches("dice", size).loc[masks.class_names]
    for column, weights in (("mean", images), ("mean_equal_weight", np.ones_like(images))):
        of_defined = weights * ~np.isnan(theirs)
        total = of_defined.sum(axis=0)
        expected = np.nansum(theirs * weights, axis=0) / np.where(total > 0, total, np.nan)
        np.testing.assert_allclose(ours[column].to_numpy(), expected, rtol=1e-12, atol=0)


def test_scores_over_classes(masks: Masks) -> None:
    """Micro averages over foreground labels, and over all of them, which is the accuracy."""
    reference, prediction = masks.reference.ravel(), masks.prediction.ravel()
    pooled = masks.pooled("dice")
    foreground = metrics.f1_score(reference, prediction, labels=np.arange(1, masks.n_classes), average="micro")
    assert pooled["all_micro"] == pytest.approx(foreground, rel=1e-12)
    assert pooled["all_channels_micro"] == pytest.approx(metrics.accuracy_score(reference, prediction), rel=1e-12)


def test_f_beta(masks: Masks) -> None:
    theirs = [
        metrics.fbeta_score(
            r.ravel(), p.ravel(), beta=2, labels=np.arange(masks.n_classes), average=None, zero_division=np.nan
        )
        for r, p in zip(masks.reference, masks.prediction, strict=True)
    ]
    np.testing.assert_allclose(masks.scores("f_beta"), theirs, rtol=1e-12, atol=0)


def test_differs_by_default_where_both_masks_are_empty() -> None:
    """scikit-learn: 0, with a warning. Ours: undefined; an image with nothing to find was not segmented badly."""
    nothing = np.zeros((4, 4), np.uint8)
    with pytest.warns(UndefinedMetricWarning):
        assert metrics.f1_score(nothing.ravel(), nothing.ravel(), labels=[1], average="macro") == 0.0
    counts = count_overlap(nothing, n_classes=2, label_map=nothing)
    ours = scores.dice(counts.true_positive, counts.false_positive, counts.false_negative)
    np.testing.assert_array_equal(ours, [1.0, np.nan])
