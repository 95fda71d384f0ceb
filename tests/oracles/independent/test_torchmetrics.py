"""Beside TorchMetrics: counts exactly and F scores to 1e-12; its Dice and IoU divide in float32, whatever comes in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    multiclass_f1_score,
    multiclass_fbeta_score,
    multiclass_jaccard_index,
    multiclass_stat_scores,
)
from torchmetrics.functional.segmentation import dice_score, generalized_dice_score, mean_iou
from torchmetrics.segmentation import DiceScore

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap

if TYPE_CHECKING:
    from tests.oracles.independent.conftest import Masks

pytestmark = pytest.mark.oracle

SINGLE = 2.0**-22
"""Relative error of one float32 division of float32 numbers, and some."""


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    """F scores are computed in torch's default type, float32 unless told otherwise."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pair(masks: Masks) -> tuple[Any, Any]:
    """Prediction and reference, in the order of their arguments."""
    return as_tensor(masks.prediction), as_tensor(masks.reference)


def as_tensor(labels: NDArray[Any]) -> Any:
    return torch.from_numpy(labels.astype(np.int64))


def dice_of(counts: OverlapCounts) -> NDArray[np.float64]:
    return np.asarray(scores.dice(counts.true_positive, counts.false_positive, counts.false_negative))


def test_counts(masks: Masks) -> None:
    """TorchMetrics orders them tp, fp, tn, fn, then the reference pixels."""
    theirs = multiclass_stat_scores(*pair(masks), masks.n_classes, average="none", multidim_average="samplewise")
    reference_sum = np.stack([counts.reference_sum for counts in masks.images])
    ours = np.concatenate([masks.counts()[..., [0, 1, 3, 2]], reference_sum[..., None]], axis=-1)
    np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize(("empty", "zero_division"), [("zero", 0), ("one", 1)])
@pytest.mark.parametrize(
    ("metric", "beta"), [pytest.param("dice", 1.0, id="F1 is Dice"), pytest.param("f_beta", 2.0, id="F2")]
)
def test_f_scores_samplewise_and_global(masks: Masks, metric: str, beta: float, empty: str, zero_division: int) -> None:
    """zero_division is an empty policy (it cannot be NaN); "samplewise" is per-sample, "global" is pooled."""
    settings = {"beta": beta, "num_classes": masks.n_classes, "average": "none", "zero_division": zero_division}
    images = multiclass_fbeta_score(*pair(masks), multidim_average="samplewise", **settings)
    np.testing.assert_allclose(masks.scores(metric, empty=empty), images.numpy(), rtol=1e-12, atol=0)
    means = masks.means(metric, empty=empty)[masks.class_names].to_numpy()
    np.testing.assert_allclose(means, images.mean(dim=0).numpy(), rtol=1e-12, atol=0)
    pooled = multiclass_fbeta_score(*pair(masks), multidim_average="global", **settings)
    ours = masks.pooled(metric, empty=empty)[masks.class_names].to_numpy()
    np.testing.assert_allclose(ours, pooled.numpy(), rtol=1e-12, atol=0)


def test_micro_dice_over_all_channels(masks: Masks) -> None:
    """Micro F1 flattens every channel, the background too."""
    samplewise = multiclass_f1_score(*pair(masks), masks.n_classes, average="micro", multidim_average="samplewise")
    assert masks.means("dice")["all_channels_micro"] == pytest.approx(samplewise.mean().item(), rel=1e-12)
    pooled = multiclass_f1_score(*pair(masks), masks.n_classes, average="micro")
    assert masks.pooled("dice")["all_channels_micro"] == pytest.approx(pooled.item(), rel=1e-12)


