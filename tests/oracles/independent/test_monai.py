"""Beside MONAI: counts exactly, Dice, IoU and the soft losses of images and of batches to 1e-12."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss, TverskyLoss
from monai.metrics import DiceMetric, compute_confusion_matrix_metric, compute_dice, compute_iou, get_confusion_matrix
from numpy.typing import NDArray

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.overlap import count_overlap

if TYPE_CHECKING:
    from tests.oracles.independent.conftest import Masks

pytestmark = pytest.mark.oracle


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    """MONAI divides integers in torch's default type, float32 unless told otherwise."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def one_hot(labels: NDArray[Any], n_classes: int) -> Any:
    """(images, classes, ...) uint8 tensor."""
    return torch.from_numpy(np.moveaxis(np.eye(n_classes, dtype=np.uint8)[labels], -1, 1).copy())


def pair(masks: Masks) -> dict[str, Any]:
    return {"y_pred": one_hot(masks.prediction, masks.n_classes), "y": one_hot(masks.reference, masks.n_classes)}


def test_counts(masks: Masks) -> None:
    """MONAI orders them tp, fp, tn, fn."""
    theirs = get_confusion_matrix(**pair(masks)).numpy()
    np.testing.assert_array_equal(masks.counts()[..., [0, 1, 3, 2]], theirs)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("sensitivity", "sensitivity"),
        ("precision", "precision"),
        ("specificity", "specificity"),
        ("dice", "f1 score"),
        ("iou", "threat score"),
    ],
)
def test_scores_of_counts(masks: Masks, metric: str, name: str) -> None:
    """NaN where the denominator is 0, as ours with the empty policy "nan"."""
    matrix = get_confusion_matrix(**pair(masks)).double()
    np.testing.assert_allclose(
        masks.scores(metric), compute_confusion_matrix_metric(name, matrix).numpy(), rtol=1e-12, atol=0
    )
    pooled = masks.pooled(metric)[masks.class_names].to_numpy()
    theirs = compute_confusion_matrix_metric(name, matrix.sum(dim=0, keepdim=True)).numpy()[0]
    np.testing.assert_allclose(pooled, theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("metric", "function"), [("dice", compute_dice), ("iou", compute_iou)])
def test_overlap_with_empty_as_one(masks: Masks, metric: str, function: Any) -> None:
    """ignore_empty=False is our empty policy "one"; images, and their means by class."""
    theirs = function(**pair(masks), ignore_empty=False).double().numpy()
    np.testing.assert_allclose(masks.scores(metric, empty="one"), theirs, rtol=1e-12, atol=0)
    means = masks.means(metric, empty="one")[masks.class_names].to_numpy()
    np.testing.assert_allclose(means, theirs.mean(axis=0), rtol=1e-12, atol=0)


def test_differs_on_empty_references(masks: Masks) -> None:
    """MONAI's default leaves images without a reference out, false positives and all; ours scores those 0."""
    theirs = compute_dice(**pair(masks)).numpy()
    ours = masks.scores("dice")
    has_reference = masks.counts()[..., [0, 2]].sum(axis=-1) > 0
    np.testing.assert_allclose(ours[has_reference], theirs[has_reference], rtol=1e-12, atol=0)
    assert np.isnan(theirs[~has_reference]).all()
    predicted = masks.counts()[..., 1] > 0
    assert (ours[~has_reference & predicted] == 0).all()
    assert np.isnan(ours[~has_reference & ~predicted]).all()


SOFT: dict[str, tuple[Any, dict[str, Any], float]] = {
    "soft_dice": (DiceLoss, {}, 1e-12),
    "soft_dice_squared": (DiceLoss, {"squared_pred": True}, 1e-11),
    "soft_tversky": (TverskyLoss, {"alpha": 0.3, "beta": 0.7}, 1e-12),
}
"""Loss, its arguments, tolerance. With squares MONAI takes the intersection from a difference of norms, which loses a
digit: 1.8e-12 on two million pixels whose sums of ours are within 3e-15 of math.fsum."""


@pytest.mark.parametrize("smooth", [0.0, 1e-5, 1.0])
@pytest.mark.parametrize("metric", SOFT)
def test_soft_scores_per_sample_and_batch_summed(masks: Masks, metric: str, smooth: float) -> None:
    """batch=True sums over the images first, as our pooled scores do; alpha weighs false positives there too.

    Losses know no hard masks, hence the empty policy "smooth", which lets the formula stand.
    """
    loss, settings, tolerance = SOFT[metric]
    probabilities = torch.from_numpy(np.moveaxis(masks.exact_probabilities(), -1, 1).copy())
    reference = one_hot(masks.reference, masks.n_classes).double()
    ours = masks.scores(metric, smooth=smooth, empty="smooth")
    pooled = masks.pooled(metric, smooth=smooth, empty="smooth")
    for batch, expected in ((False, ours), (True, pooled[masks.class_names].to_numpy())):
        made = loss(reduction="none", smooth_nr=smooth, smooth_dr=smooth, batch=batch, **settings)
        theirs = 1 - made(probabilities, reference).numpy().reshape(expected.shape)
        np.testing.assert_allclose(expected, theirs, rtol=0, atol=tolerance)


def test_differs_in_the_mean_over_classes() -> None:
    """MONAI's "mean" averages the classes inside each image first, so images weigh equally; ours averages the images of
    each class first, so classes do."""
    reference = np.array([[1, 1, 2, 2, 0, 0], [1, 1, 0, 0, 0, 0]], np.uint8)[:, None]
    prediction = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]], np.uint8)[:, None]
    metric = DiceMetric(include_background=False, reduction="mean")
    metric(one_hot(prediction, 3), one_hot(reference, 3))
    assert metric.aggregate().item() == ((1 + 0) / 2 + 1) / 2
    counts = [count_overlap(r, n_classes=3, label_map=p) for r, p in zip(reference, prediction, strict=True)]
    of_class = [
        scores.dice(one.true_positive, one.false_positive, one.false_negative)[1:] for one in counts
    ]  # fmt: skip
    assert np.nanmean(np.nanmean(of_class, axis=0)) == ((1 + 1) / 2 + 0) / 2


@pytest.mark.parametrize("reduction", ["mean", "mean_batch", "mean_channel"])
def test_differs_where_every_image_is_undefined(reduction: str) -> None:
    """MONAI reduces nothing but NaN to 0, the worst score; ours stays NaN."""
    nothing = one_hot(np.zeros((2, 4, 4), np.uint8), 2)
    metric = DiceMetric(include_background=False, reduction=reduction)
    assert metric(nothing, nothing).isnan().all()
    assert (metric.aggregate() == 0).all()
    counts = count_overlap(np.zeros((4, 4), np.uint8), n_classes=2, label_map=np.zeros((4, 4), np.uint8))
    assert np.isnan(scores.dice(counts.true_positive, counts.false_positive, counts.false_negative)[1])


def test_differs_beyond_the_integers_of_float32() -> None:
    """MONAI returns counts as float32, which cannot hold 2^24 + 1; ours are int64."""
    full = np.broadcast_to(np.ones(1, np.uint8), (1, 2**24 + 1))
    tensor = torch.from_numpy(full[None].copy())
    assert get_confusion_matrix(tensor, tensor)[0, 0, 0].item() == 2**24
    assert count_overlap(full, n_classes=2, label_map=full).true_positive[1] == 2**24 + 1
