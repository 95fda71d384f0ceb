"""Beside MedPy, whose functions take two binary masks: a class against the rest, to 1e-12."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from medpy.metric import binary

from segscale.tasks.metrics import scores

if TYPE_CHECKING:
    from tests.oracles.independent.conftest import Masks

pytestmark = pytest.mark.oracle

OVERLAP = {"dice": (binary.dc, "nan"), "iou": (binary.jc, "one")}
"""With the empty policy that gives what MedPy gives for two empty masks; its code means 1 of both."""
SCORES = {
    "sensitivity": binary.recall,
    "precision": binary.precision,
    "specificity": binary.specificity,
    "volume_difference": binary.ravd,
}


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("metric", OVERLAP)
def test_overlap_of_images_and_of_the_set(masks: Masks, metric: str) -> None:
    score, empty = OVERLAP[metric]
    ours, pooled = masks.scores(metric, empty=empty), masks.pooled(metric, empty=empty)
    for index in range(masks.n_classes):
        references, predictions = masks.reference == index, masks.prediction == index
        theirs = [score(p, r) for r, p in zip(references, predictions, strict=True)]
        np.testing.assert_allclose(ours[:, index], theirs, rtol=1e-12, atol=0)
        mean = masks.means(metric, empty=empty)[f"class{index}"]
        assert mean == pytest.approx(pd.Series(theirs).mean(), rel=1e-12, nan_ok=True)
        assert pooled[f"class{index}"] == pytest.approx(score(predictions, references), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("metric", SCORES)
def test_other_scores_where_they_are_defined(masks: Masks, metric: str) -> None:
    ours = masks.scores(metric)
    places = np.argwhere(~np.isnan(ours))
    assert places.size
    theirs = [
        SCORES[metric](masks.prediction[image] == index, masks.reference[image] == index) for image, index in places
    ]
    np.testing.assert_allclose(ours[tuple(places.T)], theirs, rtol=1e-12, atol=1e-15)


def test_differs_where_both_masks_are_empty() -> None:
    """MedPy means 1 for Dice, 0 for precision and recall, and catches ZeroDivisionError to say so. But numpy 2.4 counts
    in its own integers, whose 0/0 is NaN with a warning; only jc converts them first. Ours is what the policy says.
    """
    nothing = np.zeros((2, 3), bool)
    assert binary.jc(nothing, nothing) == 1.0
    for undefined in (binary.dc, binary.precision, binary.recall):
        with pytest.warns(RuntimeWarning, match="invalid value"):
            assert np.isnan(undefined(nothing, nothing))
    undefined_score = scores.dice(tp=0, fp=0, fn=0)
    assert np.isnan(scores.with_empty_policy(undefined_score, True, "nan", 0.0))
    assert scores.with_empty_policy(undefined_score, True, "one", 0.0) == 1.0


def test_differs_where_the_reference_has_no_volume() -> None:
    """MedPy stops; our volume difference is NaN and counted as undefined."""
    nothing, something = np.zeros((2, 3), bool), np.ones((2, 3), bool)
    with pytest.raises(RuntimeError, match="does not contain any binary object"):
        binary.ravd(something, nothing)
    assert np.isnan(scores.volume_difference(tp=0, fp=6, fn=0))
