"""The class of each pixel, as the counts take it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.hard_labels import hard_labels
from segscale.tasks.metrics.region_channels import RegionChannel
from segscale.tasks.prediction_file import LabelPair, ProbabilityPair
from segscale.tasks.region_pair import RegionPair

SIZE = (2, 5, 6)
REFERENCE = np.random.default_rng(0).integers(0, 2, SIZE, np.uint8)


def stacked(n_channels: int) -> NDArray[np.float32]:
    raw = np.random.default_rng(1).random((*SIZE, n_channels))
    return np.asarray(raw / raw.sum(axis=-1, keepdims=True), np.float32)


@pytest.mark.parametrize(
    ("probabilities", "n_classes"),
    [
        pytest.param(np.random.default_rng(2).random(SIZE, np.float32), 2, id="of the foreground"),
        pytest.param(stacked(2), 2, id="two channels"),
        pytest.param(stacked(3), 3, id="three channels"),
    ],
)
def test_they_count_as_the_probabilities_do(probabilities: NDArray[np.float32], n_classes: int) -> None:
    pair = ProbabilityPair(REFERENCE, probabilities, 0.4)
    found = hard_labels(pair)
    assert found.dtype == np.uint8
    of_labels, expected = LabelPair(REFERENCE, found).count(n_classes), pair.count(n_classes)
    assert of_labels.true_positive.tolist() == expected.true_positive.tolist()
    assert of_labels.false_positive.tolist() == expected.false_positive.tolist()


def test_a_label_map_is_its_own() -> None:
    assert hard_labels(LabelPair(REFERENCE, REFERENCE)) is REFERENCE


def test_channels_of_regions_write_theirs_and_count_by_themselves() -> None:
    channels = RegionChannel((1, 2), 1), RegionChannel((2,), 2)
    probabilities = np.random.default_rng(3).random((*SIZE, 2), np.float32)
    regions = ((1, 2), (1,))
    pair = RegionPair(REFERENCE, probabilities, channels, 0.5)
    expected = pair.count(3, regions)
    of_labels = LabelPair(REFERENCE, hard_labels(pair)).count(3, regions)
    assert of_labels.true_positive[:3].tolist() == expected.true_positive[:3].tolist()
    masks = pair.region_masks(3, regions)
    assert list(masks) == [3], "the second region has no channel"
    assert np.count_nonzero(masks[3] & (REFERENCE > 0)) == expected.true_positive[3]
