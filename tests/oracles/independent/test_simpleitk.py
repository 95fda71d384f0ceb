"""Beside SimpleITK's LabelOverlapMeasuresImageFilter, class by class and over the foreground, to 1e-12."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from segscale.tasks.metrics import scores

if TYPE_CHECKING:
    from tests.oracles.independent.conftest import Masks

pytestmark = pytest.mark.oracle

METRICS = ("dice", "iou", "sensitivity", "precision", "specificity")
LARGEST = np.finfo(np.float64).max


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The filter prints several lines for each label that it does not find."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    yield
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(True)


def measured(reference: NDArray[Any], prediction: NDArray[Any]) -> Any:
    """The filter after its work; source is the prediction, target the reference."""
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(SimpleITK.GetImageFromArray(prediction), SimpleITK.GetImageFromArray(reference))
    return overlap


def of_class(overlap: Any, index: int) -> dict[str, float]:
    return {
        "dice": overlap.GetDiceCoefficient(index),
        "iou": overlap.GetJaccardCoefficient(index),
        "sensitivity": 1 - overlap.GetFalseNegativeError(index),
        "precision": 1 - overlap.GetFalseDiscoveryRate(index),
        "specificity": 1 - overlap.GetFalsePositiveError(index),
    }


def test_scores_of_images(masks: Masks) -> None:
    """Of the classes that both masks hold; of absent ones see below."""
    ours = {metric: masks.scores(metric) for metric in METRICS}
    for image, (reference, prediction) in enumerate(zip(masks.reference, masks.prediction, strict=True)):
        overlap = measured(reference, prediction)
        for index in np.intersect1d(reference, prediction):
            for metric, theirs in of_class(overlap, int(index)).items():
                assert ours[metric][image, index] == pytest.approx(theirs, rel=1e-12, abs=1e-15, nan_ok=True), metric


def test_scores_of_the_set(masks: Masks) -> None:
    """All images as slices of one volume are the pooled score; without a label, the filter sums over the foreground."""
    slices = (-1, *masks.reference.shape[-2:])
    overlap = measured(masks.reference.reshape(slices), masks.prediction.reshape(slices))
    pooled = {metric: masks.pooled(metric) for metric in METRICS}
    for index in np.intersect1d(masks.reference, masks.prediction):
        for metric, theirs in of_class(overlap, int(index)).items():
            assert pooled[metric][f"class{index}"] == pytest.approx(theirs, rel=1e-12), metric
    assert pooled["dice"]["all_micro"] == pytest.approx(overlap.GetDiceCoefficient(), rel=1e-12)
    assert pooled["iou"]["all_micro"] == pytest.approx(overlap.GetJaccardCoefficient(), rel=1e-12)


def test_differs_where_a_class_is_absent() -> None:
    """ITK gives 0, infinity or the largest float for 0/0; ours is NaN, whichever question it is."""
    nothing, something = np.zeros((2, 5), np.uint8), np.array([[1, 1, 1, 0, 0]] * 2, np.uint8)
    both_empty = measured(nothing, nothing)
    assert (both_empty.GetDiceCoefficient(), both_empty.GetJaccardCoefficient()) == (np.inf, LARGEST)
    assert set(of_class(both_empty, 1).values()) == {0.0, 1.0}, "overlap 0, and errors 0 as well"
    assert np.isnan([scores.dice(tp=0, fp=0, fn=0), scores.iou(tp=0, fp=0, fn=0)]).all()
    assert measured(nothing, something).GetFalseNegativeError(1) == LARGEST
    assert np.isnan(scores.sensitivity(tp=0, fn=0))
    assert measured(something, nothing).GetFalseDiscoveryRate(1) == LARGEST
    assert np.isnan(scores.precision(tp=0, fp=0))


def test_differs_in_what_a_volume_is_compared_with() -> None:
    """ITK's volume similarity is relative to the mean of both volumes, our volume difference to the reference's."""
    reference = np.array([[1, 1, 0, 0, 0, 0]], np.uint8)
    prediction = np.array([[1, 1, 1, 1, 1, 1]], np.uint8)
    assert measured(reference, prediction).GetVolumeSimilarity(1) == pytest.approx(2 * (6 - 2) / (6 + 2))
    assert scores.volume_difference(tp=2, fp=4, fn=0) == (6 - 2) / 2