@pytest.mark.filterwarnings("ignore:dice_score metric currently defaults")
def test_sums_of_the_dice_metric_are_equal_and_its_score_is_float32(masks: Masks) -> None:
    metric = DiceScore(masks.n_classes, average="none", input_format="index", aggregation_level="samplewise")
    metric.update(*pair(masks))
    true_positive, false_positive, false_negative, _ = np.moveaxis(masks.counts(), -1, 0)
    numerator, denominator = metric.numerator[0].numpy(), metric.denominator[0].numpy()
    np.testing.assert_array_equal(2 * true_positive, numerator)
    np.testing.assert_array_equal(2 * true_positive + false_positive + false_negative, denominator)
    np.testing.assert_allclose(masks.means("dice")[masks.class_names].to_numpy(), metric.compute().numpy(), rtol=SINGLE)
    for level, average, column in (
        ("global", "none", masks.pooled("dice")[masks.class_names].to_numpy()),
        ("global", "micro", masks.pooled("dice")[["all_micro"]].to_numpy()),
    ):
        theirs = dice_score(
            *pair(masks),
            masks.n_classes,
            include_background=average == "none",
            average=average,
            input_format="index",
            aggregation_level=level,
        )
        assert theirs.dtype == torch.float32
        np.testing.assert_allclose(column, theirs.numpy().ravel(), rtol=SINGLE)


def test_iou_is_equal_in_float32(masks: Masks) -> None:
    """Undefined scores are 0 in the Jaccard index and -1 in the mean IoU."""
    theirs = multiclass_jaccard_index(*pair(masks), masks.n_classes, average="none").numpy()
    pooled = masks.pooled("iou")[masks.class_names].to_numpy()
    np.testing.assert_allclose(np.nan_to_num(pooled, nan=0.0), theirs, rtol=SINGLE)
    images = mean_iou(*pair(masks), masks.n_classes, per_class=True, input_format="index").numpy()
    np.testing.assert_allclose(np.nan_to_num(masks.scores("iou"), nan=-1.0), images, rtol=SINGLE)


def test_differs_by_default_where_a_class_is_absent() -> None:
    """F1 and the Jaccard index call 0/0 a 0 for each class; ours is NaN."""
    nothing = np.zeros((1, 4, 4), np.uint8)
    masks = as_tensor(nothing), as_tensor(nothing)
    assert multiclass_f1_score(*masks, 2, average="none").tolist() == [1.0, 0.0]
    assert multiclass_jaccard_index(*masks, 2, average="none").tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(dice_of(count_overlap(nothing[0], n_classes=2, label_map=nothing[0])), [1.0, np.nan])


def test_differs_in_the_mean_over_classes() -> None:
    """The macro average of samples averages the classes inside each image first; ours the images of each class."""
    reference = np.array([[1, 1, 2, 2, 0, 0], [1, 1, 0, 0, 0, 0]], np.uint8)[:, None]
    prediction = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]], np.uint8)[:, None]
    metric = DiceScore(3, include_background=False, average="macro", input_format="index")
    metric.update(as_tensor(prediction), as_tensor(reference))
    assert metric.compute().item() == ((1 + 0) / 2 + 1) / 2
    of_class = [
        dice_of(count_overlap(r, n_classes=3, label_map=p))[1:] for r, p in zip(reference, prediction, strict=True)
    ]
    assert np.nanmean(np.nanmean(of_class, axis=0)) == ((1 + 1) / 2 + 0) / 2


def test_differs_in_the_generalized_dice_of_an_image() -> None:
    """A class that an image's reference lacks takes its weight from other images of the batch, or 0 if there are none.

    So the same prediction scores differently in other company; ours is a function of the image alone.
    """
    reference, prediction = np.zeros((2, 2, 10, 10), np.uint8)
    reference[0, :3], prediction[0, :3], prediction[0, 9] = 1, 1, 2
    reference[1, 0, 0], reference[1, 5] = 1, 2
    settings: dict[str, Any] = {"num_classes": 3, "include_background": False, "input_format": "index"}
    alone = generalized_dice_score(as_tensor(prediction[:1]), as_tensor(reference[:1]), **settings)
    in_company = generalized_dice_score(as_tensor(prediction), as_tensor(reference), **settings)
    assert alone[0].item() == 1.0, "ten false pixels of class 2 cost nothing"
    assert in_company[0].item() < 0.01
    counts = count_overlap(reference[0], n_classes=3, label_map=prediction[0])
    np.testing.assert_allclose(dice_of(counts), [120 / 130, 1.0, 0.0])
